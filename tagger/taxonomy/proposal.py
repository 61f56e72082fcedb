"""What is handed from stage to stage: labels with what they hold, and rows with where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tagger.schema import PATH_SEPARATOR


@dataclass(frozen=True, slots=True)
class Row:
    """A product text and its place; `label` is "" for a row that fits none."""

    id: str
    text: str
    label: str = ""
    fit: float = 0.0
    """Cosine of the row and the mean of its label's rows, 0 to 1."""
    other: str = ""
    """The label that is next to it."""
    margin: float = 0.0
    """How much further that one is: `fit` less the cosine with it."""


@dataclass(frozen=True, slots=True)
class Label:
    """A leaf of the tree. `name` is its path; figures are those of the rows that it was made from."""

    name: str
    includes: str = ""
    excludes: str = ""
    examples: tuple[str, ...] = ()
    """Texts of typical rows, the most typical first."""
    rows: int = 0
    cohesion: float = 0.0
    """Mean fit of its rows: 1 where all are alike."""
    ambiguity: float = 0.0
    """Share of its rows that stand about as near to another label."""
    nearest: str = ""
    """The label that most of those stand near to."""

    @property
    def path(self) -> tuple[str, ...]:
        """From the top of the tree to the leaf."""
        return tuple(self.name.split(PATH_SEPARATOR))

    @property
    def about(self) -> str:
        """What the model is told of it."""
        told = [self.includes, f"not {self.excludes}" if self.excludes else ""]
        return "; ".join(part for part in told if part)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A label tree with the rows that it was made from; none where it was read from a file."""

    labels: Sequence[Label]
    rows: Sequence[Row] = ()
    facts: Mapping[str, Any] | None = None
    """How it was made: settings, model, versions, seed."""

    @property
    def coverage(self) -> float:
        """Share of the rows that have a label; 0 without rows."""
        return sum(bool(row.label) for row in self.rows) / len(self.rows) if self.rows else 0.0
