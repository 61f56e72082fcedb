"""A file in, rows out: JSONL, CSV or Parquet, read piece by piece.

A row that cannot be read is handed on as what it is, and `read_record` turns it into a rejected
record: one bad row never costs another.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tagger.errors import SourceError
from tagger.record import Column, Record, Rejected, column_key, read_record

FORMATS = (".jsonl", ".csv", ".parquet")


def rows(path: Path) -> Iterator[Any]:
    """Every row of a file, in order; a broken JSON line comes as a Rejected with id and row to be filled in.

    Raises SourceError for a missing or empty file, an unknown format, and a file that is broken as a whole.
    """
    if not path.is_file():
        raise SourceError("no such file", where=str(path))
    if path.suffix.lower() not in FORMATS:
        raise SourceError(
            f"format {path.suffix or 'without a suffix'!r} is not read",
            where=str(path),
            hint=f"convert to one of {', '.join(FORMATS)}",
        )
    reader = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}[path.suffix.lower()]
    found = False
    for row in reader(path):
        found = True
        yield row
    if not found:
        raise SourceError("the file holds no rows", where=str(path))


def records(
    path: Path, columns: Mapping[str, Column], mapping: Mapping[str, str] | None = None
) -> Iterator[Record | Rejected]:
    """The records of a file, one for every row. The second of two rows with one id is rejected.

    Raises SourceError when the first readable row has no key for a required column: then it is the
    file that does not fit, not a row.
    """
    seen: dict[str, int] = {}
    checked = False
    for number, row in enumerate(rows(path), start=1):
        if isinstance(row, Rejected):
            yield Rejected(str(number), row.reason, f"row {number}")
            continue
        if not checked and isinstance(row, Mapping):
            _check_columns(row, columns, mapping or {}, str(path))
            checked = True
        record = read_record(row, columns, number, mapping)
        if isinstance(row, Mapping) and row.get("id") not in (None, ""):
            if record.id in seen:
                reason = f"id {record.id!r} stands already on row {seen[record.id]}"
                yield Rejected(record.id, reason, f"row {number}")
                continue
            seen[record.id] = number
        yield record


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Items in lists of `size`; the last may be shorter."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _check_columns(
    row: Mapping[str, Any], columns: Mapping[str, Column], mapping: Mapping[str, str], where: str
) -> None:
    if unknown := [name for name in mapping if name not in columns]:
        raise SourceError(f"--map names column {unknown[0]!r}; the task has: {', '.join(columns)}", where=where)
    for name, column in columns.items():
        if column.required and column_key(row, name, column, mapping) is None:
            found = ", ".join(map(str, row))
            raise SourceError(
                f"no column {mapping.get(name, name)!r} for the task's {name!r} (the file has: {found})",
                where=where,
                hint=f"say which column it is, for example --map {name}={next(iter(row), 'NAME')}",
            )


def _jsonl(path: Path) -> Iterator[Any]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            line = line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
            if not line.strip():
                continue
            try:
                yield json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                yield Rejected("", f"invalid UTF-8 at byte {error.start}", "")
            except (ValueError, RecursionError) as error:
                yield Rejected("", f"not a line of JSON: {error}", "")


def _csv(path: Path) -> Iterator[Any]:
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        table = csv.DictReader(lines, strict=True)
        try:
            names = list(table.fieldnames or ())
            if twice := [name for name in names if names.count(name) > 1]:
                raise SourceError(f"two columns are called {twice[0]!r}", where=str(path))
            for row in table:
                if None in row or None in row.values():
                    yield Rejected("", "the number of cells differs from the header's", "")
                else:
                    yield row
        except csv.Error as error:
            raise SourceError(f"not CSV: {error}", where=str(path)) from None


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from _plain_rows(batch)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"not a Parquet file: {error}", where=str(path)) from None


def _plain_rows(batch: Any) -> Iterator[Any]:
    """Rows of a Parquet batch; one with text that is not UTF-8 comes as a Rejected."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for i in range(batch.num_rows):
            try:
                (row,) = batch.slice(i, 1).to_pylist()
            except UnicodeDecodeError as error:
                row = Rejected("", f"invalid UTF-8 at byte {error.start} of a value", "")
            yield row
