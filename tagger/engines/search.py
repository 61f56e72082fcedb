"""A closed set of answers and a way of looking at the model, in; the probabilities of the answers, out.

A label can be spelled by several token paths ("Shirts" as Sh+irts, S+hirts, ...), and its probability is
the sum over all of them. The search walks the tree of paths, and stops when no open node could still change which
answer is best, or holds more than `OPEN_MASS`. All that hold more are looked into together: a round of looks costs an
engine much the same, however many they are. Usually one decides; labels that share their first token take two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

OPEN_MASS = 0.02
"""An open node with less probability than this is not looked into; it cannot tip an answer that leads by more."""


@dataclass(slots=True)
class Node:
    """A point in the answer to request `request`: the token ids and bytes written, and their probability."""

    request: int
    tokens: tuple[int, ...] = ()
    prefix: bytes = b""
    mass: float = 1.0


Look = Callable[[Sequence[Node]], Sequence[Mapping[int, float]]]
"""Log-probabilities of the next tokens at each node, renormalised over those the grammar allows; empty for a
node that an engine cannot look into."""


@dataclass(slots=True)
class Found:
    """The outcome for one request: probability of each answer, and how many points were looked at."""

    masses: dict[bytes, float]
    looks: int = 0

    def best(self) -> bytes:
        """The likeliest answer."""
        return max(self.masses, key=lambda answer: self.masses[answer])

    def shares(self) -> dict[str, float]:
        """Probabilities by answer, summing to 1."""
        total = sum(self.masses.values())
        return {answer.decode(): mass / total for answer, mass in self.masses.items()}

    def share_out(self, node: Node) -> None:
        """Give the mass of a node that is not looked into to all answers it may lead to, in equal parts."""
        ahead = [answer for answer in self.masses if answer.startswith(node.prefix)]
        for answer in ahead:
            self.masses[answer] += node.mass / len(ahead)


def search(choices: Sequence[Sequence[bytes]], look: Look, token_bytes: Callable[[int], bytes]) -> list[Found]:
    """For each request, the probabilities of its choices; what was not looked into is shared out among them.

    `token_bytes` gives the bytes of a token id, empty for the end of the answer.
    """
    found = [Found(dict.fromkeys(answers, 0.0)) for answers in choices]
    open_nodes = [[Node(request)] for request in range(len(choices))]
    while todo := [node for request, nodes in enumerate(open_nodes) for node in _due(nodes, found[request])]:
        for node, logprobs in zip(todo, look(todo), strict=True):
            result = found[node.request]
            result.looks += 1
            open_nodes[node.request].remove(node)
            if logprobs:
                open_nodes[node.request] += _settle(node, logprobs, result.masses, token_bytes)
            else:
                result.share_out(node)
    for result, nodes in zip(found, open_nodes, strict=True):
        for node in nodes:
            result.share_out(node)
    return found


def _due(nodes: list[Node], found: Found) -> list[Node]:
    """The open nodes to look into; none when the answer is settled."""
    if large := [node for node in nodes if node.mass >= OPEN_MASS]:
        return large
    node = max(nodes, key=lambda n: n.mass, default=None)
    first, second = [*sorted(found.masses.values(), reverse=True), 0.0, 0.0][:2]
    return [node] if node and node.mass > 1e-6 and node.mass >= first - second else []


def _settle(
    node: Node, logprobs: Mapping[int, float], masses: dict[bytes, float], token_bytes: Callable[[int], bytes]
) -> list[Node]:
    """Give the mass behind each next token to the one answer it leads to; what leads to several stays open."""
    still_open = []
    for token, logprob in logprobs.items():
        mass, text = node.mass * math.exp(logprob), token_bytes(token)
        prefix = node.prefix + text
        if not text:
            masses[node.prefix] += mass
            continue
        ahead = [answer for answer in masses if answer.startswith(prefix)]
        if len(ahead) == 1:
            masses[ahead[0]] += mass
        elif ahead:
            still_open.append(Node(node.request, (*node.tokens, token), prefix, mass))
    return still_open
