"""A file in, an open table out, by what the file holds; or why it is no table."""

from __future__ import annotations

import codecs
import re
from functools import partial
from itertools import islice
from pathlib import Path

from eval.workbench.encodings import encoding_of, lines_of
from eval.workbench.excel import excel_table
from eval.workbench.table import CARRIED, HEAD_ROWS, Row, Table
from eval.workbench.text_tables import csv_table, json_array, json_lines, json_table, parquet_table
from tagger.errors import SourceError
from tagger.formats import EmptyError
from tagger.record import Rejected

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


def open_table(path: Path, name: str, encoding: str | None, sheet: str | None = None, pictures: bool = False) -> Table:
    """The file, open to be read, with its first rows read; of a workbook that sheet. `pictures`: whether bytes are
    read, as pictures."""
    with path.open("rb") as file:
        start = file.read(1 << 12)
    if not start.strip(b" \t\r\n\0" + codecs.BOM_UTF8):
        raise EmptyError("the file is empty", where=name, hint="was it saved, and brought in whole?")
    _refuse(start, name)
    if start.startswith(b"PAR1"):
        table = parquet_table(path, name, pictures)
    elif start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        table = excel_table(path, name, start.startswith(b"PK"), sheet)
    else:
        table = _text_table(path, name, encoding)
    table.head = list(islice(map(_without_pictures, table.rows()), HEAD_ROWS))
    if not any(row for _, row in table.head):
        raise EmptyError("the file has names of columns, but no rows below them", where=name)
    if all(isinstance(row, Rejected) for _, row in table.head):
        line, row = table.head[0]
        reason = row.reason if isinstance(row, Rejected) else ""
        hint = "look at that line in a text editor; save the table anew as .csv or .xlsx"
        raise SourceError(f"no row can be read: {reason}", where=f"{name}, {table.place} {line}", hint=hint)
    return table


def _without_pictures(numbered: Row) -> Row:
    """The row with a word for each picture that stands in it: hundreds of them would fill the memory."""
    line, row = numbered
    if isinstance(row, Rejected):
        return numbered
    return line, {column: CARRIED if text.startswith("data:image/") else text for column, text in row.items()}


def _refuse(start: bytes, name: str) -> None:
    what = next((what for magic, what in _MAGIC.items() if start.startswith(magic)), None)
    page = start.removeprefix(codecs.BOM_UTF8).lstrip()[:20].lower()
    if page.startswith((b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta", b"<head", b"<style")):
        what = "a web page or XML (some programs call such a file .xls)"
    if what:
        hint = "open it in the program that wrote it, and save the table as .xlsx or .csv"
        raise SourceError(f"this is {what}, not a table", where=name, hint=hint)


def _text_table(path: Path, name: str, encoding: str | None) -> Table:
    codec, notes = encoding_of(path, name, encoding)
    start = next((line for line in lines_of(path, name, codec) if line.strip()), "").lstrip()
    opens = re.match(r"\{|\[\s*(\{|\]|$)", start)
    if not opens and not name.lower().endswith((".json", ".jsonl", ".ndjson")):
        return csv_table(path, name, codec, notes)
    if start.startswith("["):
        table = Table(name, "JSON array", encoding=codec, notes=notes, place="record")
        return json_table(table, partial(json_array, path))
    return json_table(Table(name, "JSONL", encoding=codec, notes=notes, place="line"), partial(json_lines, path))
