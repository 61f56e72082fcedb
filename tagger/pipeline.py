"""Records in, Taggings out: the one loop, with the stages in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from tagger.ask import NoAnswer, constraint, read_answer
from tagger.confidence import probabilities
from tagger.engines import open_engine
from tagger.engines.base import Completion, Engine, Request
from tagger.errors import SourceError
from tagger.evidence import find
from tagger.example import Example
from tagger.grammar import closed_values, value_text
from tagger.plan import Ask
from tagger.prior import RowPrior, combine
from tagger.prompt import Head, Prompt, render, render_head
from tagger.record import Record, Rejected, read_record
from tagger.result import Alternative, Outcome, Provenance, Tag, Tagging, Tokens
from tagger.schema import FieldBase, TextField
from tagger.shots import ShotPool
from tagger.task import Task, load_task

if TYPE_CHECKING:
    import pandas as pd

ALTERNATIVES = 3
"""Other values reported for a closed field, likeliest first."""


@dataclass(slots=True)
class _Work:
    """One record on its way: what was read from it so far."""

    record: Record
    tags: dict[str, Tag] = field(default_factory=dict)
    trouble: NoAnswer | None = None
    tokens: Tokens = field(default=Tokens())


class Tagger:
    """A task on an engine.

    `task` is a Task, the name of a shipped one or a folder; `engine` an open engine or the name of
    one, with `model` then a hub id, a folder or a bundle. `shots` are labelled examples, or a JSONL file of
    them, from which the nearest are shown for each record; without it the shipped examples are shown.
    Raises TaggerError for whatever cannot be set up; a record never raises.
    """

    def __init__(
        self,
        task: Task | str | Path,
        *,
        engine: Engine | str = "auto",
        model: str | None = None,
        shots: Sequence[Example] | str | Path | None = None,
    ) -> None:
        self.task = task if isinstance(task, Task) else load_task(task)
        if isinstance(shots, str | Path):
            shots = self.task.read_examples(Path(shots))
        shown = self._showable(shots) if shots else []
        self._pool = ShotPool(self.task, shown) if shown else None
        self._priors = self._row_priors(shown) if self.task.plan.shots.prior else {}
        self.engine = open_engine(engine, model) if isinstance(engine, str) else engine
        info = self.engine.info
        self.provenance = Provenance(
            self.task.id,
            self.task.version,
            self.task.plan.id + ("" if self._pool is None else f"+{self._pool.id}"),
            info.model,
            self.task.definition.adapter,
            f"{info.engine}/{info.dtype}",
        )
        self._heads: dict[tuple[Ask, tuple[str, ...]], Head] = {}

    @overload
    def tag(self, records: Mapping[str, Any]) -> Tagging: ...
    @overload
    def tag(self, records: pd.DataFrame) -> pd.DataFrame: ...
    @overload
    def tag(self, records: Iterable[Any]) -> list[Tagging]: ...
    def tag(self, records: Any) -> Any:
        """Tag one record (a mapping of columns), many, or a DataFrame.

        One gives a Tagging, many a list in the same order; a DataFrame comes back with the columns
        `<field>`, `<field>_probability`, `outcome` and `reason` added to its own.
        """
        if isinstance(records, Mapping):
            return self.tag_rows([records])[0]
        if hasattr(records, "columns") and hasattr(records, "to_dict"):
            return self._tag_frame(records)
        return self.tag_rows(list(records))

    async def atag(self, records: Any) -> Any:
        """`tag` without blocking the event loop."""
        return await asyncio.to_thread(self.tag, records)

    def tag_rows(self, rows: Sequence[Any]) -> list[Tagging]:
        """Tag rows as they come from a file; a row that is no record comes back rejected."""
        return self.tag_records([read_record(row, self.task.columns, n) for n, row in enumerate(rows, 1)])

    def tag_records(self, records: Sequence[Record | Rejected]) -> list[Tagging]:
        """The loop: one Tagging for each record, in order."""
        work = {i: _Work(record) for i, record in enumerate(records) if isinstance(record, Record)}
        for ask in self.task.plan.ask:
            asked = {i: self._asked(ask, w.record) for i, w in work.items()}
            todo = [i for i in work if asked[i]]
            prompts = self.prompts(ask, [work[i].record for i in todo])
            requests = [self._request(ask, asked[i], prompt) for i, prompt in zip(todo, prompts, strict=True)]
            shares = self._shares(ask, [work[i].record for i in todo])
            for i, completion, rows in zip(todo, self.engine.complete(requests), shares, strict=True):
                self._settle(work[i], ask, asked[i], completion, rows)
        return [self._finish(work[i]) if i in work else self._rejected(record) for i, record in enumerate(records)]

    def prompts(self, ask: Ask, records: Sequence[Record]) -> list[Prompt]:
        """What the model is shown for each record."""
        count = self.task.plan.shots.retrieved
        shots = self._pool.nearest(records, count) if self._pool else [[] for _ in records]
        prompts = []
        for record, near in zip(records, shots, strict=True):
            fields = self._asked(ask, record)
            prompts.append(render(self.task, ask, fields, self._head(ask, fields, record), near, record))
        return prompts

    def _row_priors(self, rows: Sequence[Example]) -> dict[Ask, RowPrior]:
        """For each ask of one closed field, what the labelled rows that answer it say."""
        priors = {}
        for ask in self.task.plan.ask:
            answered = [row for row in rows if ask.fields[0] in row.answer]
            if ask.form != "json" and answered:
                field = self.task.fields[ask.fields[0]]
                labels = [value_text(field, row.answer[ask.fields[0]]) for row in answered]
                priors[ask] = RowPrior([row.record for row in answered], labels, list(closed_values(field) or {}))
        return priors

    def _shares(self, ask: Ask, records: Sequence[Record]) -> Sequence[Mapping[str, float] | None]:
        return self._priors[ask].shares(records) if ask in self._priors else [None] * len(records)

    def _asked(self, ask: Ask, record: Record) -> dict[str, FieldBase]:
        return {name: f for name, f in self.task.asked(record).items() if name in ask.fields}

    def _head(self, ask: Ask, fields: Mapping[str, FieldBase], record: Record) -> Head:
        key = ask, tuple(fields)
        if key not in self._heads:
            fixed = [] if self._pool else self._showable(self.task.examples)[: self.task.plan.shots.fixed]
            asked = self.task.asked(record)
            shown = [e for e in fixed if self.task.asked(e.record) == asked]
            self._heads[key] = render_head(self.task, ask, fields, shown)
        return self._heads[key]

    def _showable(self, examples: Sequence[Example]) -> list[Example]:
        """Examples that answer every field that is asked by itself; the others cannot be shown as shots."""
        alone = [ask.fields[0] for ask in self.task.plan.ask if ask.form != "json"]
        return [e for e in examples if all(name in e.answer for name in alone if name in self.task.asked(e.record))]

    def _request(self, ask: Ask, fields: Mapping[str, FieldBase], prompt: Prompt) -> Request:
        return Request(prompt, constraint(ask, fields), self.task.plan.max_tokens, self.task.definition.adapter)

    def _settle(
        self,
        work: _Work,
        ask: Ask,
        fields: Mapping[str, FieldBase],
        completion: Completion,
        rows: Mapping[str, float] | None,
    ) -> None:
        """Put what a completion says into the record's tags, with what the labelled `rows` say."""
        used = Tokens(completion.tokens_in, completion.tokens_cached, completion.tokens_out)
        work.tokens = Tokens(*(a + b for a, b in zip(_parts(work.tokens), _parts(used), strict=True)))
        answer = read_answer(ask, fields, completion)
        if isinstance(answer, NoAnswer):
            work.trouble = work.trouble or answer
            return
        chances = probabilities(ask, fields, answer)
        values = dict(answer.values)
        if rows:
            (name,) = ask.fields
            chances[name] = combine(chances[name], rows, self.task.plan.shots.prior)
            values[name] = (closed_values(fields[name]) or {})[max(chances[name], key=lambda t: chances[name][t])]
        for name, value in values.items():
            work.tags[name] = _tag(fields[name], value, chances[name], work.record)

    def _finish(self, work: _Work) -> Tagging:
        outcome: Outcome = "tagged"
        if work.trouble:
            outcome = "failed" if work.trouble.failed else "rejected"
        elif work.tags and all(tag.abstained for tag in work.tags.values()):
            outcome = "abstained"
        reason = work.trouble.reason if work.trouble else None
        tags = {} if work.trouble else work.tags
        return Tagging(work.record.id, outcome, tags, self.provenance, reason, work.tokens)

    def _rejected(self, record: Record | Rejected) -> Tagging:
        assert isinstance(record, Rejected)
        return Tagging(record.id, "rejected", {}, self.provenance, f"{record.where}: {record.reason}")

    def _tag_frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        if taken := {"outcome", "reason", *self.task.fields} & set(frame.columns):
            hint = "rename it in the DataFrame"
            raise SourceError(f"column {min(taken)!r} would be overwritten by the tags", hint=hint)
        taggings = self.tag_rows(frame.astype(object).where(frame.notna(), None).to_dict("records"))
        added: dict[str, list[Any]] = {}
        for name in self.task.fields:
            added[name] = [t.value(name) for t in taggings]
            added[f"{name}_probability"] = [t.tags[name].probability if name in t.tags else None for t in taggings]
        added["outcome"] = [t.outcome for t in taggings]
        added["reason"] = [t.reason for t in taggings]
        return frame.assign(**added)


def _tag(field: FieldBase, value: Any, chances: Mapping[str, float], record: Record) -> Tag:
    closed = closed_values(field)
    own = max(chances.values()) if closed is None else chances[value_text(field, value)]
    ranked = sorted(chances.items(), key=lambda item: -item[1])
    others = [] if closed is None else [Alternative(closed[text], p) for text, p in ranked if closed[text] != value]
    tag = Tag(value, own, alternatives=tuple(others[:ALTERNATIVES]))
    if isinstance(field, TextField) and field.verbatim:
        place = find(value, record.values)
        tag = replace(tag, evidence=place, inferred=place is None)
    if own < field.abstain_below:
        best = Alternative(value, own)
        tag = replace(tag, value=None, abstained=True, alternatives=(best, *others[: ALTERNATIVES - 1]))
    return tag


def _parts(tokens: Tokens) -> tuple[int, int, int]:
    return tokens.read, tokens.cached, tokens.written
