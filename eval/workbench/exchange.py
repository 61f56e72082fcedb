"""Reviewed rows as tables and lines of JSON, out and in."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eval.workbench.reviews import Review, checked, labelled_lines, native
from eval.workbench.table import UNREAD
from eval.workbench.uploads import bring
from tagger.errors import SourceError, TaskError
from tagger.example import MOST_SHOWN, Example
from tagger.record import ID
from tagger.schema import (
    BooleanField,
    FieldBase,
    NumberField,
    is_quantity,
    plain_quantity,
    takes_several,
)
from tagger.task import Task

_NUMBER = re.compile(r"(?P<number>-?(?:[1-9]\d{0,2}(?:,\d{3})+|0|[1-9]\d*)(?:\.\d+)?)\s*(?P<unit>[^\s\d.,-].*)?")
NOTHING = "(nothing)"
"""In the first field's column of a table: the record has none of the fields. A row without any is not answered yet."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The verdicts of a file, and how many of its rows nobody has answered (or somebody has skipped)."""

    reviews: tuple[Review, ...]
    unanswered: int = 0


def to_csv(task: Task, examples: Iterable[Example]) -> str:
    """Rows with their answers as a table: id, columns, fields; lists as JSON, quantities as 250 g. Write it as
    utf-8-sig, or Excel garbles Chinese."""
    heads = _heads(task)
    out = io.StringIO()
    table = csv.DictWriter(out, [ID, *(name for name in task.columns if name != ID), *heads.values()])
    table.writeheader()
    for row in examples:
        cells = {heads[name]: cell(value) for name, value in row.answer.items()}
        nothing = {} if row.answer else {next(iter(heads.values())): NOTHING}
        table.writerow({ID: row.record.id, **row.record.values, **cells, **nothing})
    return out.getvalue()


def from_csv(task: Task, path: Path, author: str, rows: str = "") -> Imported:
    """The rows of such a table that have an answer, as CSV with any delimiter and encoding or as Excel.

    Raises SourceError for a file that is no table, and TaskError if a column is missing, or naming each row whose
    answer does not fit the task; nothing is imported then.
    """
    heads = _heads(task)
    with TemporaryDirectory() as folder:
        out = Path(folder) / "rows.jsonl"
        columns = bring(path, path.name, out).columns
        lines = out.read_text("utf-8").removesuffix("\n").split("\n")
    required = [name for name, column in task.columns.items() if column.required]
    if missing := [name for name in (*required, *heads.values()) if name not in columns]:
        hint = "write the table out here, fill it in, and keep its first line as it is"
        raise TaskError(f"the table lacks the columns {', '.join(missing)}", where=path.name, hint=hint)
    found, wrong, unanswered = [], [], 0
    for number, line in enumerate(lines, start=1):
        row, where = json.loads(line), f"{path.name}, row {number} below the names of columns"
        cells = {name: row[head] for name, head in heads.items() if row.get(head)}
        if not cells and UNREAD not in row:
            unanswered += 1
            continue
        try:
            example = _tabled(task, row, cells, where)
        except TaskError as error:
            wrong.append(error)
        else:
            found.append(Review(author, example.record, example.answer, rows=rows))
    refuse_all(wrong)
    return Imported(tuple(found), unanswered)


def to_jsonl(examples: Iterable[Example]) -> str:
    """Rows with their answers as lines of JSON, as `--data` takes them."""
    return "".join(json.dumps(native(example), ensure_ascii=False) + "\n" for example in examples)


def from_jsonl(task: Task, path: Path, author: str, rows: str = "") -> Imported:
    """Labelled rows of a JSONL file in any shape that the task reads; TaskError naming each that does not fit it, and
    SourceError for answers of a tagger, or several right ones: a verdict is a person's, and one."""
    examples = labelled_lines(task, path)
    if wrong := [row for row in examples if row.pseudo or row.also]:
        told = (
            f"{len(wrong):,} rows have answers of a tagger or several right ones, the first is {wrong[0].record.id!r}"
        )
        raise SourceError(told, where=path.name, hint="take them out of the file")
    return Imported(tuple(Review(author, row.record, row.answer, rows=rows) for row in examples))


def _heads(task: Task) -> dict[str, str]:
    """The name of the column of each field in a table."""
    taken = {ID, UNREAD, *task.columns}
    return {name: f"{name} (answer)" if name in taken else name for name in task.fields}


def cell(value: Any) -> str:
    """A value as it stands in a table, and as `read_number` and JSON take it back."""
    if is_quantity(value):
        return plain_quantity(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_number(text: str) -> Any:
    """The number or quantity that a person has written, as 2.5, 1,250, 2.5 kg or JSON; None for anything else."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            return None
    found = _NUMBER.fullmatch(text.strip())
    if not found:
        return None
    number = json.loads(found["number"].replace(",", ""))
    return {"value": number, "unit": found["unit"]} if found["unit"] else number


def _tabled(task: Task, row: Mapping[str, str], cells: Mapping[str, str], where: str) -> Example:
    if UNREAD in row:
        raise TaskError(row[UNREAD], where=where)
    answer = {} if cells == {next(iter(task.fields)): NOTHING} else {
        name: _parsed(task.fields[name], text, name, where) for name, text in cells.items()
    }  # fmt: skip
    return checked(task, {name: row[name] for name in (ID, *task.columns) if name in row}, answer, where)


def _parsed(field: FieldBase, text: str, name: str, where: str) -> Any:
    """The value in a cell."""
    if isinstance(field, NumberField):
        if (number := read_number(text)) is None:
            told = f"{name}: expected a number as {'2.5 kg' if field.units else '2.5'}, found {text!r}"
            raise TaskError(told, where=where)
        return number
    if takes_several(field):
        try:
            return json.loads(text)
        except ValueError:
            raise TaskError(f'{name}: expected a list as ["one", "two"], found {text!r}', where=where) from None
    if isinstance(field, BooleanField):
        text = text.lower()  # Excel writes TRUE
    return field.closed.get(text, text) if field.closed else text


def refuse_all(wrong: Sequence[TaskError]) -> None:
    if wrong:
        told = "".join(f"\n{error}" for error in wrong[1:MOST_SHOWN])
        more = f"\n... and {len(wrong) - MOST_SHOWN:,} more" if len(wrong) > MOST_SHOWN else ""
        raise TaskError(f"{wrong[0].message}{told}{more}", where=wrong[0].where, hint=wrong[0].hint)
