"""Records in, Taggings out: the one loop, with the stages in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from tagger.ask import Answer, NoAnswer, constraint, read_answer
from tagger.blocklist import Blocklist, kept_back, load_blocklist
from tagger.confidence import Scores, raw_scores, voted
from tagger.decide import threshold
from tagger.engines import open_engine
from tagger.engines.base import Completion, Constraint, Engine, Request
from tagger.errors import SettingsError, SourceError
from tagger.example import Example
from tagger.fitted import calibration_of, promising, see_to_sight, served
from tagger.frames import frame_rows, is_frame, with_tags
from tagger.levels import Descent, Taxonomy
from tagger.plan import Ask
from tagger.prompt import Prompt
from tagger.proved import withheld
from tagger.questions import Limits, Question, Questions, showable
from tagger.record import Record, Rejected, read_record
from tagger.result import Conflict, Outcome, Provenance, Tag, Tagging, Tokens
from tagger.rows import Rows
from tagger.rules import Rules
from tagger.said import tag_of
from tagger.schema import ClaimsField, ClosedField, FieldBase, takes_several, takes_spans
from tagger.task import Task, load_task

if TYPE_CHECKING:
    import pandas as pd


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
    `blocklist` is a list of words and texts that must not go out, or its file: `tag`, a bulk run and a service withhold
    values that hold one; `tag_records`, by which answers are got and kept, does not.
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
        blocklist: Blocklist | str | Path | None = None,
    ) -> None:
        if isinstance(task, type):
            raise SettingsError(f"{task.__name__} is no task", hint=f"make it one: Task.from_model({task.__name__})")
        self.task = task if isinstance(task, Task) else load_task(task)
        self.blocklist = load_blocklist(Path(blocklist)) if isinstance(blocklist, str | Path) else blocklist
        if isinstance(shots, str | Path):
            shots = self.task.read_examples(Path(shots))
        pool = showable(self.task, shots) if shots else []
        if pool and not any(column.kind == "text" for column in self.task.columns.values()):
            told = f"labelled rows are compared by their texts, and task {self.task.id!r} reads pictures alone"
            raise SettingsError(told, hint="leave the labelled rows out")
        examples = pool or self.task.examples
        self._rows = Rows(self.task, examples, pooled=bool(pool))
        self._questions = Questions(self.task, pool, examples, self._rows.closed)
        self._pool_id = self._questions.pool.id if self._questions.pool else ""
        self._rules = Rules(self.task.rules, self.task.fields, self._threshold) if self.task.rules else None
        self._taxonomies: dict[str, Taxonomy] = {}
        self._constraints: dict[tuple[Ask, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]], Constraint] = {}
        named = self.task.definition.adapter
        self._open: Callable[[], Engine] | None = None
        if isinstance(engine, str):
            self._open = partial(open_engine, engine, model, adapters=bool(named))
            engine = self._open()
        self.engine = engine
        see_to_sight(self.task, engine)
        info = self.engine.info
        self._adapter: str | None = None
        adapter_id: str | None = None
        if named:
            self._adapter, adapter_id = served(named, self.task, info, pooled=bool(self._pool_id))
        self.calibration = calibration_of(self.task, info.model, adapter_id, self._pool_id) if calibrated else None
        if promise is not None:
            self.calibration = promising(self.calibration, promise, self._pool_id)
        pooled = f"+{self._pool_id}" if self._pool_id else ""
        fitted = f"~{self.calibration.id}" if self.calibration else ""
        self.provenance = Provenance(
            self.task.id,
            self.task.version,
            self.task.plan.id + pooled + fitted,
            info.model,
            adapter_id,
            f"{info.engine}/{info.dtype}",
        )

    @overload
    def tag(self, records: Mapping[str, Any]) -> Tagging: ...
    @overload
    def tag(self, records: pd.DataFrame) -> pd.DataFrame: ...
    @overload
    def tag(self, records: Iterable[Any]) -> list[Tagging]: ...
    def tag(self, records: Any) -> Any:
        """Tag one record (a mapping of columns), many, or a DataFrame.

        One gives a Tagging, many a list in the same order; a DataFrame comes back with the columns
        `<field>`, `<field>_probability`, `outcome` and `reason` added to its own (frames.py has the rest).
        """
        if isinstance(records, Mapping):
            return self.tag_rows([records])[0]
        if isinstance(records, str):
            hint = f'give {{"{next(iter(self.task.columns))}": ...}}, or a list of such'
            raise SourceError(f"expected a record, found the text {records!r:.40}", hint=hint)
        if is_frame(records):
            columns = [*self.task.fields, *(("conflicts",) if self._rules else ())]
            found = self.tag_rows(frame_rows(records, columns))
            written = [name for name, field in self.task.fields.items() if isinstance(field, ClaimsField)]
            return with_tags(records, self.task.fields, found, written=written, ruled=bool(self._rules))
        return self.tag_rows(list(records))

    async def atag(self, records: Any) -> Any:
        """`tag` without blocking the event loop."""
        return await asyncio.to_thread(self.tag, records)

    def warm(self) -> Tagging:
        """Ask once, about nothing, so that what prompts share is read before somebody waits for it (of a task with
        `when`: what those of its first group do)."""
        columns = {name: column for name, column in self.task.columns.items() if column.kind == "text"}
        values = {name: column.allowed[0] if column.allowed else "-" for name, column in columns.items()}
        return self.tag_records([Record("warm", values)])[0]

    def tag_rows(self, rows: Sequence[Any]) -> list[Tagging]:
        """Tag rows as they come from a file; a row that is no record comes back rejected."""
        found = self.tag_records([read_record(row, self.task.columns, str(n)) for n, row in enumerate(rows, 1)])
        return [self.kept_back(tagging)[0] for tagging in found]

    def heeding(self, blocklist: Blocklist | None) -> Tagger:
        """The same tagger, by another blocklist."""
        found = copy(self)
        found.blocklist = blocklist
        return found

    def kept_back(self, tagging: Tagging) -> tuple[Tagging, list[str]]:
        """A tagging as it may go out, and the fields of which the blocklist has withheld something."""
        return kept_back(tagging, self.blocklist) if self.blocklist else (tagging, [])

    def tag_records(self, records: Sequence[Record | Rejected]) -> list[Tagging]:
        """The loop: one Tagging for each record, in order."""
        work = {i: _Work(record) for i, record in enumerate(records) if isinstance(record, Record)}
        for ask in self.task.plan.ask:
            limits = {i: self._limits(ask, one) for i, one in work.items()}
            todo = [i for i in work if self._questions.asked(ask, work[i].record, limits[i])]
            if ask.form == "levels":
                self._descend(ask, [work[i] for i in todo])
                continue
            asked = [work[i].record for i in todo]
            left = [limits[i] for i in todo]
            votes = [self._questions.of(ask, asked, vote, left) for vote in range(self.task.plan.votes)]
            questions = [question for vote in votes for question in vote]
            answers = self.engine.complete([self._request(ask, question) for question in questions])
            given = list(zip(questions, answers, strict=True))
            for n, (i, shares) in enumerate(zip(todo, self._rows.shares(ask, asked), strict=True)):
                self._settle(work[i], ask, given[n :: len(todo)], shares)
        return [self._finish(work[i]) if i in work else self._rejected(record) for i, record in enumerate(records)]

    def reopen(self) -> bool:
        """Put a new engine in the place of one that has died; False if it was not opened here."""
        if self._open is None:
            return False
        with suppress(Exception):  # it is dead: how it takes being closed is all one
            self.engine.close()
        self.engine = self._open()
        return True

    def candidates(self, ask: Ask, records: Sequence[Record]) -> Sequence[tuple[str, ...]]:
        """For each record the values on its shortlist, likeliest first; none for an ask without one."""
        return self._questions.candidates(ask, records)

    def _descend(self, ask: Ask, work: Sequence[_Work]) -> None:
        """Ask about a path level by level, all records a level at a time."""
        (name,) = ask.fields
        field = self.task.fields[name]
        under_way = [(one, Descent(self._taxonomy(name))) for one in work]
        while asked := [(one, way) for one, way in under_way if not one.trouble and way.options()]:
            questions = self._questions.of_level(ask, [one.record for one, _ in asked], [way for _, way in asked])
            answers = self.engine.complete([self._request(ask, question) for question in questions])
            for (one, way), question, completion in zip(asked, questions, answers, strict=True):
                if answer := self._read(one, ask, question, completion):
                    way.take(raw_scores(ask, question.fields, answer)[name].model)
        shares = self._rows.shares(ask, [one.record for one in work])
        for (one, way), said in zip(under_way, shares, strict=True):
            if not one.trouble:
                found = {name: Scores(way.shares(), {})}
                joined = self._rows.joined(ask, {name: field}, found, one.record, said)
                one.tags[name] = self._tag(name, field, None, joined[name], one.record)

    def untagged(self, name: str, outcome: Outcome, reason: str) -> Tagging:
        """The tagging of the record called `name`, which got no tags."""
        return Tagging(name, outcome, {}, self.provenance, reason, fields=tuple(self.task.fields))

    def prompts(self, ask: Ask, records: Sequence[Record]) -> list[Prompt]:
        """What the model is shown for each record; of an ask by levels the first question."""
        if ask.form == "levels":
            ways = [Descent(self._taxonomy(ask.fields[0])) for _ in records]
            return [question.prompt for question in self._questions.of_level(ask, records, ways)]
        return [question.prompt for question in self._questions.of(ask, records)]

    def _request(self, ask: Ask, asked: Question) -> Request:
        return Request(asked.prompt, self._constraint(ask, asked.fields), self.task.plan.max_tokens, self._adapter)

    def _constraint(self, ask: Ask, fields: Mapping[str, FieldBase]) -> Constraint:
        """Made once for the task's own fields and what rules leave of them; those of a shortlist or a level are the
        record's."""
        if ask.shortlist or ask.form == "levels":
            return constraint(ask, fields)
        fewer = [(n, tuple(f.labels)) for n, f in fields.items() if isinstance(f, ClosedField)] if self._rules else []
        key = ask, tuple(fields), tuple(fewer)
        if key not in self._constraints:
            self._constraints[key] = constraint(ask, fields)
        return self._constraints[key]

    def _limits(self, ask: Ask, work: _Work) -> Limits:
        return self._rules.limits(ask, work.record, work.tags) if self._rules else {}

    def _settle(
        self,
        work: _Work,
        ask: Ask,
        given: Sequence[tuple[Question, Completion]],
        shares: Mapping[str, float],
    ) -> None:
        """Put what the completions of a record's questions say into its tags, with what labelled rows say.

        `given` has one of each for every vote; `shares` is what the rows say of a closed field.
        """
        answers = [self._read(work, ask, question, completion) for question, completion in given]
        read = [answer for answer in answers if answer]
        if len(read) < len(given):
            return
        found = [raw_scores(ask, question.fields, answer) for (question, _), answer in zip(given, read, strict=True)]
        written = read[0].values if len(read) == 1 else {}
        fields = given[0][0].fields
        several = [name for name, field in fields.items() if takes_several(field)]
        joined = self._rows.joined(ask, fields, voted(found, several), work.record, shares)
        for name in fields:
            if name in joined:
                work.tags[name] = self._tag(name, fields[name], written.get(name), joined[name], work.record)

    def with_rows(self, record: Record, scores: Mapping[str, Scores]) -> dict[str, Tag]:
        """The tags on which labelled rows, or the spelling of the record's text, have a say, from the scores that a run
        has of a record; no model is asked.

        Of a task with rules all tags, as the rules have them. SettingsError where these would now have something asked
        that the model was not asked then, or was asked with other labels to choose from.
        """
        tags: dict[str, Tag] = {}
        then: dict[str, Tag] = {}
        for ask in self.task.plan.ask:
            limits = self._limits_now(ask, record, tags, then)
            fields, (shares,) = self._questions.asked(ask, record, limits), self._rows.shares(ask, [record])
            alone = {name: Scores(s.model, {}, s.least) for name, s in scores.items() if name in fields and s.model}
            joined = self._rows.joined(ask, fields, alone, record, shares)
            anew = {n: s for n, s in joined.items() if s.rows or self._rules or takes_spans(fields[n])}
            tags |= {name: self._tag(name, fields[name], None, s, record) for name, s in anew.items()}
            recorded = {name: s for name, s in scores.items() if name in ask.fields and s.candidates}
            then |= {name: self._tag(name, self.task.fields[name], None, s, record) for name, s in recorded.items()}
        return self._rules.settled(record, self.task.asked(record), tags)[0] if self._rules else tags

    def _limits_now(self, ask: Ask, record: Record, now: Mapping[str, Tag], then: Mapping[str, Tag]) -> Limits:
        """What the rules leave of an ask by the tags of now; SettingsError for more, or other labels, than by those of
        then."""
        if not self._rules:
            return {}
        found, before = (self._rules.limits(ask, record, tags) for tags in (now, then))
        if other := [name for name in ask.fields if found.get(name) not in (before.get(name), ())]:
            told = f"the rules would now have {other[0]!r} asked otherwise than when the model was asked"
            raise SettingsError(told, where=f"row {record.id!r}", hint="run it again")
        return found

    def _taxonomy(self, name: str) -> Taxonomy:
        if name not in self._taxonomies:
            self._taxonomies[name] = Taxonomy(self.task.fields[name].closed or {})
        return self._taxonomies[name]

    def _read(self, work: _Work, ask: Ask, question: Question, completion: Completion) -> Answer | None:
        """A completion's answer; where there is none, the record's work is in trouble."""
        used = Tokens(completion.tokens_in, completion.tokens_cached, completion.tokens_out)
        work.tokens += used
        answer = read_answer(ask, question.fields, completion)
        if isinstance(answer, NoAnswer):
            work.trouble = work.trouble or answer
            return None
        return answer

    def _tag(self, name: str, field: FieldBase, written: Any, scores: Scores, record: Record) -> Tag:
        prior = self.task.plan.shots.prior
        return tag_of(name, field, written, scores, record, prior=prior, calibration=self.calibration)

    def _threshold(self, name: str) -> float:
        """The probability under which a field is silent."""
        return threshold(name, self.task.fields[name], self.calibration)

    def _finish(self, work: _Work) -> Tagging:
        outcome: Outcome = "tagged"
        conflicts: tuple[Conflict, ...] = ()
        if self._rules and not work.trouble:
            work.tags, conflicts = self._rules.settled(work.record, self.task.asked(work.record), work.tags)
        if work.trouble:
            outcome = "failed" if work.trouble.failed else "rejected"
        elif work.tags and all(tag.abstained for tag in work.tags.values()):
            outcome = "abstained"
        tags = {} if work.trouble else work.tags
        told = list(withheld(tags))
        if outcome == "abstained":
            told += [f"{name}: {tag.doubt}" for name, tag in tags.items() if tag.doubt]
        reason = work.trouble.reason if work.trouble else "; ".join(told) or None
        fields = tuple(self.task.fields)
        return Tagging(work.record.id, outcome, tags, self.provenance, reason, work.tokens, conflicts, fields)

    def _rejected(self, record: Record | Rejected) -> Tagging:
        assert isinstance(record, Rejected)
        return self.untagged(record.id, "rejected", f"{record.where}: {record.reason}")
