"""What a proposal is made with: chosen on train and dev rows of pricerunner and titles18-zh, and on no other set
(python -m eval taxonomy)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Weights of the views, and how far apart clusters and branches stand."""

    characters: float = 1.0
    words: float = 0.0
    kinds: float = 1.0
    embedding: float = 1.0
    embedded_kinds: float = 1.0
    distance: float = 0.75
    """Mean cosine distance up to which clusters are put together."""
    branches_from: int = 8
    """Labels from which a tree gets a second level."""
    branch_distance: float = 0.7
    """Mean cosine distance up to which labels stand under one node."""
