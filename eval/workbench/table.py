"""A file that is open to be read, row by row, whatever its format: its columns and the texts of its cells."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import Any

from tagger.errors import SourceError
from tagger.record import Rejected

UNREAD = "unread"
"""The key of a row that could not be read, with the reason; columns of that name get another."""
HEAD_ROWS = 300
URL = re.compile(r"(https?:)?//\S+")
FIGURES = re.compile(r"[-+\d.,:/% €$¥£TZ]*\d[-+\d.,:/% €$¥£TZ]*")
"""A number, a price, a date or a time."""
CARRIED = "(picture)"
"""What stands in the first rows for a picture that the file holds itself."""
Row = tuple[int, dict[str, str] | Rejected]
"""The number of a line or row in the file, and its cells that are not empty; or why it cannot be read."""


@dataclass(slots=True)
class Table:
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
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    """Of a workbook that which is read, and all."""


def header_of(cells: Sequence[Any], name: str, notes: list[str]) -> list[str]:
    """The names of columns: trimmed, none empty, each once."""
    texts = [plain(cell).strip() for cell in cells]
    if not any(texts):
        raise SourceError("there are no names of columns", where=name, hint="name the columns in the first line")
    used = {UNREAD}
    columns = [unique_name(text, place, used) for place, text in enumerate(texts, start=1)]
    if blank := [column for text, column in zip(texts, columns, strict=True) if not text]:
        notes.append(f"columns without a name are called by their place: {', '.join(blank)}")
    for text, column in zip(texts, columns, strict=True):
        if text and column != text:
            notes.append(f"the name {text!r} is taken; this column is called {column!r} here")
    if data := next((text for text in texts if len(text) > 60 or FIGURES.fullmatch(text) or URL.match(text)), None):
        notes.append(
            f"the first row looks like data ({data!r:.40}), but is taken as the names of columns; if the file has no "
            "such row, add one and bring it again"
        )
    return columns


def unique_name(name: str, place: int, used: set[str]) -> str:
    plain = name.strip() or f"column {place}"
    found = next(text for text in (plain, *(f"{plain} {n}" for n in range(2, len(used) + 3))) if text not in used)
    used.add(found)
    return found


def filled(columns: Sequence[str], cells: Sequence[Any]) -> dict[str, str] | Rejected:
    """The cells that hold something, as text; Rejected for what no text can hold."""
    values = {c: text for c, cell in zip(columns, cells, strict=True) if (text := plain(cell)) and not text.isspace()}
    whole = "".join(values.values())
    if "\0" in whole:
        return Rejected("", "a NUL byte stands in it", "")
    if not whole.isascii():
        try:
            whole.encode()
        except UnicodeEncodeError as error:
            return Rejected("", f"{whole[error.start]!r} stands in it, which is no character", "")
    return values


def plain(value: Any) -> str:
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
        return json.dumps(value, ensure_ascii=False, default=lambda v: float(v) if isinstance(v, Decimal) else plain(v))
    return str(value)
