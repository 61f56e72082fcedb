"""What a proposal is made with: chosen on train and dev rows of pricerunner and titles18-zh, and on no other set
(python -m eval taxonomy)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """How rows are put together, and how many of them the model reads."""

    neighbours: int = 10
    """Rows that each is joined to."""
    resolution: float = 1.0
    """Of the modularity: above 1 there are more clusters, below fewer."""
    runs: int = 8
    """Of the search for communities, from one seed each: the best is kept."""
    least: int = 3
    """Rows of a cluster; those of a smaller one fit none."""
    embedding: float = 0.5
    """Weight of the sentence embeddings, where there are any; the words have the rest."""
    read: int = 8
    """Rows of a cluster whose kind the model writes."""
    branches_from: int = 8
    """Labels from which a tree gets a second level."""
    branch_distance: float = 0.7
    """Mean cosine distance up to which labels stand under one node."""
    seed: int = 0
