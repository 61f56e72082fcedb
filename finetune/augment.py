"""Train rows in, more of them out: rows of rarer labels again, and copies with another surface.

Only train rows are ever multiplied; dev and test rows stay as they came.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

from eval.robust import perturbed
from eval.slices import shown
from tagger.errors import SourceError
from tagger.evidence import find
from tagger.example import Example
from tagger.schema import LabelsField, takes_spans
from tagger.task import Task

MOST_REPEATS = 5
"""How often a row stands at most among balanced ones: more would be learned by heart."""


def balanced(rows: Sequence[Example], task: Task) -> list[Example]:
    """The rows, those of rarer labels repeated until each label has as many as the most frequent one, up to
    MOST_REPEATS times each. SourceError for a task that is not one closed field."""
    if len(task.fields) != 1 or next(iter(task.fields.values())).closed is None:
        raise SourceError("only a task with one closed field has classes to balance", hint="leave out `balanced`")
    (name,) = task.fields
    of: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        of[shown(row.answer.get(name))].append(row)
    most = max(map(len, of.values()))
    return [row for mine in of.values() for row in islice(cycle(mine), min(most, MOST_REPEATS * len(mine)))]


def changed(rows: Sequence[Example], kinds: Sequence[str], seed: int, task: Task) -> list[Example]:
    """The rows, and a copy of each for every kind of change (eval/robust.py); the labels that stand in a text change
    with it. A copy in which a label no longer stands is left out: it would teach to make values up, or to be silent."""
    copies = [_copy(row, kind, seed, task) for kind in kinds for row in rows]
    return [*rows, *(copy for copy in copies if copy is not None)]


def _copy(row: Example, kind: str, seed: int, task: Task) -> Example | None:
    found = perturbed(row, kind, seed, task)
    if found.answer.keys() != row.answer.keys():
        return None
    # Of a label that changed with its text the new form is the one to learn: it comes behind the old one.
    answer: dict[str, Any] = {n: found.also[n][-1] if n in found.also else v for n, v in found.answer.items()}
    record = replace(found.record, id=f"{row.record.id}~{kind}")
    spans = [v for n, v in answer.items() if takes_spans(task.fields[n])]
    stands = all(
        find(text, record.values) for value in spans for text in (value if isinstance(value, list) else [value])
    )
    return replace(found, record=record, answer=answer, also={}) if stands else None


def refuse_few(rows: Sequence[Example], task: Task, least: int) -> None:
    """Raise SourceError if a label of a closed field has fewer than `least` rows: the adapter would learn never to
    say it."""
    for name, field in task.fields.items():
        values = field.labels if isinstance(field, LabelsField) else field.closed
        if values is None:
            continue
        of = Counter(label for row in rows for label in _labels(row.answer.get(name)))
        if few := [label for label in values if of[label] < least]:
            named = ", ".join(f"{label!r} ({of[label]})" for label in few[:5])
            more = f" and {len(few) - 5} more" if len(few) > 5 else ""
            hint = "label more rows, take the labels out of the task, or set `least` in the recipe lower"
            raise SourceError(f"field {name!r}: fewer than {least} train rows of {named}{more}", hint=hint)


def _labels(value: Any) -> tuple[str, ...]:
    return tuple(map(shown, value)) if isinstance(value, list) else (shown(value),)
