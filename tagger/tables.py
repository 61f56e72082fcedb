"""What the columns of a table of tags are called, and so what no field of a task may be called."""

from __future__ import annotations

from collections.abc import Mapping

from tagger.errors import TaskError
from tagger.schema import ClaimsField, FieldBase

OUTPUT_COLUMNS = ("id", "outcome", "reason", "same_as", "task", "task_version", "plan", "model", "adapter", "engine")
"""Columns of a table of tags that no field may take."""
RULE_COLUMNS = ("corrections", "conflicts")
"""Those that the table of a task with rules has besides."""


def columns_of(name: str) -> tuple[str, str, str, str]:
    """The columns of a field in a table of tags: value, probability, start and end of the evidence."""
    return name, f"{name}_probability", f"{name}_start", f"{name}_end"


def untraced_column(name: str) -> str:
    """The column of a description in a table of tags that has what was withheld of it, as JSON."""
    return f"{name}_untraced"


def refuse_taken_names(fields: Mapping[str, FieldBase], where: str) -> None:
    """Raise TaskError for a field whose column in a table of tags would be another's."""
    taken = {*OUTPUT_COLUMNS} | {column for name in fields for column in columns_of(name)[1:]}
    taken |= {untraced_column(name) for name, field in fields.items() if isinstance(field, ClaimsField)}
    if clash := [name for name in fields if name in taken]:
        raise TaskError(f"field {clash[0]!r} has the name of an output column", where=where, hint="rename it")
