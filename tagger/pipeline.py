"""Records in, Taggings out: the one loop, with the stages in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from tagger.ask import NoAnswer, constraint, read_answer
from tagger.calibration import Calibration, calibration_file, load_calibration
from tagger.confidence import Scores, raw_scores
from tagger.decide import decide
from tagger.engines import open_engine
from tagger.engines.base import Completion, Engine, Request
from tagger.errors import SettingsError, SourceError
from tagger.evidence import find
from tagger.example import Example
from tagger.grammar import closed_values, value_text
from tagger.plan import Ask
from tagger.prior import RowPrior
from tagger.prompt import Head, Prompt, render, render_head
from tagger.record import Record, Rejected, read_record
from tagger.result import Alternative, Outcome, Provenance, Tag, Tagging, Tokens
from tagger.schema import FieldBase, takes_several, takes_spans
from tagger.shortlist import Shortlist, narrowed
from tagger.shots import ShotPool
from tagger.spans import SpanPrior, listed
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
    `calibrated=False` leaves the task's calibration aside: raw probabilities. `promise` is the share of right values
    among those said, 0.95 for instance: the tagger keeps silent where the calibration cannot keep that.
    Raises TaggerError for whatever cannot be set up; a record never raises.
    """

    def __init__(
        self,
        task: Task | str | Path,
        *,
        engine: Engine | str = "auto",
        model: str | None = None,
        shots: Sequence[Example] | str | Path | None = None,
        calibrated: bool = True,
        promise: float | None = None,
    ) -> None:
        self.task = task if isinstance(task, Task) else load_task(task)
        if isinstance(shots, str | Path):
            shots = self.task.read_examples(Path(shots))
        shown = self._showable(shots) if shots else []
        self._shown = shown or list(self.task.examples)
        self._shortlists: dict[Ask, Shortlist] = {}
        self._pool = ShotPool(self.task, shown) if shown else None
        self._priors = self._row_priors()
        self._spans = self._span_prior(shown) if shown and self.task.plan.shots.prior else None
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
        self.calibration = self._calibration(info.model) if calibrated else None
        if promise is not None:
            self.calibration = self._promising(promise)
        self._heads: dict[tuple[Ask, tuple[str, ...], str], Head] = {}

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
            todo = [i for i in work if self._asked(ask, work[i].record)]
            asked = [work[i].record for i in todo]
            questions, shares = self._questions(ask, asked), self._shares(ask, asked)
            answers = self.engine.complete([self._request(ask, fields, prompt) for fields, prompt in questions])
            for i, (fields, _), completion, rows in zip(todo, questions, answers, shares, strict=True):
                self._settle(work[i], ask, fields, completion, rows)
        return [self._finish(work[i]) if i in work else self._rejected(record) for i, record in enumerate(records)]

    def prompts(self, ask: Ask, records: Sequence[Record]) -> list[Prompt]:
        """What the model is shown for each record."""
        return [prompt for _, prompt in self._questions(ask, records)]

    def _questions(self, ask: Ask, records: Sequence[Record]) -> list[tuple[dict[str, FieldBase], Prompt]]:
        """For each record the fields as they are asked of it, a shortlist in place of all labels, and the prompt."""
        plan = self.task.plan.shots
        shots = self._pool.nearest(records, plan.retrieved, plan.common) if self._pool else [[] for _ in records]
        listed = self._candidates(ask, records)
        questions = []
        for record, near, candidates in zip(records, shots, listed, strict=True):
            fields = self._asked(ask, record)
            head = self._head(ask, fields, record)
            prompt = render(self.task, ask, fields, head, near, record, candidates)
            questions.append((narrowed(fields, candidates) if candidates else fields, prompt))
        return questions

    def _candidates(self, ask: Ask, records: Sequence[Record]) -> Sequence[tuple[str, ...]]:
        if not ask.shortlist:
            return [()] * len(records)
        if ask not in self._shortlists:
            (name,) = ask.fields
            field = self.task.fields[name]
            rows = [(e.record, value_text(field, e.answer[name])) for e in self._shown if name in e.answer]
            labels = dict.fromkeys(closed_values(field) or {}, "") | dict(getattr(field, "labels", {}))
            self._shortlists[ask] = Shortlist(labels, rows, self._priors.get(ask))
        return self._shortlists[ask].candidates(records, ask.shortlist)

    def _row_priors(self) -> dict[Ask, RowPrior]:
        """For each ask of one closed field, what the pool's rows say, or the shipped examples and descriptions."""
        priors = {}
        for ask in self.task.plan.ask if self.task.plan.shots.prior else ():
            name = ask.fields[0]
            answered = [(e.record, e.answer[name]) for e in self._shown if name in e.answer]
            if ask.form != "json" and answered:
                field = self.task.fields[name]
                rows = [(record, value_text(field, value)) for record, value in answered]
                if not self._pool:
                    about = getattr(field, "labels", {})
                    rows += [(Record(label, {name: f"{label} {said}"}), label) for label, said in about.items() if said]
                priors[ask] = RowPrior(rows, list(closed_values(field) or {}))
        return priors

    def _span_prior(self, rows: Sequence[Example]) -> SpanPrior:
        spans = {name for name, field in self.task.fields.items() if takes_spans(field)}
        answers = [{name: value for name, value in row.answer.items() if name in spans} for row in rows]
        texts = [name for name, column in self.task.columns.items() if not column.allowed]
        records = [row.record for row in rows]
        groups = [self.task.group(record) for record in records]
        return SpanPrior(list(zip(records, answers, strict=True)), groups, texts)

    def _calibration(self, model: str) -> Calibration | None:
        if self.task.folder is None:
            return None
        plan, with_pool = self.task.plan.id, self._pool is not None
        expected = {"task_version": self.task.version, "plan": plan, "model": model, "with_pool": with_pool}
        return load_calibration(calibration_file(self.task.folder, model), expected)

    def _promising(self, promise: float) -> Calibration:
        if self.calibration is None:
            hint = "fit one on labelled rows: python -m eval calibrate"
            raise SettingsError("without a calibration nothing can be promised", hint=hint)
        return self.calibration.promising(promise)

    def _shares(self, ask: Ask, records: Sequence[Record]) -> Sequence[Mapping[str, float]]:
        return self._priors[ask].shares(records) if ask in self._priors else [{}] * len(records)

    def _asked(self, ask: Ask, record: Record) -> dict[str, FieldBase]:
        return {name: f for name, f in self.task.asked(record).items() if name in ask.fields}

    def _head(self, ask: Ask, fields: Mapping[str, FieldBase], record: Record) -> Head:
        key = ask, tuple(fields), self.task.group(record)
        if key not in self._heads:
            plan = self.task.plan.shots
            if self._pool:
                shown = self._pool.common(self.task.group(record), plan.common)
            else:
                fixed, asked = self._showable(self.task.examples)[: plan.fixed], self.task.asked(record)
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
        rows: Mapping[str, float],
    ) -> None:
        """Put what a completion says into the record's tags, with what the labelled `rows` say."""
        used = Tokens(completion.tokens_in, completion.tokens_cached, completion.tokens_out)
        work.tokens = Tokens(*(a + b for a, b in zip(_parts(work.tokens), _parts(used), strict=True)))
        answer = read_answer(ask, fields, completion)
        if isinstance(answer, NoAnswer):
            work.trouble = work.trouble or answer
            return
        found = raw_scores(ask, fields, answer)
        if rows:
            found = {name: replace(scores, rows={t: rows[t] for t in scores.model}) for name, scores in found.items()}
        if ask.form == "json" and self._spans:
            found |= self._with_spans(found, fields, answer.values, work.record)
        for name in fields:
            if name in found:
                work.tags[name] = self._tag(name, fields[name], answer.values.get(name), found[name], work.record)

    def _with_spans(
        self,
        found: Mapping[str, Scores],
        fields: Mapping[str, FieldBase],
        values: Mapping[str, Any],
        record: Record,
    ) -> dict[str, Scores]:
        """The scores of verbatim fields with what labelled rows say of the written values, and propose themselves."""
        assert self._spans
        names = [name for name, field in fields.items() if takes_spans(field)]
        written = {name: [str(item) for item in listed(values.get(name, []))] for name in names}
        joined = {}
        for name, view in self._spans.views(record, self.task.group(record), written).items():
            if view.chances:
                own = found.get(name, Scores({}, {}))
                rows = {json.dumps(value, ensure_ascii=False): p for value, p in view.chances.items()}
                shares = {json.dumps(value, ensure_ascii=False): p for value, p in view.shares.items()}
                joined[name] = replace(own, rows=rows, shares=shares, usual=view.usual)
        return joined

    def _tag(self, name: str, field: FieldBase, written: Any, scores: Scores, record: Record) -> Tag:
        one_span = takes_spans(field) and not takes_several(field)
        if one_span and written is not None:
            scores = replace(scores, inferred=find(written, record.values) is None)
        prior = self.task.plan.shots.prior
        found = decide(name, field, written, scores, prior=prior, calibration=self.calibration)
        value, others = found.value, [Alternative(other, p) for other, p in found.others]
        place = find(value, record.values) if one_span else None
        places = [find(item, record.values) for item in value] if takes_spans(field) and not one_span else []
        if found.abstained:
            value, others = None, [Alternative(found.value, found.p), *others]
        return Tag(
            value, found.p, place, one_span and place is None, found.abstained, tuple(others[:ALTERNATIVES]),
            () if found.abstained else tuple(places), found.each, scores,
        )  # fmt: skip

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


def _parts(tokens: Tokens) -> tuple[int, int, int]:
    return tokens.read, tokens.cached, tokens.written
