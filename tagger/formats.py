"""A file in, its rows out: JSONL, CSV or Parquet, read piece by piece."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tagger.errors import SourceError
from tagger.record import Rejected

FORMATS = (".jsonl", ".csv", ".parquet")


class EmptyError(SourceError):
    """A file without rows."""


Choose = Callable[[Sequence[str]], list[str]]


def count_rows(path: Path) -> int:
    """How many rows a file has, roughly; one that cannot be read has none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            return int(pq.read_metadata(path).num_rows)
        with path.open("rb") as file:
            header = path.suffix.lower() == ".csv"
            return -header + sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except (pa.ArrowInvalid, OSError):
        return 0


def rows(path: Path, choose: Choose = list) -> Iterator[Any]:
    """Every row of a file, in order; a broken JSON line comes as a Rejected with id and row to be filled in.

    `choose` names, of the columns of a file, those that are looked at: others are not read where that is cheaper.

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
    for row in reader(path, choose):
        found = True
        yield row
    if not found:
        raise EmptyError("the file holds no rows", where=str(path))


def _jsonl(path: Path, choose: Choose) -> Iterator[Any]:
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


def _csv(path: Path, choose: Choose) -> Iterator[Any]:
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
            raise SourceError(f"not CSV: {error}", where=f"{path}, after line {table.line_num}") from None


def _parquet(path: Path, choose: Choose) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for batch in file.iter_batches(batch_size=1024, columns=choose(names)):
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
