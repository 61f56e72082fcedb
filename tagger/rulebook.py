"""Rules of a task as data: what a value is called, and what follows from what. rules.py applies them to tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tagger.schema import fold
from tagger.units import Scale


@dataclass(frozen=True, slots=True)
class Step:
    """One rewriting of a value, or of an item of a list: which rule, and what stood there before and after it."""

    rule: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Implication:
    """Where every column or field in `given` has one of the values there, `field` has one of `values`, if any.

    No `values`: the field is absent. `says`: it has the one value that `values` holds, also where nothing was said.
    `leads`: where it is broken the field is wrong, not the condition, however probable they are.
    """

    rule: str
    given: Mapping[str, tuple[Any, ...]]
    field: str
    values: tuple[Any, ...]
    says: bool = False
    leads: bool = False

    def holds(self, said: Callable[[str], Any]) -> bool:
        """Whether the rule's condition does; `said` gives the value of a column or field, None for none."""
        return all(
            any(same(item, value) for item in items_of(said(name)) for value in values)
            for name, values in self.given.items()
        )

    def fits(self, value: Any) -> bool:
        """Whether a value that was said is one that the rule leaves; of a list every item."""
        return all(any(same(item, one) for one in self.values) for item in items_of(value))


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules of a task; `text` has all of them, brands and sizes of units too, for the task's version."""

    synonyms: Mapping[str, Mapping[str, str]]
    """By field: folded text (schema.py) -> what is said."""
    units: Mapping[str, Mapping[str, Scale]]
    """By field: unit -> how it is told."""
    brands: Mapping[str, Mapping[str, str]]
    """By field: folded spelling -> the known value."""
    implications: tuple[Implication, ...]
    columns: tuple[str, ...]
    """Columns that a rule names."""
    text: str

    def rewritten(self, name: str, value: Any) -> tuple[Any, tuple[Step, ...]]:
        """A value of field `name` as the rules say it, and what was changed on the way; applied twice it is the same.

        A list is rewritten item by item, and an item that is there already is left out.
        """
        if isinstance(value, list):
            said: list[Any] = []
            steps: list[Step] = []
            for item in value:
                one, taken = self.rewritten(name, item)
                steps += taken
                if one not in said:
                    said.append(one)
            return said, tuple(steps)
        if isinstance(value, Mapping):
            return self._quantity(name, value)
        changes: list[Step] = []
        for kind, words in (("synonyms", self.synonyms), ("brands", self.brands)):
            after = words.get(name, {}).get(fold(value), value) if isinstance(value, str) else value
            if after != value:
                changes.append(Step(f"{kind}.{name}", value, after))
                value = after
        return value, tuple(changes)

    def unknown(self, name: str, value: Any) -> list[str]:
        """The items of a value that are not among the known ones of a field with a list of brands."""
        return [item for item in items_of(value) if fold(item) not in self.brands[name]] if name in self.brands else []

    def broken(self, columns: Mapping[str, str], answer: Mapping[str, Any]) -> Implication | None:
        """The first rule that an answer to a record with these columns breaks."""
        told = {name: self.rewritten(name, value)[0] for name, value in answer.items()}
        kept = (one for one in self.implications if one.holds(lambda name: told.get(name, columns.get(name))))
        return next((one for one in kept if not one.fits(told.get(one.field))), None)

    def _quantity(self, name: str, value: Mapping[str, Any]) -> tuple[Any, tuple[Step, ...]]:
        scale = self.units.get(name, {}).get(value["unit"])
        told = scale.told(value["value"]) if scale and scale.target != value["unit"] else None
        if scale is None or told is None:
            return value, ()
        after = {"value": told, "unit": scale.target}
        return after, (Step(f"units.{name}", value, after),)


def same(a: Any, b: Any) -> bool:
    """Whether two values are one to a reader; true is not 1."""
    if isinstance(a, str) and isinstance(b, str):
        return fold(a) == fold(b)
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def items_of(value: Any) -> list[Any]:
    """The items of a list, a single value as one, and none where nothing is said."""
    if isinstance(value, list):
        return value
    return [] if value is None or value == "" else [value]
