"""Rows with where they stand in, the figures of each label out: rows, cohesion, ambiguity, the label next to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tagger.taxonomy.proposal import Label, Row

CLOSE = 0.05
"""Of cosine: a row that is nearer to its own label by no more than this stands between two."""
EXAMPLES = 5
"""Typical rows that are shown of a label."""


def measured(labels: Iterable[Label], rows: Iterable[Row]) -> list[Label]:
    """The labels with the figures and examples that their rows give them; as they are where they have no rows."""
    held: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        held[row.label].append(row)
    return [_measured(label, held[label.name]) if held[label.name] else replace(label, rows=0) for label in labels]


def _measured(label: Label, rows: Sequence[Row]) -> Label:
    others = Counter(row.other for row in rows if is_close(row))
    typical = sorted(rows, key=lambda row: -row.fit)
    return replace(
        label,
        rows=len(rows),
        cohesion=sum(row.fit for row in rows) / len(rows),
        ambiguity=others.total() / len(rows),
        nearest=others.most_common(1)[0][0] if others else "",
        examples=tuple(dict.fromkeys(" ".join(row.text.split()) for row in typical))[:EXAMPLES],
    )


def is_close(row: Row) -> bool:
    """Whether a row stands about as near to another label as to its own."""
    return bool(row.other) and row.other != row.label and row.margin <= CLOSE
