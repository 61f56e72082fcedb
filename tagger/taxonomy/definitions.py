"""Labels and their rows in, what each includes and excludes out: the kinds that its rows have and others have not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from tagger.taxonomy.measures import is_close
from tagger.taxonomy.names import folded
from tagger.taxonomy.proposal import Label, Row

INCLUDED, EXCLUDED = 6, 2
"""Kinds that are named of a label, and labels that it is told apart from."""
TWICE = 2
"""A kind that the model wrote for fewer rows of a label says nothing about it."""


def defined(labels: Sequence[Label], rows: Sequence[Row], kinds: Sequence[str]) -> list[Label]:
    """The labels with `includes` (kinds of their rows, the most telling first) and `excludes` (labels near by).

    `kinds` has the kind of each row. A kind is told of the label where most of its rows are.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    near: dict[str, Counter[str]] = defaultdict(Counter)
    spelled: dict[str, str] = {}
    for row, kind in zip(rows, kinds, strict=True):
        if kind and row.label:
            counts[folded(kind)][row.label] += 1
            spelled.setdefault(folded(kind), kind)
        if is_close(row):
            near[row.label][row.other] += 1
    told: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for kind, places in counts.items():
        label, count = places.most_common(1)[0]
        if count >= TWICE and 2 * count > places.total() and kind != folded(label):
            told[label].append((count, spelled[kind]))
    return [
        replace(
            label,
            includes=", ".join(kind for _, kind in sorted(told[label.name], key=lambda item: -item[0])[:INCLUDED]),
            excludes=", ".join(other for other, _ in near[label.name].most_common(EXCLUDED)),
        )
        for label in labels
    ]
