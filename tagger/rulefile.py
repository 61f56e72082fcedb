"""rules.toml in, a RuleBook out: what a house knows about its values, checked against the task's fields.

    [synonyms.colour]                     what is written -> what is said
    "dark blue" = "navy"
    [units]                               the unit in which a quantity is told; of several the one that fits
    volume = "ml"
    [brands]                              known values, one a line, other spellings behind tabs
    brand = "brands.txt"
    [[allowed]]                           in which category which values there may be
    if = { category = "Tea" }
    values = { form = ["bags", "loose"] }
    [[implies]]                           one value: it is that; a list: one of them; absent: there is none
    if = { organic = true }
    then = { certified = true }
    absent = ["pesticide"]

A condition names columns and fields; all of it has to hold. rules.py applies what stands here.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError
from pydantic import Field as Setting

from tagger.errors import TaskError
from tagger.plan import validation_text
from tagger.record import Column
from tagger.rulebook import Implication, RuleBook, same
from tagger.schema import (
    ClaimsField,
    FieldBase,
    LabelField,
    LabelsField,
    NumberField,
    PathField,
    TextField,
    TextsField,
    fold,
    takes_several,
)
from tagger.units import Scale, scales

RULES = "rules.toml"
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
OneOrMore = Scalar | tuple[Scalar, ...]


class _Allowed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    given: Mapping[str, OneOrMore] = Setting(default={}, alias="if")
    values: Mapping[str, tuple[Scalar, ...]] = Setting(min_length=1)


class _Implies(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    given: Mapping[str, OneOrMore] = Setting(min_length=1, alias="if")
    then: Mapping[str, OneOrMore] = {}
    absent: tuple[str, ...] = ()


class _File(BaseModel):
    """What rules.toml may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    synonyms: Mapping[str, Mapping[str, str]] = {}
    units: Mapping[str, str | tuple[str, ...]] = {}
    brands: Mapping[str, str] = {}
    allowed: tuple[_Allowed, ...] = ()
    implies: tuple[_Implies, ...] = ()


def load_rules(path: Path, fields: Mapping[str, FieldBase], columns: Mapping[str, Column]) -> RuleBook | None:
    """The rules in a file, None where there is none; TaskError, with file and place, for whatever is wrong."""
    if not path.is_file():
        return None
    try:
        said = _File.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"not TOML: {error}", where=str(path)) from None
    except ValidationError as error:
        raise TaskError(validation_text(error), where=str(path)) from None
    return _Reader(path, fields, columns).book(said)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Holds what a file says against the fields."""

    path: Path
    fields: Mapping[str, FieldBase]
    columns: Mapping[str, Column]

    def book(self, said: _File) -> RuleBook:
        synonyms = {name: self._synonyms(name, words) for name, words in said.synonyms.items()}
        units = {name: self._units(name, targets) for name, targets in said.units.items()}
        brands = {name: self._brands(name, file) for name, file in said.brands.items()}
        for name in synonyms.keys() & brands.keys():
            self._agree(name, synonyms[name], brands[name])
        implications = (*self._allowed(said.allowed), *self._implies(said.implies))
        told = json.dumps(
            [synonyms, {n: {u: asdict(s) for u, s in x.items()} for n, x in units.items()}, brands,
             [asdict(one) for one in implications]], ensure_ascii=False, sort_keys=True,
        )  # fmt: skip
        columns = tuple(name for name in self.columns if any(name in one.given for one in implications))
        book = RuleBook(synonyms, units, brands, implications, columns, told)
        for one in implications:
            self._reachable(book, one)
        return book

    def _synonyms(self, name: str, words: Mapping[str, str]) -> dict[str, str]:
        place = f"synonyms.{name}"
        field = self._field(name, place, (LabelField, LabelsField, PathField, TextField, TextsField))
        labels = getattr(field, "labels", None)
        known = {fold(after): after for after in words.values()}
        for before, after in words.items():
            if not fold(before):
                raise self._wrong(place, "an empty text stands for nothing")
            if labels is not None and before not in labels:
                raise self._wrong(
                    place, f"{before!r} is no label of the field, so it is never written", "name one of its labels"
                )
            if known.setdefault(fold(before), after) != after:
                found = known[fold(before)]
                told = f"{before!r} is to be both {found!r} and {after!r}"
                raise self._wrong(place, told, "each text stands for one, and what is said stands for itself")
            self._value(field, after, place)
        return known

    def _units(self, name: str, targets: str | tuple[str, ...]) -> dict[str, Scale]:
        place = f"units.{name}"
        field = self._field(name, place, (NumberField,))
        wanted = (targets,) if isinstance(targets, str) else targets
        declared = field.units if isinstance(field, NumberField) else ()
        if outside := [target for target in wanted if target not in declared]:
            hint = f"add it to the units of the field ({', '.join(declared) or 'it has none'})"
            raise self._wrong(place, f"{outside[0]!r} is no unit of the field", hint)
        return scales(declared, wanted, f"{self.path}: {place}")

    def _brands(self, name: str, file: str) -> dict[str, str]:
        """The list in a text file: folded spelling -> the known value."""
        place = f"brands.{name}"
        field = self._field(name, place, (TextField, TextsField))
        path = self.path.parent / file
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except OSError:
            raise self._wrong(place, f"there is no file {file!r}", "it lies beside rules.toml") from None
        except UnicodeDecodeError as error:
            raise TaskError(f"not UTF-8: {error}", where=str(path), hint="save it as UTF-8") from None
        found: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            spellings = [part.strip() for part in line.split("\t") if part.strip()]
            for spelling in spellings:
                if found.setdefault(fold(spelling), spellings[0]) != spellings[0]:
                    told = f"{spelling!r} stands already for {found[fold(spelling)]!r}"
                    raise TaskError(told, where=f"{path}:{number}", hint="a spelling belongs to one brand")
            if spellings and (wrong := _problem(field, spellings[0])):
                raise TaskError(wrong, where=f"{path}:{number}")
        if not found:
            raise TaskError("the file has no brand", where=str(path), hint="one a line, other spellings behind tabs")
        return found

    def _agree(self, name: str, words: Mapping[str, str], known: Mapping[str, str]) -> None:
        for said in [*words.values(), *known.values()]:
            a, b = words.get(fold(said), said), known.get(fold(said), said)
            if a != b:
                told = f"{said!r} is {a!r} here, and {b!r} in the list of brands"
                raise self._wrong(f"synonyms.{name}", told, "say it in both as the list does")

    def _allowed(self, rules: Sequence[_Allowed]) -> list[Implication]:
        found = []
        for number, rule in enumerate(rules, start=1):
            name = rule.name or f"allowed.{number}"
            given = self._given(rule.given, name)
            for field, values in rule.values.items():
                self._target(field, name, rule.given)
                if not values:
                    raise self._wrong(name, f"{field!r} has no value", f"[[implies]] has absent = [{field!r}]")
                self._values(field, values, name)
                found.append(Implication(name, given, field, values, leads=True))
        return found

    def _implies(self, rules: Sequence[_Implies]) -> list[Implication]:
        found = []
        for number, rule in enumerate(rules, start=1):
            name = rule.name or f"implies.{number}"
            given = self._given(rule.given, name)
            if not rule.then and not rule.absent:
                raise self._wrong(name, "nothing follows from it", "say `then` or `absent`")
            for field, said in rule.then.items():
                self._target(field, name, rule.given)
                values = said if isinstance(said, tuple) else (said,)
                if not values:
                    raise self._wrong(name, f"{field!r} has no value", f"absent = [{field!r}]")
                self._values(field, values, name)
                found.append(Implication(name, given, field, values, says=not isinstance(said, tuple)))
            for field in rule.absent:
                self._target(field, name, rule.given)
                if self.fields[field].required or field in rule.then:
                    hint = "say `required = false` in task.toml" if self.fields[field].required else "choose one"
                    raise self._wrong(name, f"{field!r} has to have a value, so it cannot be absent", hint)
                found.append(Implication(name, given, field, ()))
        return found

    def _given(self, given: Mapping[str, OneOrMore], place: str) -> dict[str, tuple[Any, ...]]:
        found = {}
        for name, said in given.items():
            found[name] = said if isinstance(said, tuple) else (said,)
            if name in self.fields and name in self.columns:
                raise self._wrong(place, f"{name!r} is both a column and a field", "rename one of them in task.toml")
            if name in self.fields:
                self._values(name, found[name], place)
            elif name not in self.columns:
                there = ", ".join([*self.columns, *self.fields])
                raise self._wrong(place, f"there is no column or field {name!r}", f"there are: {there}")
            else:
                allowed = self.columns[name].allowed
                for value in found[name]:
                    if not isinstance(value, str) or (allowed and value not in allowed):
                        told = f"one of {', '.join(allowed)}" if allowed else "a text"
                        raise self._wrong(place, f"column {name!r} never holds {value!r}", f"it holds {told}")
        return found

    def _target(self, name: str, place: str, given: Mapping[str, OneOrMore]) -> None:
        if name in given:
            raise self._wrong(place, f"{name!r} cannot follow from itself", "take it out of `if`, or out of the rest")
        if isinstance(self._field(name, place, (FieldBase,)), ClaimsField):
            raise self._wrong(place, f"{name!r} is a description, which follows from tags alone", "name another field")

    def _values(self, name: str, values: Sequence[Any], place: str) -> None:
        field = self.fields[name]
        if isinstance(field, ClaimsField):
            raise self._wrong(place, f"{name!r} is a description, which no rule can name", "name another field")
        if isinstance(field, NumberField) and field.units:
            raise self._wrong(place, f"{name!r} is a quantity, which no rule can name", "name another field")
        for value in values:
            self._value(field, value, place)

    def _value(self, field: FieldBase, value: Any, place: str) -> None:
        if wrong := _problem(field, value):
            raise self._wrong(place, wrong, "the value has to be one that the field allows")

    def _reachable(self, book: RuleBook, one: Implication) -> None:
        """A value that another rule rewrites is never said."""
        told = [(one.field, one.values), *((n, v) for n, v in one.given.items() if n in self.fields)]
        for name, values in told:
            for value in values:
                after, steps = book.rewritten(name, value)
                if steps and not same(after, value):
                    raise self._wrong(one.rule, f"{value!r} is never said of {name!r}: it is {after!r}", "name that")

    def _field(self, name: str, place: str, kinds: tuple[type[FieldBase], ...]) -> FieldBase:
        field = self.fields.get(name)
        if field is None:
            raise self._wrong(place, f"there is no field {name!r}", f"there are: {', '.join(self.fields)}")
        if not isinstance(field, kinds):
            told = ", ".join(sorted(kind.model_fields["kind"].default for kind in kinds))
            kind = getattr(field, "kind", "")
            raise self._wrong(place, f"{name!r} is a field of kind {kind}", f"the kind has to be one of: {told}")
        return field

    def _wrong(self, place: str, message: str, hint: str | None = None) -> TaskError:
        return TaskError(message, where=f"{self.path}: {place}", hint=hint)


def _problem(field: FieldBase, value: Any) -> str | None:
    """Why a value, or an item of a field that takes several, is none of the field's."""
    return field.problem([value] if takes_several(field) else value)
