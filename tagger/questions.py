"""A task, its examples and records in, what the model is asked about each record out: fields and prompt.

With a pool the nearest of its examples are shown, behind those that stand for all of it; without one the shipped
examples are. For large label sets a shortlist takes the place of all labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

from tagger.ask import choice_values
from tagger.example import Example
from tagger.grammar import value_text
from tagger.levels import Descent
from tagger.likeness import plain_text
from tagger.plan import Ask
from tagger.prior import RowPrior
from tagger.prompt import Head, Prompt, Turn, render, render_head, turn
from tagger.record import Record
from tagger.schema import PATH_SEPARATOR, ClosedField, FieldBase, LabelField
from tagger.shortlist import Shortlist, narrowed
from tagger.shots import ShotPool
from tagger.task import Task

Limits = Mapping[str, tuple[str, ...]]
"""By field the labels that may be answered of a record; none: the field is not asked of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """The fields as they are asked of a record, with a shortlist in place of all labels, and what the model reads."""

    fields: Mapping[str, FieldBase]
    prompt: Prompt


class Questions:
    """Asks a task's questions; keeps what is the same for many records."""

    def __init__(
        self, task: Task, pool: Sequence[Example], examples: Sequence[Example], priors: Mapping[Ask, RowPrior]
    ) -> None:
        """`pool` may be empty; `examples` are the pool's or those that are shipped; `priors` rank shortlists."""
        self._task, self._examples, self._priors = task, examples, priors
        self.pool = ShotPool(task, pool) if pool else None
        self._shortlists: dict[Ask, Shortlist] = {}
        self._heads: dict[tuple[Ask, tuple[str, ...], str, int, tuple[int, ...]], Head] = {}
        self._turns: dict[tuple[Ask, tuple[str, ...], int], Turn] = {}

    def of(self, ask: Ask, records: Sequence[Record], vote: int = 0, limits: Sequence[Limits] = ()) -> list[Question]:
        """The question to each record. From the second vote on (1, 2, ...) examples are shown in another order.

        `limits` are what rules leave of each record's fields (rules.py). The prompt tells all labels all the same, so
        that its beginning stays that of the others; only what may be answered is fewer.
        """
        limits = limits or [{}] * len(records)
        plan = self._task.plan.shots
        near = self.pool.nearest(records, plan.retrieved, plan.common) if self.pool else [[] for _ in records]
        questions = []
        candidates_of = self.candidates(ask, records, limits)
        for record, shots, candidates, limit in zip(records, near, candidates_of, limits, strict=True):
            fields = self.asked(ask, record, limit)
            head = self._head(ask, fields, record, vote)
            shots = shuffled(shots, f"{vote}/{plain_text(record)}") if vote else shots
            fewer = narrowed(fields, candidates) if candidates else limited(fields, limit)
            listed = tuple(choice_values(ask, fewer)) if candidates else ()
            turns = [self._turn(ask, fields, shot) for shot in shots]
            questions.append(Question(fewer, render(self._task, head, turns, record, listed)))
        return questions

    def of_level(self, ask: Ask, records: Sequence[Record], descents: Sequence[Descent]) -> list[Question]:
        """The question to each record about the children of the node that it has reached.

        Of the nearest examples those below that node are shown.
        """
        (name,) = ask.fields
        near = self.pool.nearest(records, self._task.plan.shots.retrieved) if self.pool else [[] for _ in records]
        questions = []
        for record, shots, descent in zip(records, near, descents, strict=True):
            options, depth = descent.options(), len(descent.at)
            fields = {name: LabelField(about=self._task.fields[name].about, labels=dict.fromkeys(options, ""))}
            paths = [(shot, tuple(shot.answer[name].split(PATH_SEPARATOR))) for shot in shots]
            shown = [replace(s, answer={name: path[depth]}) for s, path in paths if path[:depth] == descent.at]
            head = self._head(ask, self.asked(ask, record), record, 0)
            turns = [turn(self._task, ask, fields, shot) for shot in shown]
            prompt = render(self._task, head, turns, record, tuple(options))
            questions.append(Question(fields, prompt))
        return questions

    def asked(self, ask: Ask, record: Record, limit: Limits = MappingProxyType({})) -> dict[str, FieldBase]:
        """The fields of an ask that are asked of a record; not those of which rules leave nothing."""
        asked = self._task.asked(record).items()
        return {name: field for name, field in asked if name in ask.fields and limit.get(name) != ()}

    def candidates(
        self, ask: Ask, records: Sequence[Record], limits: Sequence[Limits] = ()
    ) -> Sequence[tuple[str, ...]]:
        """For each record the texts of the values on its shortlist, likeliest first; none without one."""
        if not ask.shortlist:
            return [()] * len(records)
        if ask not in self._shortlists:
            (name,) = ask.fields
            field = self._task.fields[name]
            rows = [(e.record, value_text(field, e.answer[name])) for e in self._examples if name in e.answer]
            labels = dict.fromkeys(field.closed or {}, "") | dict(getattr(field, "labels", {}))
            self._shortlists[ask] = Shortlist(labels, rows, self._priors.get(ask))
        shortlist, (name,) = self._shortlists[ask], ask.fields
        found: list[tuple[str, ...]] = shortlist.candidates(records, ask.shortlist)
        for n, limit in enumerate(limits):
            if left := limit.get(name):
                (ranked,) = shortlist.candidates([records[n]], len(self._task.fields[name].closed or {}))
                found[n] = tuple(text for text in ranked if text in left)[: ask.shortlist]
        return found

    def _turn(self, ask: Ask, fields: Mapping[str, FieldBase], shot: Example) -> Turn:
        """An example of the pool as it is shown; made once, for many records have it near."""
        key = ask, tuple(fields), id(shot)
        if key not in self._turns:
            self._turns[key] = turn(self._task, ask, fields, shot)
        return self._turns[key]

    def _head(self, ask: Ask, fields: Mapping[str, FieldBase], record: Record, vote: int) -> Head:
        plan, group = self._task.plan.shots, self._task.group(record)
        shown = self.pool.common(record, plan.common) if self.pool and ask.form != "levels" else []
        key = ask, tuple(fields), group, vote, tuple(map(id, shown))
        if key not in self._heads:
            if not self.pool and ask.form != "levels":  # an example belongs to one node, the head to all
                texts = [e for e in self._task.examples if not e.record.pictures]  # a shot is a text
                fixed, asked = showable(self._task, texts)[: plan.fixed], self._task.asked(record)
                shown = [e for e in fixed if self._task.asked(e.record) == asked]
            shown = shuffled(shown, str(vote)) if vote else shown
            self._heads[key] = render_head(self._task, ask, fields, shown)
        return self._heads[key]


def limited(fields: Mapping[str, FieldBase], limit: Limits) -> dict[str, FieldBase]:
    """The fields with only those labels that rules leave."""
    return {
        name: field.among(limit[name]) if name in limit and isinstance(field, ClosedField) else field
        for name, field in fields.items()
    }


def showable(task: Task, examples: Sequence[Example]) -> list[Example]:
    """Examples that answer every field that is asked by itself; the others cannot be shown as shots."""
    alone = [ask.fields[0] for ask in task.plan.ask if not ask.as_object]
    return [e for e in examples if all(name in e.answer for name in alone if name in task.asked(e.record))]


def shuffled(examples: Sequence[Example], seed: str) -> list[Example]:
    """The same examples in an order that depends on the seed alone."""
    return Random(seed).sample(list(examples), len(examples))
