"""Field definitions in, a verdict on a value out.

A field says what is asked of a record. The same definition checks a value (`problem`), and
`grammar.py` turns it into the grammar that constrains decoding, so the two cannot drift apart.
"""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator
from pydantic import Field as Setting

PATH_SEPARATOR = " > "
"""Between the levels of a taxonomy path, as the Google product taxonomy writes it."""


class FieldBase(BaseModel):
    """What every field kind has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = ""
    """What the value means, in a few words; shown to the model."""
    required: bool = False
    """Whether an answer without this field is refused."""
    abstain_below: float = Setting(default=0.0, ge=0.0, le=1.0)
    """Probability under which the tagger says nothing rather than something doubtful."""

    @property
    def closed(self) -> Mapping[str, Any] | None:
        """Text of each value -> the value, for kinds with a known set of single values; else None."""
        return None

    @abstractmethod
    def problem(self, value: Any) -> str | None:
        """Why `value` is no value of this field, or None when it is one."""


class ClosedField(FieldBase):
    """A field whose values are known beforehand: `labels` maps each to its description."""

    labels: Mapping[str, str] = Setting(min_length=1)

    @field_validator("labels", mode="before")
    @classmethod
    def _a_list_is_a_table_without_descriptions(cls, value: Any) -> Any:
        if isinstance(value, Sequence) and not isinstance(value, str):
            repeated = sorted({str(v) for v in value if list(value).count(v) > 1})
            if repeated:
                raise ValueError(f"label listed twice: {', '.join(repeated)}")
            return dict.fromkeys(value, "")
        return value

    @field_validator("labels")
    @classmethod
    def _labels_differ_to_a_reader(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        seen: dict[str, str] = {}
        for label in labels:
            if not label.strip() or label != label.strip() or "\n" in label:
                raise ValueError(f"label {label!r} is empty, or has white space around it or a line break in it")
            folded = unicodedata.normalize("NFKC", label).casefold()
            if folded in seen:
                raise ValueError(f"labels {seen[folded]!r} and {label!r} are the same to a reader; keep one")
            seen[folded] = label
        return labels

    def among(self, labels: Iterable[str]) -> Self:
        """This field with these of its labels alone, in their order."""
        found = self.model_copy(update={"labels": {label: self.labels[label] for label in labels}})
        found.__dict__.pop("closed", None)  # pydantic copies what has been worked out, too
        return found

    def _unknown(self, value: Any) -> str | None:
        if isinstance(value, str) and value in self.labels:
            return None
        return f"{value!r} is not one of the {len(self.labels)} labels ({_some(self.labels)})"


class LabelField(ClosedField):
    """One of a closed set of labels."""

    kind: Literal["label"] = "label"
    required: bool = True

    @cached_property
    def closed(self) -> Mapping[str, Any]:
        return dict(zip(self.labels, self.labels, strict=True))

    def problem(self, value: Any) -> str | None:
        return self._unknown(value)


class LabelsField(ClosedField):
    """Any number of labels of a closed set, each at most once, in the declared order."""

    kind: Literal["labels"] = "labels"

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, list):
            return f"expected a list of labels, found {value!r}"
        for label in value:
            if wrong := self._unknown(label):
                return wrong
        if value != [label for label in self.labels if label in value]:
            return f"labels must come once each and in the declared order, found {value!r}"
        return None


class PathField(ClosedField):
    """A leaf of a taxonomy, written as a path: 'Food > Tea > Green tea'."""

    kind: Literal["path"] = "path"
    required: bool = True

    @cached_property
    def closed(self) -> Mapping[str, Any]:
        return dict(zip(self.labels, self.labels, strict=True))

    def problem(self, value: Any) -> str | None:
        return self._unknown(value)


class TextField(FieldBase):
    """A piece of text; `verbatim` when it has to stand in the record itself."""

    kind: Literal["text"] = "text"
    verbatim: bool = True
    max_chars: int = Setting(default=200, ge=1)

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, str) or not value.strip():
            return f"expected text, found {value!r}"
        if len(value) > self.max_chars:
            return f"expected at most {self.max_chars} characters, found {len(value)}"
        if any(unicodedata.category(char) == "Cc" for char in value):
            return f"expected text without control characters, found {value!r}"
        return None


class TextsField(FieldBase):
    """One or more pieces of text that stand in the record, in its order; a piece said twice says nothing more."""

    kind: Literal["texts"] = "texts"
    max_chars: int = Setting(default=200, ge=1)

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, list) or not value:
            return f"expected a list of texts, found {value!r}"
        one = TextField(max_chars=self.max_chars)
        return next((wrong for item in value if (wrong := one.problem(item))), None)


class ClaimsField(FieldBase):
    """One to `most` sentences written from the tags that the record's columns state; those that no tag proves are
    withheld (claims.py)."""

    kind: Literal["claims"] = "claims"
    required: bool = True
    most: int = Setting(default=4, ge=1, le=20)
    max_chars: int = Setting(default=200, ge=1)

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, list) or not 0 < len(value) <= self.most:
            return f"expected a list of 1 to {self.most} sentences, found {value!r}"
        one = TextField(max_chars=self.max_chars)
        return next((wrong for item in value if (wrong := one.problem(item))), None)


class NumberField(FieldBase):
    """A number; with `units`, a quantity {"value": 250, "unit": "ml"} in one of them."""

    kind: Literal["number"] = "number"
    units: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        if self.units:
            if not isinstance(value, Mapping) or set(value) != {"value", "unit"}:
                return f"expected {{'value': number, 'unit': one of {', '.join(self.units)}}}, found {value!r}"
            if value["unit"] not in self.units:
                return f"unit {value['unit']!r} is not one of {', '.join(self.units)}"
            value = value["value"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            return f"expected a number between -1e9 and 1e9, found {value!r}"
        if float(plain_number(value)) != value:
            return f"expected at most six decimals, found {value!r}"
        return None


class BooleanField(FieldBase):
    """Yes or no."""

    kind: Literal["boolean"] = "boolean"

    @cached_property
    def closed(self) -> Mapping[str, Any]:
        return {"true": True, "false": False}

    def problem(self, value: Any) -> str | None:
        return None if isinstance(value, bool) else f"expected true or false, found {value!r}"


class ScoreField(FieldBase):
    """A whole number on a scale from `low` to `high`, both included."""

    kind: Literal["score"] = "score"
    low: int = 1
    high: int = 5

    @cached_property
    def closed(self) -> Mapping[str, Any]:
        return {str(score): score for score in range(self.low, self.high + 1)}

    @model_validator(mode="after")
    def _scale(self) -> ScoreField:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self

    def problem(self, value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high:
            return None
        return f"expected a whole number from {self.low} to {self.high}, found {value!r}"


def plain_number(value: int | float) -> str:
    """A number without exponent, trailing zeros and minus zero: 250, 0.5, -3; at most six decimals."""
    text = format(value, ".6f").rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def is_quantity(value: Any) -> bool:
    """Whether a value is a number with a unit, in whichever field."""
    number = value.get("value") if isinstance(value, Mapping) and {"value", "unit"} == value.keys() else None
    return isinstance(number, int | float) and not isinstance(number, bool)


def plain_quantity(value: Mapping[str, Any]) -> str:
    """A quantity as one writes it: 250 ml."""
    return f"{plain_number(value['value'])} {value['unit']}"


Field = Annotated[
    LabelField
    | LabelsField
    | PathField
    | TextField
    | TextsField
    | ClaimsField
    | NumberField
    | BooleanField
    | ScoreField,
    Setting(discriminator="kind"),
]
"""Any of the nine kinds, told apart by the key `kind`."""


def fold(text: str) -> str:
    """A text as it is compared with others: without regard to case, width (NFKC) and white space."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def takes_spans(field: FieldBase) -> bool:
    """Whether the field's values are pieces of the record's own text."""
    return isinstance(field, TextsField) or (isinstance(field, TextField) and field.verbatim)


def takes_several(field: FieldBase) -> bool:
    """Whether the field's value is a list."""
    return isinstance(field, LabelsField | TextsField | ClaimsField)


def problems(fields: Mapping[str, FieldBase], values: Mapping[str, Any]) -> list[str]:
    """All that is wrong with `values` as an answer to `fields`, each line starting with the place."""
    found = [f"$.{name}: no such field (there are: {_some(fields)})" for name in values if name not in fields]
    for name, field in fields.items():
        if name in values:
            if wrong := field.problem(values[name]):
                found.append(f"$.{name}: {wrong}")
        elif field.required:
            found.append(f"$.{name}: missing, and it is required")
    return found


def _some(names: Mapping[str, Any], most: int = 6) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")
