"""A row in, a Record out: the columns that a task reads, checked; or the reason why the row is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

ID = "id"
"""The column with the name of a row, where a mapping does not say another."""


class Column(BaseModel):
    """An input column of a task: what it holds and under which names a catalogue may call it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = ""
    names: tuple[str, ...] = ()
    """Names a file may use for this column, tried in order after the column's own."""
    required: bool = True
    max_chars: int = Setting(default=4000, ge=1)
    """A longer text is refused, never cut: cutting changes what a product is."""
    allowed: tuple[str, ...] = ()
    """If given, the only values this column may have."""


@dataclass(frozen=True, slots=True)
class Record:
    """One product: `values` by column name of the task, `id` as it came or the row's number."""

    id: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that got no tags because of what it is: `where` names the column or row."""

    id: str
    reason: str
    where: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", printable(self.reason))  # it may quote what cannot be written


def read_record(
    row: Any, columns: Mapping[str, Column], name: str, mapping: Mapping[str, str] | None = None, where: str = ""
) -> Record | Rejected:
    """Take from `row` the columns of a task.

    `name` is the id of a row without one: its number, counted from 1. `mapping` names, for a column
    of the task, the key of the row that holds it; without an entry the column's own name is tried,
    then its `names`. Unused keys of the row are ignored. `where` is what errors call the row.
    """
    where = where or f"row {name}"
    if not isinstance(row, Mapping):
        return Rejected(name, f"expected an object with columns, found {_shown(row)}", where)
    identity = row.get((mapping or {}).get(ID, ID))
    if isinstance(identity, float) and identity.is_integer():  # how tables hold whole numbers beside absent ones
        identity = int(identity)
    if isinstance(identity, bool | list | dict):
        return Rejected(name, f"expected a text or a number as id, found {_shown(identity)}", where)
    record_id = name if identity is None or identity == "" or identity != identity else str(identity)
    record_id = printable(record_id)
    values: dict[str, str] = {}
    for name, column in columns.items():
        key = column_key(row, name, column, mapping or {})
        value = row.get(key) if key is not None else None
        if value is None or (isinstance(value, str) and not value.strip()):
            if column.required:
                found = ", ".join(map(str, row)) or "nothing"
                return Rejected(record_id, f"no text in column {name!r} (the row has: {found})", where)
            values[name] = ""
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
            reason = f"expected text, found {_shown(value)}"
            return Rejected(record_id, reason, f"{where}, column {key!r}")
        text = str(value)
        if wrong := _wrong_text(text, column):
            return Rejected(record_id, wrong, f"{where}, column {key!r}")
        values[name] = text
    return Record(record_id, values)


def printable(text: str) -> str:
    """A text that any file can hold: what is no character is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def column_key(row: Mapping[str, Any], name: str, column: Column, mapping: Mapping[str, str]) -> str | None:
    """The key of `row` that holds column `name`, or None."""
    if name in mapping:
        return mapping[name] if mapping[name] in row else None
    return next((key for key in (name, *column.names) if key in row), None)


def _wrong_text(text: str, column: Column) -> str | None:
    if len(text) > column.max_chars:
        return f"text of {len(text):,} characters; at most {column.max_chars:,} are read"
    if (place := text.find("\0")) >= 0:
        return f"NUL byte at character {place}"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"invalid UTF-8 at character {error.start}"
    if column.allowed and text not in column.allowed:
        return f"{_shown(text)} is not one of {', '.join(column.allowed)}"
    return None


def _shown(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else text[:most] + "..."
