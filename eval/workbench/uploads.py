"""A file that an analyst has brought in, whatever wrote it; records that a task can read out.

Read are CSV with any usual delimiter, JSON, Parquet and Excel, in any usual encoding. Whatever had to be decided about
a file, and each row that could not be read, stands in the notes: nothing is mended or dropped in silence.
"""

from __future__ import annotations

import codecs
import csv
import inspect
import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from threading import get_ident
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

import ijson
from charset_normalizer import from_bytes

from tagger.errors import SourceError
from tagger.record import ID, Rejected
from tagger.sources import EmptyError, Seen

UNREAD = "unread"
"""The key of a row that could not be read, with the reason; columns of that name get another."""
HEAD_ROWS, SHOWN_ROWS, NAMED_LINES = 300, 20, 5
DELIMITERS = ",\t;|\x01"
NO_DELIMITER = "\x1f"
SUSPECTS = ["gb18030", "big5", "cp932", "cp1251", "cp1252", "latin_1"]
"""What text that is no UTF-8 may be; fewer suspects make fewer mistakes on short texts."""
ENCODINGS = ["utf-8", "utf-16", *SUSPECTS, "cp949"]
"""What an analyst may choose from."""
LONGEST_LINE, LONGEST_ROW, LARGEST_BOOK = 1 << 24, 1000, 1 << 30
"""Characters of a line, lines of a row, bytes of a workbook unpacked: beyond is a file that is not what it seems."""
MOST_MEMORY = 4 << 30
"""Bytes that may be used while a workbook is read."""

_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_MAGIC = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"RIFF": "a picture or a film",
    b"\x1f\x8b": "a packed file",
    b"7z\xbc\xaf": "a packed file",
    b"Rar!": "a packed file",
    b"{\\rtf": "a text document",
}
_TEXT = re.compile(
    r"^((product|item|goods)[ _-]?)?(title|name)$|^(text|review|comment)s?$"
    r"|^(review|comment|product)[ _-]?(text|body|title)$"
    r"|标题|標題|商品名|产品名|品名|评论|評論|评价内容|^名称$|^名稱$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(^|[ _-])(label|category|class|cat|type|sentiment|tag|star|rating)s?$"
    r"|标签|標籤|类别|類別|类目|分类|分類|情感|情绪",
    re.IGNORECASE,
)
_IDENTITY = re.compile(
    r"(^|[\W_])(id|sku|asin|ean|gtin|uuid|guid)$|(?-i:[^A-Z]I[Dd]$)|[^\x00-\x7f]id$|编号|編號|编码|货号|条码",
    re.IGNORECASE,
)
_URL = re.compile(r"(https?:)?//\S+")
_FIGURES = re.compile(r"[-+\d.,:/% €$¥£TZ]*\d[-+\d.,:/% €$¥£TZ]*")
"""A number, a price, a date or a time."""
_CODE = re.compile(r"[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]*")


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


@dataclass(frozen=True, slots=True)
class Brought:
    """How many rows were written, with which columns, and what to know about them."""

    rows: int
    columns: tuple[str, ...]
    notes: tuple[str, ...]


Row = tuple[int, dict[str, str] | Rejected]
"""The number of a line or row in the file, and its cells that are not empty; or why it cannot be read."""


@dataclass(slots=True)
class _Table:
    """A file that is open to be read, as often as `rows` is called. More columns may turn up while JSON is read."""

    name: str
    format: str
    columns: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    encoding: str | None = None
    delimiter: str | None = None
    place: str = "row"
    rows: Callable[[], Iterator[Row]] = lambda: iter(())
    head: list[Row] = field(default_factory=list)


class _NoIdsError(Exception):
    """Why the column of ids does not name each row."""


def look(path: Path, name: str, encoding: str | None = None) -> Look:
    """What is in a file, from its first rows; `name` is what the analyst calls it.

    Raises SourceError, in an analyst's words, for a file that holds no table that can be read.
    """
    table = _table(path, name, encoding)
    cells = _head_cells(table)
    identity = _id_column(table, cells)
    text = _text_column(cells, identity)
    return Look(
        columns=tuple(table.columns),
        rows=tuple(_legible(table, line, row) for line, row in table.head if row)[:SHOWN_ROWS],
        format=table.format,
        encoding=table.encoding and table.encoding.removesuffix("-sig"),
        delimiter=table.delimiter,
        notes=tuple(table.notes),
        text_column=text,
        label_column=_label_column(cells, identity, text),
        id_column=identity,
    )


def bring(
    path: Path,
    name: str,
    out: Path,
    *,
    encoding: str | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    most: int | None = None,
) -> Brought:
    """Write a file as JSONL: one object a line, texts by column, empty cells left out, and an `id` that is unique.

    A row that cannot be read becomes {"id": ..., "unread": "why"}, so that it is counted and seen wherever rows are; a
    task rejects it, as it lacks the columns that the task reads. At most the first `most` rows are taken.
    `out` is written whole or not at all. Raises SourceError as `look` does.
    """
    table = _table(path, name, encoding)
    identity = _id_column(table, _head_cells(table))
    told = f"each row's id is that of column {identity!r}" if identity else "each row's id is its number"
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.{os.getpid()}.{get_ident()}.part")
    try:
        try:
            tally = _write(part, table, identity, progress, most)
        except _NoIdsError as why:  # seldom, so that a second pass costs less than a first one only for the ids
            told, identity = f"each row's id is its number, as column {identity!r} {why}", None
            tally = _write(part, table, identity, progress, most)
        part.replace(out)
    except OSError as error:
        raise SourceError(f"the rows cannot be written: {error.strerror}", where=name) from None
    finally:
        pass
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

    def notes(self) -> Iterator[str]:
        if self.unread:
            more = "; ..." if self.unread > len(self.first) else ""
            yield f"rows that cannot be read: {self.unread:,} ({'; '.join(self.first)}{more})"
        if self.empty:
            yield f"rows left out, as they hold nothing: {self.empty:,}"
        if self.cut:
            yield f"only the first {self.rows:,} rows were taken; the file has more"


def _write(
    part: Path, table: _Table, identity: str | None, progress: Callable[[int], None], most: int | None
) -> _Tally:
    tally = _Tally()
    with part.open("wb") as file:
        for record in _records(table, identity, tally):
            if tally.rows == most:
                tally.cut = True
                break
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            tally.rows += 1
            if UNREAD in record:
                tally.unread += 1
                tally.first += [record[UNREAD]] if tally.unread <= NAMED_LINES else []
            if tally.rows % 1000 == 0:
                progress(tally.rows)
    progress(tally.rows)
    return tally


def _records(table: _Table, identity: str | None, tally: _Tally) -> Iterator[dict[str, str]]:
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


def _legible(table: _Table, line: int, row: dict[str, str] | Rejected) -> dict[str, str]:
    return {UNREAD: f"{table.place} {line:,}: {row.reason}"} if isinstance(row, Rejected) else row


def _spare(table: _Table) -> str:
    """What the file's own column "id" is called where the rows have other ids."""
    return _unique(f"{ID} in the file", 0, set(table.columns))


def _table(path: Path, name: str, encoding: str | None) -> _Table:
    """The file, open to be read, with its first rows read."""
    with path.open("rb") as file:
        start = file.read(1 << 12)
    if not start.strip(b" \t\r\n\0" + codecs.BOM_UTF8):
        raise EmptyError("the file is empty", where=name, hint="was it saved, and brought in whole?")
    _refuse(start, name)
    if start.startswith(b"PAR1"):
        table = _parquet(path, name)
    elif start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        table = _excel(path, name, start.startswith(b"PK"))
    else:
        table = _text_table(path, name, encoding)
    table.head = list(islice(table.rows(), HEAD_ROWS))
    if not any(row for _, row in table.head):
        raise EmptyError("the file has names of columns, but no rows below them", where=name)
    if all(isinstance(row, Rejected) for _, row in table.head):
        line, row = table.head[0]
        reason = row.reason if isinstance(row, Rejected) else ""
        hint = "look at that line in a text editor; save the table anew as .csv or .xlsx"
        raise SourceError(f"no row can be read: {reason}", where=f"{name}, {table.place} {line}", hint=hint)
    return table


def _refuse(start: bytes, name: str) -> None:
    what = next((what for magic, what in _MAGIC.items() if start.startswith(magic)), None)
    page = start.removeprefix(codecs.BOM_UTF8).lstrip()[:20].lower()
    if page.startswith((b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta", b"<head", b"<style")):
        what = "a web page or XML (some programs call such a file .xls)"
    if what:
        hint = "open it in the program that wrote it, and save the table as .xlsx or .csv"
        raise SourceError(f"this is {what}, not a table", where=name, hint=hint)


def _text_table(path: Path, name: str, encoding: str | None) -> _Table:
    codec, notes = _encoding(path, name, encoding)
    start = next((line for line in _lines(path, name, codec) if line.strip()), "").lstrip()
    opens = re.match(r"\{|\[\s*(\{|\]|$)", start)
    if not opens and not name.lower().endswith((".json", ".jsonl", ".ndjson")):
        return _csv(path, name, codec, notes)
    if start.startswith("["):
        return _json(_Table(name, "JSON array", encoding=codec, notes=notes, place="record"), partial(_array, path))
    return _json(_Table(name, "JSONL", encoding=codec, notes=notes, place="line"), partial(_jsonl, path))


def _encoding(path: Path, name: str, chosen: str | None) -> tuple[str, list[str]]:
    """The encoding of a text, chosen or found out, and what was only guessed about it."""
    sample = _sample(path)
    if chosen:
        try:
            " ".encode(chosen)
        except (LookupError, ValueError):
            hint = "utf-8, gb18030, big5, utf-16 and cp1252 are usual ones"
            raise SourceError(f"{chosen!r} is no encoding", where=name, hint=hint) from None
        codec = codecs.lookup(chosen).name
        return "utf-8-sig" if codec == "utf-8" else codec, []
    for mark, codec in _BOMS.items():
        if sample.startswith(mark):
            return codec, []
    start = sample[: 1 << 16]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) > len(start) / 50 and max(even, odd) > 10 * min(even, odd):
        codec = "utf-16-le" if odd > even else "utf-16-be"
        return codec, [_guessed(codec, start, [])]
    if even + odd > len(start) / 50:
        hint = "save the table as .xlsx or .csv"
        raise SourceError("this is no text, no workbook and no Parquet file", where=name, hint=hint)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # whose end may be cut
        return "utf-8", []
    except UnicodeDecodeError:
        return _guess(sample, name)


def _sample(path: Path) -> bytes:
    """The beginning of a file and pieces from all over it, each of whole lines or cells."""
    size, pieces = path.stat().st_size, []
    with path.open("rb") as file:
        start = file.read(1 << 18)
        pieces.append(start if len(start) == size else (re.match(rb".*[\n,]", start, re.DOTALL) or [start])[0])
        for place in range(1, 17) if size > 1 << 19 else ():
            file.seek(size * place // 17)
            if whole := re.search(rb"[\n,](.*[\n,])", file.read(1 << 15), re.DOTALL):
                pieces.append(whole[1])
    return b"".join(pieces)


def _guess(sample: bytes, name: str) -> tuple[str, list[str]]:
    text = b"\n".join(islice((line for line in sample.splitlines() if not line.isascii()), 500))
    matches = from_bytes(text, cp_isolation=SUSPECTS, enable_fallback=False)
    if not (best := matches.best()):
        hint = "choose the encoding that it was saved in, or save it as UTF-8"
        raise SourceError("it cannot be told which encoding the text is in", where=name, hint=hint)
    return best.encoding, [_guessed(best.encoding, text, [match.encoding for match in matches][1:])]


def _guessed(codec: str, text: bytes, others: Sequence[str]) -> str:
    found = re.search(r"[^\n]{0,20}[^\x00-\x7f][^\n]{0,40}|[^\n]{1,40}", text.decode(codec, "replace"))
    also = f" (it may also be {', '.join(others)})" if others else ""
    shown = found[0].strip() if found else ""
    return f"the encoding is guessed as {codec}{also}: {shown!r} is how it reads; if that is garbled, choose another"


def _lines(path: Path, name: str, codec: str) -> Iterator[str]:
    """The lines with their ends; SourceError with its number for one that is not in the encoding."""
    number = 0
    try:
        with path.open(encoding=codec, newline="") as file:
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise SourceError(f"longer than {LONGEST_LINE:,} characters", where=f"{name}, line {number:,}")
                yield line
    except UnicodeError:
        raise _wrong_bytes(path, name, codec, number) from None


def _wrong_bytes(path: Path, name: str, codec: str, after: int) -> SourceError:
    """What to say of bytes that are not in the encoding, somewhere after so many lines: text is decoded in blocks."""
    where = f"{name}, after line {after:,}"
    if not codec.startswith(("utf-16", "utf-32")):  # whose lines do not end with one byte
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode(codec)
                except UnicodeError:
                    where = f"{name}, line {number:,}"
                    break
    hint = "choose the encoding that the file was saved in (gb18030 is usual for Chinese), or save it as UTF-8"
    return SourceError(f"bytes that are not {codec.removesuffix('-sig')}", where=where, hint=hint)


def _csv(path: Path, name: str, codec: str, notes: list[str]) -> _Table:
    csv.field_size_limit(1 << 30)  # of the whole process; as tagger.sources has it
    first = list(islice(_lines(path, name, codec), 2 * HEAD_ROWS))
    said = re.fullmatch(r"sep=(.)\s*", first[0])  # Excel's own way to name the delimiter
    way: tuple[str, Literal[0, 3]] = (said[1], csv.QUOTE_MINIMAL) if said else _dialect(first, name)
    delimiter, quoting = way
    if quoting == csv.QUOTE_NONE:
        notes.append("quotation marks are read as part of the text")

    def cells() -> Iterator[tuple[int, list[str] | Rejected]]:
        lines = _lines(path, name, codec)
        return _cells(islice(lines, 1, None) if said else lines, delimiter, quoting, 2 if said else 1)

    def rows() -> Iterator[Row]:
        for line, row in islice(cells(), 1, None):
            if isinstance(row, list) and len(row) != len(columns):
                row = Rejected("", f"{len(columns)} cells expected, {len(row)} found", "")
            yield line, row if isinstance(row, Rejected) else _values(columns, row)

    line, header = next(cells(), (1, []))
    if isinstance(header, Rejected):
        raise SourceError(f"the names of columns cannot be read: {header.reason}", where=f"{name}, line {line}")
    columns = _header(header, name, notes)
    if len(columns) == 1:
        notes.append("the file has one column only")
    form = "TSV" if delimiter == "\t" else "CSV"
    shown = None if delimiter == NO_DELIMITER else delimiter
    return _Table(name, form, columns, notes, codec, shown, "line", rows)


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


def _json(table: _Table, values: Callable[[str, str], Iterator[tuple[int, Any]]]) -> _Table:
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
                    names[key] = _unique(key, len(names) + 1, used)
                    table.columns.append(names[key])
                    if names[key] != key.strip():
                        table.notes.append(f"the column {key!r} is called {names[key]!r} here")
            yield line, _values([names[key] for key in value], list(value.values()))

    table.rows = rows
    return table


def _jsonl(path: Path, name: str, codec: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_lines(path, name, codec), start=1):
        if line.strip():
            try:
                yield number, json.loads(line, parse_float=Decimal)  # which keeps 1.50 as it stands
            except (ValueError, RecursionError) as error:
                yield number, Rejected("", f"not a line of JSON: {error}", "")


def _array(path: Path, name: str, codec: str) -> Iterator[tuple[int, Any]]:
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
        raise _wrong_bytes(path, name, codec, number) from None


def _parquet(path: Path, name: str) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = _Table(name, "Parquet")
    try:
        schema = pq.read_schema(path)
        binary = [column.name for column in schema if pa.types.is_binary(column.type)]
        kept = [column for column in schema.names if column not in binary]
        table.columns = _header(kept, name, table.notes)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"no Parquet file that can be read: {error}", where=name) from None
    if binary:
        table.notes.append(f"left out, as they hold bytes and no text: {', '.join(binary)}")

    def rows() -> Iterator[Row]:
        number = 0
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1024, columns=kept if binary else None):
                    for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        number += 1
                        yield number, _values(table.columns, cells)
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise SourceError(f"the file is broken: {error}", where=f"{name}, after row {number:,}") from None

    table.rows = rows
    return table


def _excel(path: Path, name: str, zipped: bool) -> _Table:
    """The first sheet with more than one row, its rows numbered as Excel shows them.

    The workbook is read in a process of its own: a broken one, or one with a cell far out, can abort the reader.
    """
    if zipped:
        _check_zip(path, name)
    file = TemporaryFile()  # noqa: SIM115 - the table reads from it
    code = f"{inspect.getsource(_print_sheet)}\n_print_sheet({str(path)!r}, {MOST_MEMORY})"
    done = subprocess.run([sys.executable, "-c", code], stdout=file, stderr=subprocess.DEVNULL, check=False)
    file.seek(0)
    facts = json.loads(file.readline() or "{}")
    if facts.get("locked") or (not zipped and "EncryptedPackage".encode("utf-16-le") in path.read_bytes()):
        hint = "open it in Excel, take the password off (File, Info, Protect Workbook), and bring it again"
        raise SourceError("the workbook is protected by a password", where=name, hint=hint)
    if done.returncode or "error" in facts:
        hint = "open it in Excel, copy the cells into a new workbook, and save that as .xlsx; or save the sheet as .csv"
        told = facts.get("error", "it is broken, or has cells far beyond the others")
        raise SourceError(f"no workbook that can be read: {told}", where=name, hint=hint)
    if "sheet" not in facts:
        raise EmptyError("no sheet has a row with names of columns and rows below it", where=name)
    table = _Table(name, "Excel")
    if facts["others"]:
        others = ", ".join(map(repr, facts["others"]))
        table.notes.append(f"only the sheet {facts['sheet']!r} is read; not read: {others}")
    start = file.tell()

    def cells() -> Iterator[tuple[int, list[Any]]]:
        file.seek(start)
        return enumerate(map(json.loads, file), start=1)

    header, names = next((number, row) for number, row in cells() if any(map(_text, row)))
    table.columns = _header(names, name, table.notes)
    table.rows = lambda: ((number, _values(table.columns, row)) for number, row in islice(cells(), header, None))
    return table


def _print_sheet(path: str, memory: int) -> None:
    """Print facts about a workbook and the rows of its first sheet that has some, as lines of JSON.

    Its source alone is what the other process gets, which so starts at once: hence the imports.
    """
    import json
    import sys

    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum

    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        with open(path, "rb") as file:
            book = CalamineWorkbook.from_object(file)
        names = [sheet.name for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
        found = next((sheet for sheet in map(book.get_sheet_by_name, names) if sheet.height > 1), None)
    except CalamineError as error:
        print(json.dumps({"error": str(error), "locked": isinstance(error, PasswordError)}))
        return
    others = [name for name in names if found and name != found.name]
    print(json.dumps({"sheet": found.name, "others": others} if found else {}))
    for row in found.iter_rows() if found else ():
        print(json.dumps(row, default=lambda cell: cell.isoformat() if hasattr(cell, "isoformat") else str(cell)))


def _check_zip(path: Path, name: str) -> None:
    try:
        with ZipFile(path) as packed:
            found = {entry.filename: entry.file_size for entry in packed.infolist()}
    except BadZipFile:
        hint = "bring it again; perhaps it was not copied to its end"
        raise SourceError("the workbook is broken", where=name, hint=hint) from None
    if "content.xml" not in found and not any(part.startswith("xl/") for part in found):
        hint = "unpack it and bring the table that is in it"
        raise SourceError("this is a ZIP file, but no Excel workbook", where=name, hint=hint)
    if sum(found.values()) > LARGEST_BOOK:
        raise SourceError("the workbook is too large to be opened", where=name, hint="save the sheet as .csv")


def _header(cells: Sequence[Any], name: str, notes: list[str]) -> list[str]:
    """The names of columns: trimmed, none empty, each once."""
    texts = [_text(cell).strip() for cell in cells]
    if not any(texts):
        raise SourceError("there are no names of columns", where=name, hint="name the columns in the first line")
    used = {UNREAD}
    columns = [_unique(text, place, used) for place, text in enumerate(texts, start=1)]
    if blank := [column for text, column in zip(texts, columns, strict=True) if not text]:
        notes.append(f"columns without a name are called by their place: {', '.join(blank)}")
    for text, column in zip(texts, columns, strict=True):
        if text and column != text:
            notes.append(f"the name {text!r} is taken; this column is called {column!r} here")
    if data := next((text for text in texts if len(text) > 60 or _FIGURES.fullmatch(text) or _URL.match(text)), None):
        notes.append(
            f"the first row looks like data ({data!r:.40}), but is taken as the names of columns; if the file has no "
            "such row, add one and bring it again"
        )
    return columns


def _unique(name: str, place: int, used: set[str]) -> str:
    plain = name.strip() or f"column {place}"
    found = next(text for text in (plain, *(f"{plain} {n}" for n in range(2, len(used) + 3))) if text not in used)
    used.add(found)
    return found


def _values(columns: Sequence[str], cells: Sequence[Any]) -> dict[str, str] | Rejected:
    """The cells that hold something, as text; Rejected for what no text can hold."""
    values = {c: text for c, cell in zip(columns, cells, strict=True) if (text := _text(cell)) and not text.isspace()}
    whole = "".join(values.values())
    if "\0" in whole:
        return Rejected("", "a NUL byte stands in it", "")
    if not whole.isascii():
        try:
            whole.encode()
        except UnicodeEncodeError as error:
            return Rejected("", f"{whole[error.start]!r} stands in it, which is no character", "")
    return values


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))  # Excel knows no other whole numbers
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=lambda v: float(v) if isinstance(v, Decimal) else _text(v))
    return str(value)


def _head_cells(table: _Table) -> dict[str, list[str]]:
    """The filled cells of the first rows, by column."""
    rows = [row for _, row in table.head if isinstance(row, dict)]
    return {column: [row[column] for row in rows if column in row] for column in table.columns}


def _id_column(table: _Table, cells: Mapping[str, Sequence[str]]) -> str | None:
    """A column that is called so, filled and different on each of the first rows."""
    rows = sum(1 for _, row in table.head if isinstance(row, dict) and row)
    named = sorted((column for column in cells if _IDENTITY.search(column)), key=lambda column: column.lower() != ID)
    return next((column for column in named if len(cells[column]) == rows == len(set(cells[column]))), None)


def _text_column(cells: Mapping[str, Sequence[str]], identity: str | None) -> str | None:
    """The column with the longest texts on average; names of products and reviews count more, whatever their length."""

    def weight(column: str) -> float:
        texts = cells[column]
        if not texts or column == identity or 2 * sum(map(_is_code, texts)) > len(texts):
            return 0
        return min(80, sum(map(len, texts)) / len(texts)) * (20 if _TEXT.search(column) else 1)

    best = max(cells, key=weight, default=None)
    return best if best is not None and weight(best) else None


def _label_column(cells: Mapping[str, Sequence[str]], *others: str | None) -> str | None:
    """A column of short texts with few different ones: one that is called so, else the one with the fewest."""
    few = {}
    for column, texts in cells.items():
        kinds = len(set(texts))
        short = texts and sum(map(len, texts)) / len(texts) <= 40
        if column not in others and short and kinds <= max(20, len(texts) / 2):
            few[column] = kinds
    called = [column for column in few if _LABEL.search(column)]
    alike = [
        column
        for column, kinds in few.items()
        if 1 < kinds <= min(20, len(cells[column]) / 5) and not any(map(_is_code, cells[column]))
    ]
    return next(iter(called), None) or min(alike, key=lambda column: few[column], default=None)


def _is_code(text: str) -> bool:
    return bool(_FIGURES.fullmatch(text) or _URL.match(text) or _CODE.fullmatch(text))
