"""A name that is not there, and those that are: which of them may be meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

LEAST = 0.7
"""The likeness from which one name may be meant by another: "titel" has 0.8 to "title"."""

HELD = 0.8
"""The likeness of "product_name" to "name", 商品标题 to 标题: less than that of the same name in other letters."""


def closest(wanted: Iterable[str], there: Iterable[str]) -> str | None:
    """Of the names that are there the one that is most like one of those that are wanted; None if none is like any."""
    names = [name.casefold().strip() for name in wanted]
    likeness = {name: max((_alike(one, name.casefold().strip()) for one in names), default=0.0) for name in there}
    best = max(likeness, key=lambda name: likeness[name], default=None)
    return best if best is not None and likeness[best] >= LEAST else None


def _alike(wanted: str, name: str) -> float:
    """From 0 to 1: how much of both is the same; HELD for a name that begins or ends with what is wanted."""
    held = len(wanted) > 1 and (name.startswith(wanted) or name.endswith(wanted))
    return max(SequenceMatcher(None, wanted, name, autojunk=False).ratio(), HELD * held)
