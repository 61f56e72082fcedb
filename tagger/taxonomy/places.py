"""How alike rows are and their clusters in, how well each row stands in its own and in the others out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Places:
    """For each row, by its number: the cosine with the mean of its cluster's other rows, the cluster next to it (-1:
    there is no other) and the cosine with that one's mean."""

    fit: np.ndarray
    other: np.ndarray
    next_fit: np.ndarray


def cosines(likeness: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """A row for each row and a column for each cluster from 0 on: the cosine with the mean of its rows, the row itself
    left out. `likeness` holds inner products of rows of unit length; rows of cluster -1 are in none."""
    count = int(clusters.max(initial=-1)) + 1
    member = (clusters[:, None] == np.arange(count)).astype(likeness.dtype)
    size, sums = member.sum(axis=0), likeness @ member  # (clusters), (rows, clusters): sums of inner products
    squares = np.einsum("rc,rc->c", member, sums)  # |sum of a cluster's rows| squared
    own = np.diag(likeness)[:, None] * member
    left_squares = np.maximum(squares - 2 * sums * member + own, 0.0)
    alone = (size - member) <= 0
    found = (sums - own) / np.sqrt(np.where(left_squares > 0, left_squares, 1.0))
    return np.where(alone, 0.0, found)


def places(likeness: np.ndarray, clusters: np.ndarray) -> Places:
    """Where each row stands; a row of cluster -1 has fit 0 and, as the other, the cluster that it is nearest to."""
    found = cosines(likeness, clusters)
    rows = np.arange(len(clusters))
    held = clusters >= 0
    fit = np.where(held, found[rows, np.maximum(clusters, 0)], 0.0)
    others = found.copy()
    others[rows[held], clusters[held]] = -np.inf
    other = others.argmax(axis=1) if found.shape[1] > 1 or not held.any() else np.full(len(rows), -1)
    next_fit = np.where(other >= 0, others[rows, other], 0.0)
    return Places(fit, np.where(np.isfinite(next_fit), other, -1), np.where(np.isfinite(next_fit), next_fit, 0.0))
