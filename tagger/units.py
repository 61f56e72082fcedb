"""Names of units in, how a quantity in one is told in another out.

What the names of shops mean stands in units.toml, Chinese ones too; sizes and dimensions of units are those of pint.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from tagger.errors import TaskError
from tagger.schema import fold, plain_number

LOST = 1e-3
"""Of a number, relative: what may be lost where only six decimals can be written (schema.py)."""
_PINT = re.compile(r"[A-Za-zµμ°][A-Za-zµμ°_]*")
"""Names that may be asked of pint: one word."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A quantity of one unit is `factor * value + offset` of `target`; only temperatures have an offset."""

    target: str
    factor: float = 1.0
    offset: float = 0.0

    def told(self, value: float) -> int | float | None:
        """The value in the target unit, as a number field has it: at most six decimals, whole if it is whole.

        None where it cannot be written so: too large, or more than LOST of it would be rounded away.
        """
        exact = self.factor * value + self.offset
        number = float(format(exact, ".12g"))  # what binary fractions add is not of the quantity
        if not abs(number) < 1e9:
            return None
        text = plain_number(number)
        found = float(text) if "." in text else int(text)
        return found if abs(found - exact) <= LOST * max(abs(exact), abs(self.offset)) else None


def scales(units: Sequence[str], targets: Sequence[str], where: str) -> dict[str, Scale]:
    """For each of `units` the one of `targets` that measures the same (mass, length, ...), and how it is told in it.

    A target need not be a unit that is known: a quantity in it stays as it is. Raises TaskError, at `where`, for a
    unit that is not known, or is measured by none of the targets, and for two targets that measure the same.
    """
    found = {target: Scale(target) for target in targets}
    left = [unit for unit in units if unit not in found]
    known = {target: one for target in targets if (one := _quantity(target)) is not None}
    kinds: dict[Any, str] = {}
    for target, one in known.items():
        if (other := kinds.setdefault(one.dimensionality, target)) != target:
            raise TaskError(f"{other!r} and {target!r} measure the same", where=where, hint="keep one of them")
    for unit in left:
        one = _quantity(unit)
        if one is None:
            hint = f"tagger/units.toml has those that are known; or name {unit!r} itself, to keep it as it is"
            raise TaskError(f"no unit {unit!r} is known", where=where, hint=hint)
        target = kinds.get(one.dimensionality, "")
        if not target:
            hint = f"name a unit for it as well, or {unit!r} itself, to keep it as it is"
            raise TaskError(f"{unit!r} cannot be told in {', '.join(targets)}", where=where, hint=hint)
        found[unit] = _scale(one, known[target], target)
    return found


def named(unit: str) -> bool:
    """Whether a unit stands in units.toml."""
    return _key(unit) in _names()


def measured(value: float, unit: str) -> tuple[str, float] | None:
    """What so much of a unit measures, and how much of it in base units, to nine digits: the same for 30 cm and
    300 mm. None for a unit that is not known, or only counts."""
    if unit == "%":
        return unit, value
    one = _quantity(unit)
    if one is None:
        return None
    base = type(one)(value * one.magnitude, one.units).to_base_units()
    if base.dimensionless:
        return None
    return str(base.dimensionality), float(format(float(base.magnitude), ".9g"))


def _scale(one: Any, to: Any, target: str) -> Scale:
    def told(value: float) -> float:
        made = type(one)(value * one.magnitude, one.units).to(to.units)
        return float(made.magnitude) / float(to.magnitude)

    offset = told(0.0)
    return Scale(target, float(format(told(1.0) - offset, ".14g")), float(format(offset, ".14g")))


@lru_cache(maxsize=10_000)  # product texts have no end of words behind numbers
def _quantity(name: str) -> Any:
    """One of a unit as a pint quantity, None if it is not known."""
    import pint

    said = _names().get(_key(name))
    if said is None:
        word = unicodedata.normalize("NFKC", name).strip()
        if not _PINT.fullmatch(word):
            return None
        said = (1.0, word)
    try:
        return _registry().Quantity(*said)
    except (pint.PintError, ValueError):  # ValueError: "nan"
        return None


@cache
def _names() -> Mapping[str, tuple[float, str]]:
    told = tomllib.loads((Path(__file__).parent / "units.toml").read_text("utf-8"))
    return {_key(name): (1.0, said) if isinstance(said, str) else (said[0], said[1]) for name, said in told.items()}


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)


def _key(name: str) -> str:
    return fold(name).replace(".", "")
