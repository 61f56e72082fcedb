"""A flat proposal in, one with levels out: labels that are alike stand under a node whose name the model writes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from tagger.engines.base import Engine
from tagger.schema import PATH_SEPARATOR
from tagger.taxonomy.names import above, folded
from tagger.taxonomy.proposal import Proposal
from tagger.taxonomy.settings import Settings


def branched(proposal: Proposal, alike: np.ndarray, engine: Engine, settings: Settings) -> Proposal:
    """The proposal in two levels, where it has enough labels and these fall into groups; else as it is.

    `alike` is the likeness of its rows. Labels are put together by average linkage of the cosines of their means; one
    that is like no other stays on top.
    """
    if len(proposal.labels) < settings.branches_from:
        return proposal
    groups = _groups(proposal, alike, settings)
    if any(len(group) == len(proposal.labels) for group in groups):
        return proposal  # a node above everything says nothing
    names = above([[proposal.labels[i].name for i in group] for group in groups], engine)
    top: dict[str, str] = {}
    for group, name in zip(groups, names, strict=True):
        top |= {proposal.labels[i].name: name for i in group if name}
    inner = {folded(name): name for name in top.values()}
    final = {}
    for label in proposal.labels:  # a label may not be called as a node above others: it goes below that one
        node = top.get(label.name) or inner.get(folded(label.name))
        final[label.name] = f"{inner[folded(node)]}{PATH_SEPARATOR}{label.name}" if node else label.name
    final[""] = ""
    labels = [
        replace(
            label, name=final[label.name], nearest=final[label.nearest],
            excludes=", ".join(dict.fromkeys(label.excludes.split(", "))),
        )
        for label in proposal.labels
    ]  # fmt: skip
    rows = [replace(row, label=final[row.label], other=final[row.other]) for row in proposal.rows]
    return Proposal(labels, rows, proposal.facts)


def _groups(proposal: Proposal, alike: np.ndarray, settings: Settings) -> list[list[int]]:
    """Labels, by number, that belong together, in groups of two or more."""
    number = {label.name: i for i, label in enumerate(proposal.labels)}
    of_row = np.array([number.get(row.label, -1) for row in proposal.rows])
    member = (of_row[:, None] == np.arange(len(number))).astype(alike.dtype)
    inner = member.T @ alike @ member
    length = np.sqrt(np.maximum(np.diag(inner), 1e-12))
    distance = np.clip(1 - inner / length[:, None] / length[None, :], 0, None)
    np.fill_diagonal(distance, 0)
    tree = AgglomerativeClustering(
        n_clusters=None, distance_threshold=settings.branch_distance, metric="precomputed", linkage="average"
    )
    groups: dict[int, list[int]] = defaultdict(list)
    for label, group in enumerate(tree.fit_predict(distance)):
        groups[int(group)].append(label)
    return [group for group in groups.values() if len(group) > 1]
