"""A taxonomy in, one question a level out: from the top down, each answer narrows the next question to its children.

What is asked about is never more than the children of one node, however many leaves there are. The probability of
a leaf is the product of those on its path; what was not looked into is shared out among the leaves below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tagger.schema import PATH_SEPARATOR

Node = tuple[str, ...]
"""The names on the way from the top to a node; () is the top."""


class Taxonomy:
    """The tree that the leaves of a path field make."""

    def __init__(self, leaves: Iterable[str]) -> None:
        self.children: dict[Node, list[str]] = {}
        self.below: dict[Node, int] = {}
        """How many leaves each node has below it; a leaf is one itself."""
        self.leaves = {tuple(leaf.split(PATH_SEPARATOR)): leaf for leaf in leaves}
        for path in self.leaves:
            for depth in range(len(path) + 1):
                self.below[path[:depth]] = self.below.get(path[:depth], 0) + 1
                names = self.children.setdefault(path[:depth], [])
                if depth < len(path) and path[depth] not in names:
                    names.append(path[depth])


@dataclass(slots=True)
class Descent:
    """One record's way down: `at` is the node that was reached, `chances` those of the nodes that were looked at."""

    taxonomy: Taxonomy
    at: Node = ()
    chances: dict[Node, float] = field(default_factory=lambda: {(): 1.0})

    def options(self) -> list[str]:
        """The children to choose from; none at a leaf. A node's only child is taken without asking."""
        while len(names := self.taxonomy.children[self.at]) == 1:
            self.take({names[0]: 1.0})
        return names

    def take(self, shares: Mapping[str, float]) -> None:
        """Go on to the likeliest child; `shares` has the probability of each."""
        here = self.at
        for name, share in shares.items():
            self.chances[(*here, name)] = self.chances[here] * share
        self.at = (*here, max(shares, key=lambda name: shares[name]))

    def shares(self) -> dict[str, float]:
        """The probability of every leaf by its path; they sum to 1."""
        found = {}
        for node, leaf in self.taxonomy.leaves.items():
            known = next(node[:depth] for depth in range(len(node), -1, -1) if node[:depth] in self.chances)
            found[leaf] = self.chances[known] / self.taxonomy.below[known]
        return found
