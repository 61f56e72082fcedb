"""Verdicts and their labelled rows in, slices out; and which values are confused, and which labels may be wrong.

The slices of a verdict follow from the row and its label alone, never from what was answered: so two runs over
the same rows have the same slices and can be compared in each (compare.py).
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.figures import Figure, bootstrap, share
from eval.language import language
from eval.score import Verdict, counts, one_value
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Column, Record
from tagger.schema import NumberField, TextField, TextsField, is_quantity, plain_quantity
from tagger.task import Task

LONG_TAIL = 5
"""A value with fewer train rows than this is in the long tail."""
CONFIDENT = 0.9
MOST_DOUBTED = 50
SHOWN = 20
"""Rows of a table that are printed."""

_Grouping = Callable[[str, Example], Iterable[str]]
"""A field and a labelled row -> the names of the slices that the field's verdict is in."""
More = Mapping[str, Mapping[str, str]]
"""Columns to slice by as well: the group of each row by its id, by the name of the column (groups.py)."""
NO_MORE: More = {}


@dataclass(frozen=True, slots=True)
class Slice:
    """The verdicts of one kind of row or value, and the task's figure over them."""

    name: str
    verdicts: tuple[Verdict, ...]
    figure: Figure


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often `answered` was answered where `gold` is right."""

    field: str
    gold: str
    answered: str
    count: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that a sure answer contradicts. `label` is "" where the row has none; `text` is the record's."""

    id: str
    field: str
    label: str
    answer: str
    probability: float
    text: str


def holds(verdict: Verdict) -> bool:
    """Whether the outcome is right: the right value, or rightly none, be it that none was found or that a guess was
    withheld. An abstention where there is a value is not."""
    return verdict.kind in ("right", "absent") or (verdict.kind == "abstained" and verdict.gold is None)


def task_figure(found: Sequence[Verdict], task: Task) -> Figure:
    """The figure that a task is judged by: share right with Wilson's interval where it has one field, strict micro
    F1 with a bootstrap over records where it has several. SourceError for no verdicts."""
    if not found:
        raise SourceError("a figure of nothing: there are no verdicts")
    if one_value(task):
        return share(*terms(found, task))
    return bootstrap(found, lambda c: c.f1)


def terms(found: Sequence[Verdict], task: Task) -> tuple[int, int]:
    """Numerator and denominator of that figure; those of many records are the sums of theirs."""
    if one_value(task):
        return sum(map(holds, found)), len(found)
    c = counts(found)
    return 2 * c.right, c.answered + c.labelled


def slices(
    found: Sequence[Verdict], examples: Sequence[Example], task: Task, train: Sequence[Example], more: More = NO_MORE
) -> list[Slice]:
    """Every slice of `sliced` with the task's figure."""
    parts = sliced(found, examples, task, train, more)
    return [Slice(name, tuple(part), task_figure(part, task)) for name, part in parts.items()]


def sliced(
    found: Sequence[Verdict], examples: Sequence[Example], task: Task, train: Sequence[Example], more: More = NO_MORE
) -> dict[str, list[Verdict]]:
    """Verdicts by the name of their slice: language, category, length of the text, the groups of columns (`more`),
    value seen in train rows or not, many or few train rows of the value.

    The last two look at the right value in its own field. They leave out verdicts on fields for which the row has
    no value, so invented values do not count in them; a list is one value; without train rows they are missing. The
    category is the label of a task with one closed field, the `when` group of others.
    """
    rows = {example.record.id: example for example in examples}
    judged = [rows[name].record for name in dict.fromkeys(verdict.id for verdict in found)]
    groupings = [_language(task.columns), _category(task), _length(judged, task.columns)]
    groupings += [_column(name, groups) for name, groups in more.items()]
    if train:
        groupings += _by_train_rows(train)
    parts: dict[str, list[Verdict]] = {}
    for grouping in groupings:
        mine = defaultdict(list)
        for verdict in found:
            for name in grouping(verdict.field, rows[verdict.id]):
                mine[name].append(verdict)
        parts |= sorted(mine.items())
    return parts


def confusions(found: Iterable[Verdict]) -> list[Confusion]:
    """Wrong answers by right value and answer, the most frequent first."""
    pairs = Counter((v.field, shown(v.gold), shown(v.value)) for v in found if v.kind == "wrong")
    return [Confusion(*pair, count) for pair, count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))]


def suspects(found: Iterable[Verdict], examples: Sequence[Example], task: Task) -> list[Suspect]:
    """Labels to look at again, the surest answer against one first: all against which the answer has a probability
    of at least CONFIDENT, and at least the MOST_DOUBTED surest.

    Labels that a model contradicts with confidence are where errors of labelling gather (Northcutt et al. 2021,
    arXiv 1911.00068). A value answered where the row has none counts only if a labeller looked at the field.
    """
    texts = {example.record.id: text_of(example.record, task.columns) for example in examples}
    against = [v for v in found if v.kind == "wrong" or (v.kind == "invented" and v.annotated)]
    against.sort(key=lambda v: v.p, reverse=True)
    return [
        Suspect(v.id, v.field, shown(v.gold), shown(v.value), v.p, texts[v.id])
        for place, v in enumerate(against)
        if place < MOST_DOUBTED or v.p >= CONFIDENT
    ]


def write_suspects(path: Path, found: Sequence[Suspect]) -> None:
    """Write labels to look at as a table, CSV or JSONL by the name of the file; SourceError for another name."""
    if path.suffix not in (".csv", ".jsonl"):
        raise SourceError(f"expected a name in .csv or .jsonl, found {path.name!r}", where=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(asdict(s), ensure_ascii=False) + "\n" for s in found), "utf-8")
        return
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # without the mark, Excel garbles Chinese
        table = csv.DictWriter(file, [column.name for column in fields(Suspect)])
        table.writeheader()
        table.writerows(map(asdict, found))


def print_slices(found: Sequence[Slice], confused: Sequence[Confusion], console: Console) -> None:
    """Show slices with their figures in percent, and the most frequent confusions."""
    rows = [(s.name, len({v.id for v in s.verdicts}), len(s.verdicts), s.figure) for s in found]
    print_table("slices", ("slice", "records", "values", "% [95 %]"), rows, console, most=len(rows))
    print_table("confused values", ("field", "right", "answered", "times"), list(map(astuple, confused)), console)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], console: Console, most: int = SHOWN
) -> None:
    """Show the first `most` rows of a table, and how many more there are; nothing for no rows."""
    table = Table(*columns, title=title)
    for row in rows[:most]:
        table.add_row(*(escape(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    if rows:
        console.print(table)
    if len(rows) > most:
        console.print(f"and {len(rows) - most:,} more", highlight=False)


def text_of(record: Record, columns: Mapping[str, Column]) -> str:
    """The text of a record: all columns but those with a fixed set of values, which are no text."""
    return " ".join(value for name, value in record.values.items() if value and not columns[name].allowed)


def shown(value: Any) -> str:
    """A value as text: itself if it is text, "" for none, a quantity as one writes it, else JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if is_quantity(value):
        return plain_quantity(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _language(columns: Mapping[str, Column]) -> _Grouping:
    def names(_: str, row: Example) -> Iterable[str]:
        yield f"language: {language(text_of(row.record, columns))}"

    return names


def _column(column: str, groups: Mapping[str, str]) -> _Grouping:
    def names(_: str, row: Example) -> Iterable[str]:
        if row.record.id in groups:
            yield f"{column}: {groups[row.record.id]}"

    return names


def _category(task: Task) -> _Grouping:
    def names(field: str, row: Example) -> Iterable[str]:
        if task.definition.when:
            yield f"category: {task.group(row.record)}"
        elif len(task.fields) == 1 and not isinstance(task.fields[field], TextField | TextsField | NumberField):
            value = row.answer.get(field)
            for label in value if isinstance(value, list) else [value]:
                if label is not None:
                    yield f"category: {shown(label)}"

    return names


def _length(judged: Sequence[Record], columns: Mapping[str, Column]) -> _Grouping:
    """Thirds of the records by characters; texts of one length are in the same third."""
    lengths = [len(text_of(record, columns)) for record in judged] or [0]
    short, medium = (int(bound) for bound in np.quantile(lengths, [1 / 3, 2 / 3], method="lower"))

    def names(_: str, row: Example) -> Iterable[str]:
        length = len(text_of(row.record, columns))
        if length <= short:
            yield f"length: short, up to {short} characters"
        elif length <= medium:
            yield f"length: medium, {short + 1} to {medium} characters"
        else:
            yield f"length: long, over {medium} characters"

    return names


def _by_train_rows(train: Sequence[Example]) -> list[_Grouping]:
    rows = Counter((field, value) for row in train for field in row.answer for value in _right_values(field, row))

    def known(field: str, row: Example) -> Iterable[str]:
        if values := _right_values(field, row):
            yield f"value: {'seen' if any(rows[field, value] for value in values) else 'not seen'} in train rows"

    def frequent(field: str, row: Example) -> Iterable[str]:
        if values := _right_values(field, row):
            few = max(rows[field, value] for value in values) < LONG_TAIL
            yield f"train rows of the value: {f'fewer than {LONG_TAIL}' if few else f'{LONG_TAIL} or more'}"

    return [known, frequent]


def _right_values(field: str, row: Example) -> set[str]:
    """All right values as texts: values themselves may be lists and objects, which cannot be counted."""
    if field not in row.answer:
        return set()
    return {shown(value) for value in (row.answer[field], *row.also.get(field, ()))}
