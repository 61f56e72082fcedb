"""A finished folder of tags and the group of each row in, out: the share of every value in each group, and which moved.

Groups are periods, in order, or the values of a column (groups.py). A share is of the rows of its group that were
answered: tagged or abstained. A value moved in a period when its share there is not that of all earlier periods, and in
a group without order when it is not that of all other groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, get_args

from scipy.stats import fisher_exact

from eval.figures import Figure, gap, share
from eval.groups import in_order
from eval.slices import shown
from tagger.drift import ABSENT, RARE, WITHHELD, holm
from tagger.result import Outcome

LEVEL = 0.05
"""Chance that a report names any value that has not moved."""
LEAST_ROWS = 20
"""Rows of a group, and of what it is held against, from which on it is tested."""
LEAST_VALUES = 5
"""Rows with a value from which on it is tested."""
MOST_VALUES = 30
"""Values of a field that are told apart, the most frequent; of a field with one value a row the rest are RARE."""
NOTHING = "(none of the labels)"
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
OUTCOME = "outcome"
"""What is called a field beside those of the task: no field may have this name (task.py)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How many of the `rows` of a group have a value."""

    count: int
    rows: int

    @property
    def figure(self) -> Figure | None:
        """The share with Wilson's interval; None of nothing."""
        return share(self.count, self.rows) if self.rows else None


@dataclass(frozen=True, slots=True)
class Mover:
    """A value in the group where it moved most clearly. `p` is the chance of such a difference by chance alone,
    `adjusted` the same with regard to the number of comparisons in the whole report (Holm 1979)."""

    field: str
    value: str
    group: str
    there: Figure
    rest: Figure
    """In all earlier periods, or all other groups."""
    change: Figure
    """`there` less `rest`, with its interval at 95 %, which is not corrected."""
    p: float
    adjusted: float


@dataclass
class Counted:
    """Rows by group."""

    rows: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By group and outcome."""
    values: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    """By field: by group and value."""
    several: set[str] = field(default_factory=set)
    """Fields of which a row had several values: their shares add up to more than 1."""
    unknown: list[str] = field(default_factory=list)
    """Ids of tags that are in no group and have no row."""

    @property
    def groups(self) -> list[str]:
        """In the order in which they are shown."""
        return list(in_order(self.rows))

    def answered(self, group: str) -> int:
        """Rows of a group that are tagged or abstained."""
        return self.outcomes[group, "tagged"] + self.outcomes[group, "abstained"]


@dataclass(frozen=True)
class Trends:
    """Shares by field, value and group (in the order of `groups`), and the movers, the largest change first."""

    groups: Sequence[str]
    shares: Mapping[str, Mapping[str, Sequence[Cell]]]
    movers: Sequence[Mover]
    tests: int


def counted(lines: Iterable[Mapping[str, Any]], of: Mapping[str, str], known: Iterable[str]) -> Counted:
    """Lines of tags (sinks.py: tag_lines) counted in the groups of their ids; `known` are the ids of all rows, in a
    group or not."""
    found, there = Counted(), set(known)
    for line in lines:
        group = of.get(line["id"])
        if group is None:
            if line["id"] not in there:
                found.unknown.append(line["id"])
            continue
        found.rows[group] += 1
        found.outcomes[group, line["outcome"]] += 1
        for name, tag in line["tags"].items():
            said = list(_said(tag["value"]))
            found.values.setdefault(name, Counter()).update((group, text) for text in said)
            if isinstance(tag["value"], list):
                found.several.add(name)
            found.values[name][group, ""] += 1  # asked and answered in some way
    return found


def trends(found: Counted, *, ordered: bool) -> Trends:
    """The shares of what was counted, and what moved; `ordered` groups are periods."""
    shares: dict[str, dict[str, list[Cell]]] = {}
    there = [name for name in OUTCOMES if any(outcome == name for _, outcome in found.outcomes)]
    shares[OUTCOME] = {name: _outcome(found, name) for name in there}
    for name, values in found.values.items():
        shares[name] = dict(_shares(found, name, values))
    movers, tests = _movers(found.groups, shares, ordered=ordered)
    return Trends(found.groups, shares, movers, tests)


def _said(value: Any) -> Iterator[str]:
    """What is counted of a value; a tag without one was withheld."""
    if value is None:
        yield WITHHELD
    elif isinstance(value, list):
        yield from dict.fromkeys(map(shown, value)) or [NOTHING]
    else:
        yield shown(value)


def _outcome(found: Counted, name: str) -> list[Cell]:
    return [Cell(found.outcomes[group, name], found.rows[group]) for group in found.groups]


def _shares(found: Counted, name: str, values: Counter[tuple[str, str]]) -> Iterator[tuple[str, list[Cell]]]:
    """The values of a field, the most frequent first; then what is no value."""
    often: Counter[str] = Counter()
    for (_, text), count in values.items():
        often[text] += count
    asked, silent = often.pop("", 0), often.pop(WITHHELD, 0)
    told, rows = [text for text, _ in often.most_common(MOST_VALUES)], {g: found.answered(g) for g in found.groups}
    for text in (*told, *([WITHHELD] if silent else [])):
        yield text, [Cell(values[group, text], rows[group]) for group in found.groups]
    if len(often) > len(told) and name not in found.several:
        rest = {g: sum(n for (at, text), n in values.items() if at == g and text) for g in found.groups}
        yield (
            RARE,
            [Cell(rest[g] - sum(values[g, t] for t in (*told, WITHHELD)), rows[g]) for g in found.groups],
        )
    if asked < sum(rows.values()):
        yield ABSENT, [Cell(rows[group] - values[group, ""], rows[group]) for group in found.groups]


def _movers(
    groups: Sequence[str], shares: Mapping[str, Mapping[str, Sequence[Cell]]], *, ordered: bool
) -> tuple[list[Mover], int]:
    """Each value once, where it moved most clearly, by Fisher's exact test; and how many tests that took.

    The tests take rows to be independent: a catalogue of near-duplicates has fewer of them than it seems.
    """
    tested = []
    for name, values in shares.items():
        for text, cells in values.items():
            if text != RARE and sum(cell.count for cell in cells) >= LEAST_VALUES:
                for place, (there, rest) in enumerate(_held_against(cells, ordered=ordered)):
                    if min(there.rows, rest.rows) >= LEAST_ROWS:
                        tested.append(_mover(name, text, groups[place], there, rest))
    corrected = holm([one.p for one in tested])
    clearest: dict[tuple[str, str], Mover] = {}
    for one, adjusted in zip(tested, corrected, strict=True):
        found = replace(one, adjusted=adjusted)
        best = clearest.get((one.field, one.value))
        if adjusted < LEVEL and (best is None or _clarity(found) < _clarity(best)):
            clearest[one.field, one.value] = found
    return sorted(clearest.values(), key=lambda one: -abs(one.change.value)), len(tested)


def _clarity(one: Mover) -> tuple[float, float]:
    return one.p, -abs(one.change.value)


def _held_against(cells: Sequence[Cell], *, ordered: bool) -> Iterator[tuple[Cell, Cell]]:
    """Each cell, with all those before it or all others as one."""
    whole, before = (sum(cell.count for cell in cells), sum(cell.rows for cell in cells)), (0, 0)
    for cell in cells:
        yield cell, Cell(*before) if ordered else Cell(whole[0] - cell.count, whole[1] - cell.rows)
        before = before[0] + cell.count, before[1] + cell.rows


def _mover(name: str, text: str, group: str, there: Cell, rest: Cell) -> Mover:
    left, right = share(there.count, there.rows), share(rest.count, rest.rows)
    p = _fisher(there.count, there.rows - there.count, rest.count, rest.rows - rest.count)
    return Mover(name, text, group, left, right, gap(left, right), p, p)


@cache
def _fisher(*counts: int) -> float:
    return float(fisher_exact([counts[:2], counts[2:]]).pvalue)
