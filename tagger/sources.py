"""A file or a folder of files in, records out: JSONL, CSV or Parquet, read piece by piece.

A row that cannot be read is handed on as what it is, and `read_record` turns it into a rejected
record: one bad row never costs another, and in a folder no bad file another.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from tagger.closest import closest
from tagger.errors import SourceError
from tagger.formats import FORMATS, EmptyError, count_rows, rows
from tagger.record import ID, Column, Record, Rejected, column_key, printable, read_record

SEPARATORS = {";": "semicolons", "\t": "tabs"}
"""That are not read between the cells of a CSV."""
NO_UTF8 = "a file in GB18030 or GBK is converted by iconv -f GB18030 -t UTF-8 FILE > NEW"


class ColumnError(SourceError):
    """A file without a column that a task needs."""


@dataclass(frozen=True, slots=True)
class Unread(Rejected):
    """All rows of a file in a folder from some row on: the file is broken there, or does not fit the task."""


class Seen:
    """Names that were met, as 8 bytes each: a catalogue has many."""

    def __init__(self) -> None:
        self._sorted = np.zeros(0, np.uint64)
        self._recent: set[int] = set()

    def add(self, name: str) -> bool:
        """Whether the name is new."""
        digest = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
        at = np.searchsorted(self._sorted, np.uint64(digest))
        if digest in self._recent or (at < len(self._sorted) and int(self._sorted[at]) == digest):
            return False
        self._recent.add(digest)
        if len(self._recent) >= 1 << 16:
            self._sorted = np.union1d(self._sorted, np.fromiter(self._recent, np.uint64, len(self._recent)))
            self._recent.clear()
        return True


def files(source: Path) -> list[Path]:
    """The file itself, or all files in a folder and below that are read, by name; SourceError for none.

    Names that begin with a dot or an underscore are those of notes that other tools leave beside data.
    """
    if not source.is_dir():
        return [source]
    below = (
        path.relative_to(source) for path in source.rglob("*") if path.suffix.lower() in FORMATS and path.is_file()
    )
    found = [source / path for path in sorted(below) if not any(part[0] in "._" for part in path.parts)]
    if not found:
        raise SourceError(f"the folder holds no {', '.join(FORMATS)}", where=str(source))
    return found


def catalogue(
    source: Path, columns: Mapping[str, Column], mapping: Mapping[str, str] | None = None, *, paths: bool = True
) -> Iterator[Record | Rejected]:
    """The records of a file (as `records`), or of all files of a folder. `paths`: whether pictures may be named by
    paths that lead from the folder of their file.

    In a folder an empty file is passed over, and one that cannot be read is one Unread record from there on. Raises
    SourceError where nothing can be read at all.
    """
    if not source.is_dir():
        yield from records(source, columns, mapping, paths=paths)
        return
    ids, last, some = Seen(), None, False
    for path in files(source):
        name = printable(path.relative_to(source).as_posix())
        try:
            for record in records(path, columns, mapping, ids, name, paths=paths):
                some = True
                yield record
        except EmptyError:
            continue
        except (SourceError, OSError, ValueError, OverflowError) as error:  # pyarrow's are of these, too
            told = error.message if isinstance(error, SourceError) else f"cannot be read: {error}"
            last = Unread(name, f"{told}; its rows from here on are missing", name)
            yield last
    if not some:
        told = f"no file can be read; the last one: {last.reason}" if last else "no file holds any rows"
        raise SourceError(told, where=str(source))


def left_out(source: Path) -> list[Path]:
    """The files of a folder that are not read, by name: of other formats."""
    if not source.is_dir():
        return []
    below = (path.relative_to(source) for path in source.rglob("*") if path.is_file())
    return sorted(p for p in below if p.suffix.lower() not in FORMATS and not any(part[0] in "._" for part in p.parts))


def count(source: Path) -> int:
    """How many rows there are, roughly: for a progress bar. A file that cannot be read has none."""
    return sum(count_rows(path) for path in files(source))


def records(
    path: Path,
    columns: Mapping[str, Column],
    mapping: Mapping[str, str] | None = None,
    ids: Seen | None = None,
    prefix: str | None = None,
    *,
    paths: bool = True,
) -> Iterator[Record | Rejected]:
    """The records of a file, one for every row. The second of two rows with one id is rejected.

    A row without an id of its own is called file:row; `ids` are those of files before this one, `prefix` is what to
    call it instead of its name, `paths` as for `catalogue`.
    Raises SourceError when the first readable row has no key for a required column: then it is the
    file that does not fit, not a row.
    """
    advised = False
    for one in _records(path, columns, mapping, ids, prefix, path.parent if paths else None):
        if not advised and isinstance(one, Rejected) and one.reason.startswith("invalid UTF-8"):
            one, advised = replace(one, reason=f"{one.reason}; {NO_UTF8}"), True  # once: it is likely the whole file
        yield one


def _records(
    path: Path,
    columns: Mapping[str, Column],
    mapping: Mapping[str, str] | None,
    ids: Seen | None,
    prefix: str | None,
    pictures: Path | None,
) -> Iterator[Record | Rejected]:
    seen, checked, called = ids or Seen(), False, prefix or printable(path.name)

    def choose(names: Iterable[str]) -> list[str]:
        return _used(dict.fromkeys(names), columns, mapping or {}, str(path))

    for number, row in enumerate(rows(path, choose), start=1):
        name, where = f"{called}:{number}", f"{prefix}, row {number}" if prefix else f"row {number}"
        if isinstance(row, Rejected):
            yield Rejected(name, row.reason, where)
            continue
        if not checked and isinstance(row, Mapping):
            choose(row)
            checked = True
        record = read_record(row, columns, name, mapping, where, pictures)
        if record.id != name and not seen.add(record.id):
            yield Rejected(record.id, f"id {record.id!r} stands already on an earlier row", where)
            continue
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


def one_ahead(items: Iterable[Any]) -> Generator[Any, None, None]:
    """The same items, the next made in a thread while the last is used; what it raises comes when it is its turn."""
    left, end = iter(items), object()
    with ThreadPoolExecutor(1) as aside:
        coming = aside.submit(next, left, end)
        while (item := coming.result()) is not end:
            coming = aside.submit(next, left, end)
            yield item


def _used(row: Mapping[str, Any], columns: Mapping[str, Column], mapping: Mapping[str, str], where: str) -> list[str]:
    """The keys of a row that a task reads; SourceError if a required column has none."""
    if unknown := [name for name in mapping if name not in columns and name != ID]:
        raise SourceError(f"--map names column {unknown[0]!r}; the task has: {', '.join(columns)}", where=where)
    if ID in mapping and mapping[ID] not in row:
        told = f"no column {mapping[ID]!r} for the id (the file has: {', '.join(map(str, row))})"
        raise SourceError(told, where=where, hint=_which(ID, [mapping[ID]], row))
    for name, column in columns.items():
        if column.required and column_key(row, name, column, mapping) is None:
            found = ", ".join(map(str, row))
            called = [mapping[name]] if name in mapping else [name, *column.names]
            missing = f"no column {called[0]!r} for the task's {name!r}"
            if printable(found) != found:
                raise SourceError(f"{missing}: the names of its columns are not UTF-8", where=where, hint=NO_UTF8)
            if len(row) == 1 and (mark := next((mark for mark in SEPARATORS if mark in found), None)):
                told = f"{missing}: it has one, {found!r}, and looks separated by {SEPARATORS[mark]}"
                raise SourceError(told, where=where, hint="separate its columns by commas")
            free = [one for one in row if one not in mapping.values()]
            raise ColumnError(f"{missing} (the file has: {found})", where=where, hint=_which(name, called, free))
    keys = {column_key(row, name, column, mapping) for name, column in columns.items()}
    return [name for name in row if name in keys or name == mapping.get(ID, ID)]


def _which(name: str, called: Iterable[str], row: Iterable[str]) -> str:
    """What to do about column `name` of a task, for which a file has none that is `called` so."""
    if alike := closest(called, map(str, row)):
        return f"if {alike!r} is the one, say so: --map {quote(f'{name}={alike}')}"
    return f"none of these is called nearly so; say which one it is: --map {name}=COLUMN"
