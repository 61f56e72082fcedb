"""A task and its labelled rows in, the rows' say joined to the model's scores out.

Closed fields that are asked by themselves are judged by prior.py, pieces of a record's text by spans.py. The rows
are those of the pool; without one the shipped examples speak, and for closed fields the label descriptions. In a pool
with few rows for a label the text of each label is a row too: with 167 labels and 397 rows the rows alone then have 78
instead of 68 % of the dev rows right (with 100 rows a label it changes nothing).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tagger.confidence import Scores
from tagger.errors import TaskError
from tagger.evidence import find, same
from tagger.example import Example
from tagger.grammar import value_text
from tagger.plan import Ask
from tagger.prior import MOST_LABELS, RowPrior
from tagger.record import Record
from tagger.schema import FieldBase, takes_several, takes_spans
from tagger.spans import SpanPrior
from tagger.task import Task

MANY_ROWS = 10
"""From so many rows a label on, a pool speaks for itself."""


class Rows:
    """What labelled rows say of a task's fields; nothing where the plan leaves them out (`prior = 0`)."""

    def __init__(self, task: Task, examples: Sequence[Example], *, pooled: bool) -> None:
        """`pooled`: whether the examples are a pool, and not those that are shipped with the task."""
        speak = task.plan.shots.prior > 0 and len(task.picture_columns) < len(task.columns)
        self._task = task
        self.closed = {ask: prior for ask in task.plan.ask if speak and (prior := _closed(task, ask, examples, pooled))}
        """By ask, what rows say of its one closed field."""
        self._spans = _spans(task, examples) if speak and examples else None

    def shares(self, ask: Ask, records: Sequence[Record]) -> Sequence[Mapping[str, float]]:
        """For each record the probabilities of the values of a closed field; empty where the rows say nothing: they go
        by its text, so of a record that is all picture, too."""
        if ask not in self.closed:
            return [{}] * len(records)
        told = [record for record in records if any(record.values.values()) or not record.pictures]
        found = dict(zip(map(id, told), self.closed[ask].shares(told), strict=True))
        return [found.get(id(record), {}) for record in records]

    def joined(
        self,
        ask: Ask,
        fields: Mapping[str, FieldBase],
        found: Mapping[str, Scores],
        record: Record,
        shares: Mapping[str, float],
    ) -> dict[str, Scores]:
        """The model's scores of a record's fields with what the rows say of the same values, and propose themselves;
        pieces of the record's text are spelled as they stand in it.

        `shares` are those of the record, for a closed field asked by itself.
        """
        if not ask.as_object:
            return {
                name: replace(scores, rows={text: shares[text] for text in scores.model}) if shares else scores
                for name, scores in found.items()
            }
        spelled = {n: _as_it_stands(fields[n], s, record) if takes_spans(fields[n]) else s for n, s in found.items()}
        written = {
            name: [str(json.loads(text)) for text in spelled[name].model] if name in spelled else []
            for name, field in fields.items()
            if takes_spans(field)
        }
        joined = dict(spelled)
        if self._spans and written:
            for name, view in self._spans.views(record, self._task.group(record), written).items():
                said = set(view.spelled.values())
                fit = [value for value in view.chances if value in said or _fits(fields[name], value)]
                if fit:
                    own = spelled.get(name, Scores({}, {}))
                    model = {_literal(view.spelled[json.loads(text)]): p for text, p in own.model.items()}
                    chances, counted = (_literals(part, fit) for part in (view.chances, view.shares))
                    joined[name] = replace(own, model=model, rows=chances, shares=counted, usual=view.usual)
        return joined


def _closed(task: Task, ask: Ask, examples: Sequence[Example], pooled: bool) -> RowPrior | None:
    name = ask.fields[0]
    answered = [(e.record, e.answer[name]) for e in examples if name in e.answer]
    if ask.as_object or not answered:
        return None
    field = task.fields[name]
    rows = [(record, value_text(field, value)) for record, value in answered]
    labels = getattr(field, "labels", {})
    if len({label for _, label in rows}) > MOST_LABELS:
        return None
    if task.plan.shots.compared:  # not with label texts: they are not two texts to compare
        if len(task.columns) < 2:
            hint = "take `compared` out of plan.toml, or add a column to task.toml"
            raise TaskError(
                f"there are no two texts to compare, only column {next(iter(task.columns))!r}",
                where=task.place("plan.toml"),
                hint=hint,
            )
        return RowPrior(rows, list(field.closed or {}), compared=True)
    if len(labels) <= MOST_LABELS and (not pooled or len(rows) < MANY_ROWS * len(labels)):
        rows += [(Record(label, {name: f"{label} {about}"}), label) for label, about in labels.items()]
    return RowPrior(rows, list(field.closed or {}))


def _spans(task: Task, examples: Sequence[Example]) -> SpanPrior | None:
    names = {name for name, field in task.fields.items() if takes_spans(field)}
    if not names:
        return None
    answers = [{name: value for name, value in row.answer.items() if name in names} for row in examples]
    records = [row.record for row in examples]
    groups = [task.group(record) for record in records]
    return SpanPrior(list(zip(records, answers, strict=True)), groups, task.text_columns)


def _as_it_stands(field: FieldBase, scores: Scores, record: Record) -> Scores:
    """Scores of pieces of the record's text, each spelled as it stands there: a model writes "led" of an LED lamp.
    Of spellings that become one a single value has the sum; an item of a list, which may be said in both, the most."""
    model: dict[str, float] = {}
    for text, p in scores.model.items():
        spelled = _standing(field, json.loads(text), record)
        literal = _literal(spelled) if spelled else text
        before = model.get(literal, 0.0)
        model[literal] = max(before, p) if takes_several(field) else before + p
    return replace(scores, model=model)


def _standing(field: FieldBase, said: object, record: Record) -> str:
    """A text as the record spells it; "" where it does not, or what stands there is more (a "2" is found in "½")."""
    place = find(said, record.values) if isinstance(said, str) else None
    spelled = " ".join(place.text.split()) if place else ""
    return spelled if spelled and same(str(said), spelled) and _fits(field, spelled) else ""


def _fits(field: FieldBase, value: str) -> bool:
    return field.problem([value] if takes_several(field) else value) is None


def _literals(found: Mapping[str, float], values: Sequence[str]) -> dict[str, float]:
    return {_literal(value): found[value] for value in values}


def _literal(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
