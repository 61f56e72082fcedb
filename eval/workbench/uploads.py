"""A file that an analyst has brought in, whatever wrote it; records that a task can read out.

Read are CSV with any usual delimiter, JSON, Parquet and Excel, in any usual encoding. Whatever had to be decided about
a file, and each row that could not be read, stands in the notes: nothing is mended or dropped in silence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import get_ident

from eval.workbench.columns import head_cells, id_column, label_column, picture_column, text_column
from eval.workbench.pictures import keep
from eval.workbench.table import UNREAD, Table, unique_name
from eval.workbench.tables import open_table
from tagger.errors import SourceError
from tagger.record import ID, Rejected
from tagger.sources import Seen

SHOWN_ROWS, NAMED_LINES = 20, 5
LOOKED_ROWS = 10_000
"""Rows in which categories are looked for: a second or two of a large file."""


@dataclass(frozen=True, slots=True)
class Look:
    """The first rows of a file, and what its columns seem to be (None: none of them)."""

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    format: str
    encoding: str | None
    delimiter: str | None
    notes: tuple[str, ...]
    text_column: str | None
    label_column: str | None
    id_column: str | None
    picture_column: str | None = None
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    """Of a workbook that which is read, and all."""


@dataclass(frozen=True, slots=True)
class Brought:
    """How many rows were written, with which columns, and what to know about them."""

    rows: int
    columns: tuple[str, ...]
    notes: tuple[str, ...]


class _NoIdsError(Exception):
    """Why the column of ids does not name each row."""


def look(
    path: Path, name: str, encoding: str | None = None, sheet: str | None = None, *, pictures: bool = False
) -> Look:
    """What is in a file, from its first rows; `name` is what the analyst calls it, `sheet` one of a workbook,
    `pictures` whether a task is to read some.

    Raises SourceError, in an analyst's words, for a file that holds no table that can be read.
    """
    table = open_table(path, name, encoding, sheet, pictures)
    cells = head_cells(table)
    identity = id_column(table, cells)
    text, picture = text_column(cells, identity), picture_column(cells)
    return Look(
        columns=tuple(table.columns),
        rows=tuple(_legible(table, line, row) for line, row in table.head if row)[:SHOWN_ROWS],
        format=table.format,
        encoding=table.encoding and table.encoding.removesuffix("-sig"),
        delimiter=table.delimiter,
        notes=tuple(table.notes),
        text_column=text,
        label_column=label_column(cells, identity, text, picture),
        id_column=identity,
        picture_column=picture,
        sheet=table.sheet,
        sheets=table.sheets,
    )


def values(path: Path, name: str, column: str, encoding: str | None = None, sheet: str | None = None) -> list[str]:
    """What stands in a column of a file, as it comes, each once; of the first LOOKED_ROWS. Raises as `look` does."""
    table = open_table(path, name, encoding, sheet)
    rows = (_legible(table, line, row) for line, row in islice(table.rows(), LOOKED_ROWS) if row)
    return list(dict.fromkeys(text for row in rows if (text := row.get(column))))


def bring(
    path: Path,
    name: str,
    out: Path,
    *,
    encoding: str | None = None,
    sheet: str | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    most: int | None = None,
    pictures: Path | None = None,
) -> Brought:
    """Write a file as JSONL: one object a line, texts by column, empty cells left out, and an `id` that is unique.

    A row that cannot be read becomes {"id": ..., "unread": "why"}, so that it is counted and seen wherever rows are; a
    task rejects it, as it lacks the columns that the task reads. At most the first `most` rows are taken. Pictures
    that stand in the file themselves become files of the task whose folder `pictures` is, and are named in the rows;
    without one bytes are not read.
    `out` is written whole or not at all. Raises SourceError as `look` does.
    """
    table = open_table(path, name, encoding, sheet, pictures is not None)
    identity = id_column(table, head_cells(table))
    try:
        tally = _write(out, table, identity, progress, most, pictures)
        told = f"each row's id is that of column {identity!r}" if identity else "each row's id is its number"
    except _NoIdsError as why:  # seldom, so that a second pass costs less than a first one only for the ids
        told, identity = f"each row's id is its number, as column {identity!r} {why}", None
        tally = _write(out, table, identity, progress, most, pictures)
    notes = [*table.notes, told, *tally.notes()]
    if ID in table.columns and identity != ID:
        notes.append(f"the file's own column 'id' is called {_spare(table)!r} here")
    columns = (_spare(table) if column == ID != identity else column for column in table.columns)
    return Brought(tally.rows, tuple(columns), tuple(notes))


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    empty: int = 0
    unread: int = 0
    first: list[str] = field(default_factory=list)
    cut: bool = False
    pictures: int = 0

    def add(self, record: Mapping[str, str]) -> None:
        self.rows += 1
        if UNREAD in record:
            self.unread += 1
            self.first += [record[UNREAD]] if self.unread <= NAMED_LINES else []

    def notes(self) -> Iterator[str]:
        if self.unread:
            more = "; ..." if self.unread > len(self.first) else ""
            yield f"rows that cannot be read: {self.unread:,} ({'; '.join(self.first)}{more})"
        if self.empty:
            yield f"rows left out, as they hold nothing: {self.empty:,}"
        if self.pictures:
            yield f"pictures that stand in the file: {self.pictures:,}"
        if self.cut:
            yield f"only the first {self.rows:,} rows were taken; the file has more"


def _write(
    out: Path, table: Table, identity: str | None, progress: Callable[[int], None], most: int | None,
    pictures: Path | None,
) -> _Tally:  # fmt: skip
    """Write a file whole or not at all; _NoIdsError for the latter."""
    tally = _Tally()
    part = out.with_name(f"{out.name}.{os.getpid()}.{get_ident()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            for record in _records(table, identity, tally):
                if tally.rows == most:
                    tally.cut = True
                    break
                written = {column: keep(text, pictures) for column, text in record.items()} if pictures else record
                tally.pictures += sum(written[column] is not text for column, text in record.items())
                file.write(json.dumps(written, ensure_ascii=False).encode() + b"\n")
                tally.add(record)
                if tally.rows % 1000 == 0:
                    progress(tally.rows)
        progress(tally.rows)
        part.replace(out)
    except OSError as error:
        raise SourceError(f"the rows cannot be written: {error.strerror}", where=table.name) from None
    finally:
        part.unlink(missing_ok=True)
    return tally


def _records(table: Table, identity: str | None, tally: _Tally) -> Iterator[dict[str, str]]:
    seen, spare = Seen(), _spare(table)
    for line, row in table.rows():
        place = f"{table.place} {line:,}"
        if not row:
            tally.empty += 1
            continue
        values = _legible(table, line, row)
        if not tally.rows:
            # A task that finds no column of its own in the first row takes the whole file for one that does not fit.
            values = dict.fromkeys(table.columns, "") | values
        own = str(tally.rows + 1)
        if identity:
            own = place if UNREAD in values else values.get(identity, "")
            if not own:
                raise _NoIdsError(f"is empty in {place}")
            if not seen.add(own):
                raise _NoIdsError(f"has {own!r} again in {place}")
        if ID in values and identity != ID:
            values = {spare if column == ID else column: text for column, text in values.items()}
        yield {ID: own} | values | {ID: own}


def _legible(table: Table, line: int, row: dict[str, str] | Rejected) -> dict[str, str]:
    return {UNREAD: f"{table.place} {line:,}: {row.reason}"} if isinstance(row, Rejected) else row


def _spare(table: Table) -> str:
    """What the file's own column "id" is called where the rows have other ids."""
    return unique_name(f"{ID} in the file", 0, set(table.columns))
