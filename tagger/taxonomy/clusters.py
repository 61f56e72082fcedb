"""How alike rows are in, a cluster number for each out; how many clusters there are is not given.

Each row is joined to those most like it, and communities are found in that graph (Louvain; Blondel et al. 2008,
networkx): of some runs the one with the highest modularity. An edge weighs 1, whatever the likeness: rare words in
common, a model's number, else tie rows of one series more than those of one kind. Then each row goes to the community
with whose mean it has the highest cosine, until none moves.
"""

from __future__ import annotations

import networkx as nx
import numpy as np

from tagger.taxonomy.places import cosines
from tagger.taxonomy.settings import Settings

ROUNDS = 10
"""Most times that rows are moved: few do after the third."""


def clusters(alike: np.ndarray, settings: Settings) -> np.ndarray:
    """The number of each row's cluster, from 0 on, the largest first; -1 for a row that is like too few others.

    `alike` is a square matrix; what is not above 0 joins nothing.
    """
    graph = _nearest(alike, settings.neighbours)
    seeds = range(settings.seed, settings.seed + settings.runs)
    runs = [nx.community.louvain_communities(graph, resolution=settings.resolution, seed=seed) for seed in seeds]
    best = max(runs, key=lambda found: nx.community.modularity(graph, found, resolution=settings.resolution))
    return _settled(alike, _numbered(best, len(alike), settings.least), settings.least)


def _nearest(alike: np.ndarray, neighbours: int) -> nx.Graph:
    """Each row joined to those most like it."""
    others = alike.copy()
    np.fill_diagonal(others, -np.inf)
    nearest = np.argsort(-others, axis=1, kind="stable")[:, :neighbours]
    graph = nx.Graph()
    graph.add_nodes_from(range(len(alike)))
    rows, places = np.nonzero(np.take_along_axis(others, nearest, axis=1) > 0)
    graph.add_edges_from(zip(rows.tolist(), nearest[rows, places].tolist(), strict=True))
    return graph


def _numbered(groups: list[set[int]], count: int, least: int) -> np.ndarray:
    numbers = np.full(count, -1)
    kept = [group for group in groups if len(group) >= least]
    for number, group in enumerate(sorted(kept, key=lambda group: (-len(group), min(group)))):
        numbers[list(group)] = number
    return numbers


def _settled(alike: np.ndarray, numbers: np.ndarray, least: int) -> np.ndarray:
    """The clusters after each row has gone to the one that it is nearest to."""
    held = np.flatnonzero(numbers >= 0)
    for _ in range(ROUNDS if len(held) else 0):
        moved = numbers.copy()
        _, moved[held] = np.unique(cosines(alike, numbers)[held].argmax(axis=1), return_inverse=True)
        if np.array_equal(moved, numbers):
            break
        numbers = moved
    groups = [set(np.flatnonzero(numbers == number).tolist()) for number in range(int(numbers.max()) + 1)]
    return _numbered(groups, len(numbers), least)
