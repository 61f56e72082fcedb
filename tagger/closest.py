"""A name that is not there, and those that are: which of them may be meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

LEAST = 0.7
"""The likeness from which one name may be meant by another: "titel" has 0.8 to "title"."""


def closest(wanted: Iterable[str], there: Iterable[str]) -> str | None:
    """Of the names that are there the one that is most like one of those that are wanted; None if none is like any."""
    names = [name.casefold() for name in wanted]
    likeness = {name: max((_alike(one, name.casefold()) for one in names), default=0.0) for name in there}
    best = max(likeness, key=lambda name: likeness[name], default=None)
    return best if best is not None and likeness[best] >= LEAST else None


def _alike(wanted: str, name: str) -> float:
    """From 0 to 1: how much of both is the same, or how much of what is wanted stands in one piece in a longer name."""
    pieces = SequenceMatcher(None, wanted, name, autojunk=False)
    whole = pieces.find_longest_match().size / max(1, len(wanted))
    return max(pieces.ratio(), 0.95 * whole)  # the same name, but for its case, is likelier than one that holds it
