"""A task.toml in, a Definition out: which fields are asked of which columns, checked."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Setting

from tagger.errors import TaskError
from tagger.plan import validation_text
from tagger.record import Column, Record
from tagger.schema import Field, FieldBase
from tagger.tables import refuse_taken_names


class When(BaseModel):
    """Which fields are asked, by the value of a column: a shoe has a size, a tea has a flavour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    fields: Mapping[str, tuple[str, ...]] = Setting(min_length=1)


class Definition(BaseModel):
    """What task.toml may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    columns: Mapping[str, Column] = Setting(min_length=1)
    fields: Mapping[str, Field] = Setting(min_length=1)
    when: When | None = None
    gold: str = "answer"
    """Where a labelled row keeps its right answers: a dotted path to an object of field -> value."""
    adapter: str | None = None
    """A LoRA adapter that was proved better than the prompt alone: folder or hub id."""
    plan: str = "plan.toml"
    """The file that says how it is asked; without the file the default plan does."""
    target: float | None = Setting(default=None, gt=0, le=1)
    """The share right, or micro F1, that the task is to reach: short of it an adapter is worth trying."""


def asked_fields(definition: Definition, record: Record) -> dict[str, FieldBase]:
    """The fields that a definition asks of a record, in order."""
    when = definition.when
    if when is None:
        return dict(definition.fields)
    return {name: definition.fields[name] for name in when.fields[record.values[when.column]]}


def read_definition(path: Path) -> Definition:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"not TOML: {error}", where=str(path)) from None
    fields = data.get("fields")
    for name, field in fields.items() if isinstance(fields, dict) else ():
        if isinstance(field, dict) and isinstance(field.get("labels"), str):
            field["labels"] = _label_file(path.parent / field["labels"], f"{path}: fields.{name}.labels")
    try:
        definition = Definition.model_validate(data)
    except ValidationError as error:
        raise TaskError(validation_text(error), where=str(path)) from None
    refuse_taken_names(definition.fields, str(path))
    _check_when(definition, str(path))
    return definition


def _label_file(path: Path, where: str) -> dict[str, str]:
    """Labels from a text file, one a line, with a description behind a tab if there is one."""
    if not path.is_file():
        raise TaskError(f"no such label file: {path}", where=where)
    labels: dict[str, str] = {}
    seen: dict[str, int] = {}
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise TaskError(f"not UTF-8: {error}", where=str(path)) from None
    for number, line in enumerate(lines, start=1):
        label, _, about = line.partition("\t")
        if not label.strip():
            continue
        folded = unicodedata.normalize("NFKC", label).casefold()
        if folded in seen:
            raise TaskError(f"label {label!r} stands already on line {seen[folded]}", where=f"{path}:{number}")
        seen[folded] = number
        labels[label] = about.strip()
    return labels


def _check_when(definition: Definition, where: str) -> None:
    when = definition.when
    if when is None:
        return
    if when.column not in definition.columns:
        raise TaskError(f"when.column {when.column!r} is not among the columns", where=where)
    if not definition.columns[when.column].required:
        raise TaskError(f"when.column {when.column!r} must be a required column", where=where)
    if outside := set(definition.columns[when.column].allowed) ^ set(when.fields):
        raise TaskError(
            f"when.fields and columns.{when.column}.allowed must name the same values; only one has "
            f"{', '.join(sorted(outside))}",
            where=where,
        )
    for value, names in when.fields.items():
        if unknown := [name for name in names if name not in definition.fields]:
            raise TaskError(f"when.fields.{value}: no field {unknown[0]!r}", where=where)
