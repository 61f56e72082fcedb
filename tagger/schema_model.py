"""A pydantic model in, fields out."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, Le, MaxLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tagger.errors import TaskError
from tagger.schema import BooleanField, Field, LabelField, LabelsField, NumberField, ScoreField, TextField, TextsField


def fields_of_model(model: type[BaseModel]) -> dict[str, Field]:
    """One field for each field of the model, in order; TaskError for a type that is no field kind."""
    return {name: _field(f"{model.__name__}.{name}", info) for name, info in model.model_fields.items()}


def _field(where: str, info: FieldInfo) -> Field:
    kind, optional = _without_none(info.annotation)
    metadata = list(info.metadata)
    if typing.get_origin(kind) is Annotated:  # Annotated[int, Field(ge=0)] | None keeps its bounds inside
        kind, *inner = typing.get_args(kind)
        metadata += [m for item in inner for m in getattr(item, "metadata", [item])]
    common: dict[str, Any] = {"about": info.description or "", "required": not optional and info.is_required()}
    bounds = {type(m): m for m in metadata}
    if typing.get_origin(kind) is Literal:
        return LabelField(labels=_labels(kind, where), **common)
    if typing.get_origin(kind) is list and typing.get_origin(typing.get_args(kind)[0]) is Literal:
        return LabelsField(labels=_labels(typing.get_args(kind)[0], where), **common)
    if kind == list[str]:
        return TextsField(**common)
    if kind is bool:
        return BooleanField(**common)
    if kind is int and Ge in bounds and Le in bounds:
        return ScoreField(low=bounds[Ge].ge, high=bounds[Le].le, **common)
    if kind in (int, float):
        return NumberField(**common)
    if kind is str:
        limit = {"max_chars": bounds[MaxLen].max_length} if MaxLen in bounds else {}
        return TextField(**limit, **common)
    raise TaskError(
        f"type {kind!r} is no kind of field",
        where=where,
        hint="use Literal, list[Literal], str, list[str], bool, int, float, or one of them | None",
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        if len(kinds) == 1:
            return kinds[0], True
    return annotation, False


def _labels(literal: Any, where: str) -> dict[str, str]:
    labels = typing.get_args(literal)
    if not all(isinstance(label, str) for label in labels):
        raise TaskError(f"labels must be strings, found {labels!r}", where=where)
    return dict.fromkeys(labels, "")
