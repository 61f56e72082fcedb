"""A workbook in, an open table of one of its sheets out: the one that is wanted, or the first with rows."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from zipfile import BadZipFile, ZipFile

from eval.workbench.table import Table, filled, header_of, plain
from tagger.errors import SourceError
from tagger.formats import EmptyError

LARGEST_BOOK = 1 << 30
"""Bytes of a workbook unpacked: beyond is a file that is not what it seems."""
HEADER_ROWS = 20
"""In which the names of columns are looked for."""
MOST_MEMORY = 4 << 30
"""Bytes that may be used while a workbook is read."""


def excel_table(path: Path, name: str, zipped: bool, wanted: str | None) -> Table:
    """The sheet that is `wanted`, or the first with more than one row; its rows are numbered as Excel shows them.

    The names of columns are the first row with more than one cell, where there is one: a title stands alone.

    The workbook is read in a process of its own: a broken one, or one with a cell far out, can abort the reader.
    """
    if zipped:
        _check_zip(path, name)
    file = TemporaryFile()  # noqa: SIM115 - the table reads from it
    code = f"{inspect.getsource(_print_sheet)}\n_print_sheet({str(path)!r}, {MOST_MEMORY}, {wanted!r})"
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
    table = Table(name, "Excel")
    table.sheet, table.sheets = facts["sheet"], (facts["sheet"], *facts["others"])
    if facts["others"]:
        others = ", ".join(map(repr, facts["others"]))
        table.notes.append(f"only the sheet {facts['sheet']!r} is read; not read: {others}")
    start = file.tell()

    def cells() -> Iterator[tuple[int, list[Any]]]:
        file.seek(start)
        return enumerate(map(json.loads, file), start=1)

    header, names = _header(islice(cells(), HEADER_ROWS))
    if header > 1:
        table.notes.append(f"the names of columns are taken from row {header}")
    table.columns = header_of(names, name, table.notes)
    table.rows = lambda: ((number, filled(table.columns, row)) for number, row in islice(cells(), header, None))
    return table


def _header(rows: Iterator[tuple[int, list[Any]]]) -> tuple[int, list[Any]]:
    """The number and the cells of the row with the names of columns."""
    filled_rows = [(number, row) for number, row in rows if any(map(plain, row))]
    several = (pair for pair in filled_rows if sum(bool(plain(item)) for item in pair[1]) > 1)
    return next(several, filled_rows[0])


def _print_sheet(path: str, memory: int, wanted: str | None) -> None:
    """Print facts about a workbook and the rows of the sheet that is wanted or the first that has some, as JSON lines.

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
        chosen = [wanted] if wanted in names else names
        found = next((sheet for sheet in map(book.get_sheet_by_name, chosen) if sheet.height > 1), None)
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
