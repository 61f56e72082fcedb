"""Labelled rows and an earlier run in, rows in which a column has what that run predicted, out.

To judge a task on what really reaches it: attributes, for instance, depend on a category that is itself predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from eval.record import Run, RunRow
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Column


def with_predicted(examples: Sequence[Example], column: str, run: Run, takes: Column) -> list[Example]:
    """The examples with the value of `column` that the run predicted for the record of the same id.

    The labels stay. Raises SourceError if the run has no value for a record, predicts several fields, or a value that
    the column does not take.
    """
    predicted = {row.id: [tag.value for tag in row.tags.values()] for row in run.rows}
    if missing := [e.record.id for e in examples if len(predicted.get(e.record.id, ())) != 1]:
        raise SourceError(f"the run does not predict one value for {len(missing)} rows, the first is {missing[0]!r}")
    if takes.allowed and (others := {str(predicted[e.record.id][0]) for e in examples} - set(takes.allowed)):
        raise SourceError(f"column {column!r} does not take {min(others)!r}, which the run predicts")
    return [
        replace(e, record=replace(e.record, values={**e.record.values, column: str(predicted[e.record.id][0])}))
        for e in examples
    ]


def unchanged(plain: Sequence[Example], changed: Sequence[Example], base: Run) -> Mapping[str, RunRow]:
    """By id, the rows of the base run whose records are the same in both: they need not be asked again."""
    known = {row.id: row for row in base.rows}
    pairs = zip(plain, changed, strict=True)
    same = [b.record.id for a, b in pairs if a.record.values == b.record.values and b.record.id in known]
    return {name: known[name] for name in same}
