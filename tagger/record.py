"""A row in, a Record out: the columns that a task reads, checked; or the reason why the row is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic import Field as Setting

from tagger.picture import Picture, UnreadableError, read_picture

ID = "id"
"""The column with the name of a row, where a mapping does not say another."""


class Column(BaseModel):
    """An input column of a task: what it holds and under which names a catalogue may call it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["text", "image"] = "text"
    about: str = ""
    names: tuple[str, ...] = ()
    """Names a file may use for this column, tried in order after the column's own."""
    required: bool = True
    max_chars: int = Setting(default=4000, ge=1)
    """A longer text is refused, never cut: cutting changes what a product is."""
    allowed: tuple[str, ...] = ()
    """If given, the only values this column may have."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "image" and (wrong := {"max_chars", "allowed"} & self.model_fields_set):
            raise ValueError(f"{min(wrong)} is for texts, this column holds images")
        return self

    @model_serializer(mode="wrap")
    def _as_before_there_were_kinds(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A column of text without its kind, so that the version of a task of texts (task.py) stays what it was."""
        told: dict[str, Any] = write(self)
        if self.kind == "text":
            del told["kind"]
        return told


@dataclass(frozen=True, slots=True)
class Record:
    """One product: texts (`values`) and `pictures` by column name of the task, `id` as it came or the row's number."""

    id: str
    values: Mapping[str, str]
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    """Those that there are: the others' columns have none."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that got no tags because of what it is: `where` names the column or row."""

    id: str
    reason: str
    where: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", printable(self.reason))  # it may quote what cannot be written


def read_record(
    row: Any,
    columns: Mapping[str, Column],
    name: str,
    mapping: Mapping[str, str] | None = None,
    where: str = "",
    folder: Path | None = None,
) -> Record | Rejected:
    """Take from `row` the columns of a task.

    `name` is the id of a row without one: its number, counted from 1. `mapping` names, for a column
    of the task, the key of the row that holds it; without an entry the column's own name is tried,
    then its `names`. Unused keys of the row are ignored. `where` is what errors call the row. Pictures may be named by
    their paths below `folder`; without one they have to stand in the row themselves.
    """
    where, mapping = where or f"row {name}", mapping or {}
    if not isinstance(row, Mapping):
        return Rejected(name, f"expected an object with columns, found {_shown(row)}", where)
    identity = row.get(mapping.get(ID, ID))
    if isinstance(identity, float) and identity.is_integer():  # how tables hold whole numbers beside absent ones
        identity = int(identity)
    if isinstance(identity, bool | list | dict):
        return Rejected(name, f"expected a text or a number as id, found {_shown(identity)}", where)
    record_id = printable(name if identity is None or identity == "" or identity != identity else str(identity))
    values: dict[str, str] = {}
    pictures: dict[str, Picture] = {}
    for name, column in columns.items():
        key = column_key(row, name, column, mapping)
        value = row.get(key) if key is not None else None
        absent, place = value is None or (isinstance(value, str) and not value.strip()), f"{where}, column {key!r}"
        if absent and column.required and key is None:
            found = ", ".join(map(str, row)) or "nothing"
            return Rejected(record_id, f"no column {mapping.get(name, name)!r} (the row has: {found})", where)
        if absent and column.required:
            return Rejected(record_id, f"the {'text' if column.kind == 'text' else 'picture'} is empty", place)
        if column.kind == "text":
            if not absent and (wrong := _wrong_text(value, column)):
                return Rejected(record_id, wrong, place)
            values[name] = "" if absent else str(value)
        elif not absent:
            try:
                pictures[name] = read_picture(value, folder)
            except UnreadableError as error:
                return Rejected(record_id, str(error), place)
    return Record(record_id, values, pictures)


def printable(text: str) -> str:
    """A text that any file can hold: what is no character is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def column_key(row: Mapping[str, Any], name: str, column: Column, mapping: Mapping[str, str]) -> str | None:
    """The key of `row` that holds column `name`, or None."""
    if name in mapping:
        return mapping[name] if mapping[name] in row else None
    return next((key for key in (name, *column.names) if key in row), None)


def _wrong_text(value: Any, column: Column) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
        return f"expected text, found {_shown(value)}"
    text = str(value)
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
