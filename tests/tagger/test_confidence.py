"""A label's probability sums over the token paths that spell it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from tagger.confidence import path_masses
from tagger.engines.base import Step
from tagger.engines.search import Node, search

VOCABULARY = [b"", b"S", b"Sh", b"irts", b"orts", b"hirts", b"Tea", b"h", b"Shirts", b"s"]


def logs(**chances: float) -> dict[bytes, float]:
    return {token.encode(): math.log(p) for token, p in chances.items()}


def test_all_spellings_of_a_label_count() -> None:
    steps = [
        Step(b"", logs(Sh=0.4, S=0.1, Tea=0.3, Shirts=0.2)),
        Step(b"Sh", logs(irts=0.75, orts=0.25)),
        Step(b"S", logs(hirts=0.5, horts=0.5)),
    ]

    masses = path_masses(steps, ["Shirts", "Shorts", "Tea"])

    assert masses == pytest.approx({"Shirts": 0.2 + 0.3 + 0.05, "Shorts": 0.1 + 0.05, "Tea": 0.3})


def test_a_label_that_starts_another_needs_its_end() -> None:
    steps = [Step(b"", logs(Tea=1.0)), Step(b"Tea", {b"": math.log(0.25), b"s": math.log(0.75)})]

    assert path_masses(steps, ["Tea", "Teas"]) == pytest.approx({"Tea": 0.25, "Teas": 0.75})


def test_a_value_inside_json_is_read_from_its_own_place() -> None:
    steps = [
        Step(b'{"k": "', logs(tea=0.5, coffee=0.5)),
        Step(b'{"k": ', {b'"t': math.log(0.9), b'"c': math.log(0.1)}),
    ]

    masses = path_masses(steps, ['"tea"', '"coffee"'], b'{"k": ')

    assert masses == pytest.approx({'"tea"': 0.9, '"coffee"': 0.1})


def scripted_look(tree: Mapping[bytes, Mapping[int, float]], seen: list[bytes]):  # type: ignore[no-untyped-def]
    def look(nodes: Sequence[Node]) -> list[dict[int, float]]:
        seen.extend(node.prefix for node in nodes)
        return [{token: math.log(p) for token, p in tree[node.prefix].items()} for node in nodes]

    return look


def test_the_search_finds_the_best_label_where_greedy_decoding_would_not() -> None:
    tree = {b"": {2: 0.4, 6: 0.35, 8: 0.25}, b"Sh": {3: 0.5, 4: 0.5}}
    seen: list[bytes] = []

    (found,) = search([[b"Shirts", b"Shorts", b"Tea"]], scripted_look(tree, seen), VOCABULARY.__getitem__)

    assert found.best() == b"Shirts"
    assert found.masses == pytest.approx({b"Shirts": 0.45, b"Shorts": 0.2, b"Tea": 0.35})
    assert seen == [b"", b"Sh"]


def test_all_that_may_matter_is_looked_into_in_one_round() -> None:
    tree = {b"": {2: 0.5, 1: 0.4, 6: 0.1}, b"Sh": {3: 0.9, 4: 0.1}, b"S": {7: 1.0}}
    rounds: list[list[bytes]] = []

    def look(nodes: Sequence[Node]) -> list[dict[int, float]]:
        rounds.append([node.prefix for node in nodes])
        return scripted_look(tree, [])(nodes)

    search([[b"Shirts", b"Shorts", b"Tea"]], look, VOCABULARY.__getitem__)

    assert rounds[:2] == [[b""], [b"Sh", b"S"]]


def test_the_search_does_not_look_where_nothing_can_change() -> None:
    tree = {b"": {6: 0.985, 2: 0.015}}
    seen: list[bytes] = []

    (found,) = search([[b"Shirts", b"Shorts", b"Tea"]], scripted_look(tree, seen), VOCABULARY.__getitem__)

    assert found.best() == b"Tea"
    assert seen == [b""]


def test_what_cannot_be_looked_into_is_shared_out() -> None:
    (found,) = search(
        [[b"Shirts", b"Shorts"]],
        lambda nodes: [{2: 0.0} if not n.prefix else {} for n in nodes],
        VOCABULARY.__getitem__,
    )

    assert found.masses == pytest.approx({b"Shirts": 0.5, b"Shorts": 0.5})


def test_two_paths_to_the_same_bytes_keep_their_own_continuations() -> None:
    tree = {(): {2: 0.6, 1: 0.4}, (2,): {3: 0.9, 4: 0.1}, (1,): {7: 1.0}, (1, 7): {3: 0.1, 4: 0.9}}

    def look(nodes: Sequence[Node]) -> list[dict[int, float]]:
        return [{t: math.log(p) for t, p in tree[n.tokens].items()} for n in nodes]

    (found,) = search([[b"Shirts", b"Shorts"]], look, VOCABULARY.__getitem__)

    assert found.masses == pytest.approx({b"Shirts": 0.54 + 0.04, b"Shorts": 0.06 + 0.36})
