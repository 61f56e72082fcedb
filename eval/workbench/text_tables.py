"""CSV, JSON and Parquet in, an open table out."""

from __future__ import annotations

import base64
import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import ijson

from eval.workbench.encodings import lines_of, wrong_bytes
from eval.workbench.table import HEAD_ROWS, UNREAD, Row, Table, filled, header_of, unique_name
from tagger.errors import SourceError
from tagger.picture import may_be_picture
from tagger.record import Rejected

DELIMITERS = ",\t;|\x01"
NO_DELIMITER = "\x1f"
SEEN = 16
"""Rows of a batch with pictures, which may be large."""
LONGEST_ROW = 1000
"""Lines: a row with more has a quotation mark that is never closed."""


def csv_table(path: Path, name: str, codec: str, notes: list[str]) -> Table:
    csv.field_size_limit(1 << 30)  # of the whole process; as tagger.formats has it
    first = list(islice(lines_of(path, name, codec), 2 * HEAD_ROWS))
    said = re.fullmatch(r"sep=(.)\s*", first[0])  # Excel's own way to name the delimiter
    way: tuple[str, Literal[0, 3]] = (said[1], csv.QUOTE_MINIMAL) if said else _dialect(first, name)
    delimiter, quoting = way
    if quoting == csv.QUOTE_NONE:
        notes.append("quotation marks are read as part of the text")

    def cells() -> Iterator[tuple[int, list[str] | Rejected]]:
        lines = lines_of(path, name, codec)
        return _cells(islice(lines, 1, None) if said else lines, delimiter, quoting, 2 if said else 1)

    def rows() -> Iterator[Row]:
        for line, row in islice(cells(), 1, None):
            if isinstance(row, list) and len(row) != len(columns):
                row = Rejected("", f"{len(columns)} cells expected, {len(row)} found", "")
            yield line, row if isinstance(row, Rejected) else filled(columns, row)

    line, header = next(cells(), (1, []))
    if isinstance(header, Rejected):
        raise SourceError(f"the names of columns cannot be read: {header.reason}", where=f"{name}, line {line}")
    columns = header_of(header, name, notes)
    if len(columns) == 1:
        notes.append("the file has one column only")
    form = "TSV" if delimiter == "\t" else "CSV"
    shown = None if delimiter == NO_DELIMITER else delimiter
    return Table(name, form, columns, notes, codec, shown, "line", rows)


def _cells(
    lines: Iterator[str], delimiter: str, quoting: Literal[0, 3], line: int = 1
) -> Iterator[tuple[int, list[str] | Rejected]]:
    """The rows of a CSV, each with the number of its first line. Where quotation marks do not match, one line is
    given up and reading goes on with the next, so that it takes no others with it."""
    waiting: deque[str] = deque()
    taken: list[str] = []

    def feed() -> Iterator[str]:
        while (text := waiting.popleft() if waiting else next(lines, None)) is not None:
            taken.append(text)
            if len(taken) > LONGEST_ROW:
                raise csv.Error("not closed")
            yield text

    while True:
        try:
            for cells in csv.reader(feed(), delimiter=delimiter, quoting=quoting, strict=True):
                if cells:
                    yield line, cells
                line += len(taken)
                taken.clear()
            return
        except csv.Error:
            yield line, Rejected("", "a quotation mark opens a cell and does not close it", "")
            waiting.extendleft(reversed(taken[1:]))
            line += 1
            taken.clear()


def _dialect(lines: Sequence[str], name: str) -> tuple[str, Literal[0, 3]]:
    """The delimiter with which most rows have as many cells as the first, and of those the one with most cells."""
    ways: list[tuple[str, Literal[0, 3]]] = [(delimiter, csv.QUOTE_MINIMAL) for delimiter in DELIMITERS]
    if not any(re.search(r'(^|\t)"[^"\t]*"(\t|\s*$)', line) for line in lines):
        ways.append(("\t", csv.QUOTE_NONE))  # as many public data sets are written
    widths = {
        way: [0 if isinstance(row, Rejected) else len(row) for _, row in _cells(iter(lines), *way)] for way in ways
    }
    fits = {way: found[1:].count(found[0]) / max(1, len(found) - 1) for way, found in widths.items()}
    best = max(ways, key=lambda way: (widths[way][0] > 1, fits[way], widths[way][0]))
    first, *below = widths[best]
    if first > 1 and below and fits[best] < 0.5:
        told = (
            f"the first line has {first} cells, but only {fits[best]:.0%} of the next {len(below)} lines have as many"
        )
        hint = "name the columns in the first line; save the table with quotation marks around texts, or as .xlsx"
        raise SourceError(f"{told} (delimiter {best[0]!r})", where=name, hint=hint)
    if first > 1:
        return best
    for delimiter, found in ((way[0], found[1:]) for way, found in widths.items()):
        usual = max(set(found), key=found.count, default=0)
        if usual > 1 and len(found) > 2 and found.count(usual) > 0.9 * len(found):
            told = f"the first line is one cell, but the lines below are {usual} each (delimiter {delimiter!r})"
            hint = "delete what stands above the names of the columns"
            raise SourceError(told, where=f"{name}, line 1", hint=hint)
    return NO_DELIMITER, csv.QUOTE_MINIMAL


def json_table(table: Table, values: Callable[[str, str], Iterator[tuple[int, Any]]]) -> Table:
    """A table of objects, whose columns are the keys that turn up."""
    names: dict[str, str] = {}
    used = {UNREAD}

    def rows() -> Iterator[Row]:
        for line, value in values(table.name, table.encoding or "utf-8"):
            if not isinstance(value, Mapping):
                wrong = Rejected("", f"expected an object with columns, found {value!r:.40}", "")
                yield line, value if isinstance(value, Rejected) else wrong
                continue
            for key in value:
                if key not in names:
                    names[key] = unique_name(key, len(names) + 1, used)
                    table.columns.append(names[key])
                    if names[key] != key.strip():
                        table.notes.append(f"the column {key!r} is called {names[key]!r} here")
            yield line, filled([names[key] for key in value], list(value.values()))

    table.rows = rows
    return table


def json_lines(path: Path, name: str, codec: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines_of(path, name, codec), start=1):
        if line.strip():
            try:
                yield number, json.loads(line, parse_float=Decimal)  # which keeps 1.50 as it stands
            except (ValueError, RecursionError) as error:
                yield number, Rejected("", f"not a line of JSON: {error}", "")


def json_array(path: Path, name: str, codec: str) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        with path.open(encoding=codec) as file:
            blocks = (block.encode() for block in iter(lambda: file.read(1 << 16), ""))
            for value in ijson.items(ijson.from_iter(blocks), "item"):
                number += 1
                yield number, value
    except ijson.JSONError as error:
        told = (error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)).splitlines()[0]
        hint = "the file may have been cut off; save it anew"
        raise SourceError(f"not JSON: {told}", where=f"{name}, after record {number:,}", hint=hint) from None
    except UnicodeError:
        raise wrong_bytes(path, name, codec, number) from None


def parquet_table(path: Path, name: str, pictures: bool = False) -> Table:
    """A table of Parquet; with `pictures` bytes are read as such, each as a data URL."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = Table(name, "Parquet")
    try:
        schema = pq.read_schema(path)
        binary = [column.name for column in schema if _holds_bytes(column.type)]
        shown = _pictured(path, binary) if pictures and binary else set()
        left = [column for column in binary if column not in shown]
        kept = [column for column in schema.names if column not in left]
        table.columns = header_of(kept, name, table.notes)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"no Parquet file that can be read: {error}", where=name) from None
    if left:
        what = "bytes that are no picture" if pictures else "bytes and no text"
        table.notes.append(f"left out, as they hold {what}: {', '.join(left)}")

    def rows() -> Iterator[Row]:
        number = 0
        try:
            with pq.ParquetFile(path) as file:
                size = SEEN if shown else 1024
                for batch in file.iter_batches(batch_size=size, columns=kept if binary else None):
                    for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        number += 1
                        yield number, filled(table.columns, [*map(_as_picture, cells)] if shown else cells)
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise SourceError(f"the file is broken: {error}", where=f"{name}, after row {number:,}") from None

    table.rows = rows
    return table


def _holds_bytes(kind: Any) -> bool:
    """Whether a Parquet column holds bytes, or beside a path, as the library `datasets` writes pictures."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _pictured(path: Path, binary: Sequence[str]) -> set[str]:
    """Those of some columns with bytes whose first cell that holds something may be a picture."""
    import pyarrow.parquet as pq

    first: dict[str, Any] = {}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=SEEN, columns=list(binary)):
            for name in [name for name in binary if name not in first]:
                if cell := next(filter(None, map(_content, batch.column(name).to_pylist())), None):
                    first[name] = cell
            if len(first) == len(binary):
                break
    return {name for name, cell in first.items() if isinstance(cell, str) or may_be_picture(cell)}


def _content(cell: Any) -> Any:
    """The bytes of a cell, or the path that stands in their place."""
    return cell.get("bytes") or cell.get("path") if isinstance(cell, dict) and "bytes" in cell else cell


def _as_picture(cell: Any) -> Any:
    """Bytes as a data URL; any other cell as it is."""
    data = _content(cell)
    return f"data:image/*;base64,{base64.b64encode(data).decode()}" if isinstance(data, bytes) else data
