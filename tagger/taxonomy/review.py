"""A proposal in, what a person should look at first out: the labels most likely wrong, with the rows that show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tagger.taxonomy.measures import is_close
from tagger.taxonomy.proposal import Label, Proposal, Row

SMALL, LEAST = 0.005, 3
"""Of a label's rows: the share of all, and the number, below which it is small."""
INCOHERENT = 0.6
"""Of the median cohesion of all labels, below which a label's rows have little in common."""
OVERLAPPING = 0.25
"""Share of a label's rows that stand between it and another, from which they overlap."""
SHOWN = 3
"""Rows that are shown for each reason; of those that fit none, ten times as many."""
TITLE = 100
"""Characters of a row that are shown."""


@dataclass(frozen=True, slots=True)
class Concern:
    """A reason to look at a label, or at the rows without one (`label` is "" then)."""

    label: str
    kind: str
    told: str
    rows: tuple[Row, ...]
    weight: int
    """How many rows may stand wrongly for it."""


def concerns(proposal: Proposal) -> list[Concern]:
    """What to look at first, in order: what the most rows hang on stands on top."""
    held: dict[str, list[Row]] = defaultdict(list)
    for row in proposal.rows:
        held[row.label].append(row)
    usual = median([label.cohesion for label in proposal.labels if label.rows] or [0.0])
    found = [one for label in proposal.labels for one in _of_label(label, held[label.name], len(proposal.rows), usual)]
    if none := held[""]:
        told = f"{len(none)} of {len(proposal.rows)} rows fit no label"
        shown = sorted(none, key=lambda row: -row.fit)[: 10 * SHOWN]
        found.append(Concern("", "none", told, tuple(shown), len(none)))
    return sorted(found, key=lambda one: -one.weight)


def _of_label(label: Label, rows: Sequence[Row], total: int, usual: float) -> list[Concern]:
    if not rows:
        return []
    found = []
    if len(rows) < max(LEAST, SMALL * total):
        told = f"only {len(rows)} of {total} rows: a label of its own?"
        found.append(Concern(label.name, "small", told, tuple(rows[:SHOWN]), len(rows)))
    if label.cohesion < INCOHERENT * usual:
        far = sorted(rows, key=lambda row: row.fit)[:SHOWN]
        told = f"its rows have little in common (cohesion {label.cohesion:.2f}, usual {usual:.2f}): one kind?"
        found.append(Concern(label.name, "incoherent", told, tuple(far), len(rows) // 2))
    close = sorted((row for row in rows if is_close(row)), key=lambda row: row.margin)
    if label.ambiguity >= OVERLAPPING and label.nearest:
        told = (
            f"{len(close)} of its {len(rows)} rows stand about as near to another, most to {label.nearest!r}: the same?"
        )
        found.append(Concern(label.name, "overlapping", told, tuple(close[:SHOWN]), len(close)))
    return found


def as_markdown(proposal: Proposal) -> str:
    """The figures of a proposal, its labels, and what to look at first, for people."""
    found, labels = concerns(proposal), proposal.labels
    lines = ["# What to look at first", ""]
    if proposal.rows:
        close = sum(is_close(row) for row in proposal.rows)
        held = sum(label.rows for label in labels) or 1
        cohesion = sum(label.cohesion * label.rows for label in labels) / held
        lines += [
            f"{len(labels)} labels from {len(proposal.rows)} rows; {proposal.coverage:.1%} of the rows have one "
            f"(coverage), {close / len(proposal.rows):.1%} stand between two (ambiguity); cohesion {cohesion:.2f}.", "",
        ]  # fmt: skip
    for one in found:
        lines.append(f"- **{one.label or 'rows without a label'}** ({one.kind}): {one.told}")
        lines += [f"  - {row.id}: {_title(row)}" for row in one.rows]
    lines += [] if found else ["Nothing stands out."]
    lines += ["", "# All labels", "", "| label | rows | cohesion | ambiguity | what is in it |", "| --- " * 5 + "|"]
    for label in labels:
        cells = [label.name, str(label.rows), f"{label.cohesion:.2f}", f"{label.ambiguity:.2f}", label.about]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", *_HOW]
    return "\n".join(lines) + "\n"


def _title(row: Row) -> str:
    text = " ".join(row.text.split())
    return text if len(text) <= TITLE else text[:TITLE] + "..."


_HOW = [
    "# How to decide",
    "",
    "In `labels.csv` write into `do`: rename, move, merge or drop, and into `to` the new name, the node above, or the",
    "label that takes it in. In `rows.csv` give a row another `label`, or empty the cell. Then",
    "`tagger taxonomy review FOLDER --out NEW` writes the tree as decided.",
]
