"""Verdicts on a run and its labelled rows in, out: which slices of the rows it serves worse or better than the rest.

Three measures of a slice are held against those of all other rows: how often what is said is wrong, how often something
is said, and how far probabilities are from the share right. A gap counts once chance would not bring it, with regard to
the number of gaps that were looked at; else it is said how many rows would tell. All hold records, not values, for
independent. Slices follow from rows and labels alone (slices.py), never from what was answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal, get_args

import numpy as np
from scipy.stats import false_discovery_control, norm

from eval.compare import LEVEL, POWER
from eval.figures import RESAMPLES, Figure, gap, share
from eval.score import Verdict, one_value
from eval.slices import NO_MORE, More, sliced
from tagger.errors import SourceError
from tagger.example import Example
from tagger.task import Task

Measure = Literal["error", "coverage", "overconfidence"]
"""error: share of the values said that is wrong or invented; coverage: share of the values asked for that is said,
those that are rightly none aside; overconfidence: mean probability of the values said less the share of them that is
right."""
MEASURES: tuple[Measure, ...] = get_args(Measure)
LEAST_ROWS = 10
"""Records of a slice, and of the rest, from which on a gap is tested."""
DRAWS = 4999
"""Permutations of a test: the least p-value is one in 5,000."""
AT_ONCE = 250
FAR = 1000
"""Times the rows at hand: what would take more is out of reach."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A measure of a slice of `rows` records, and of all others. `difference` has its interval at 95 %, not corrected;
    `p` is the chance of such a gap by chance alone, `adjusted` the same with regard to the number of gaps (Benjamini
    and Hochberg 1995). Both are None where there are too few rows to test."""

    slice: str
    measure: Measure
    rows: int
    there: Figure
    rest: Figure
    difference: Figure
    p: float | None = None
    adjusted: float | None = None
    more_rows: int | None = None
    """Rows to add to the slice, and to the others in proportion, until the gap that was seen would likely be told from
    chance; None where it is told, or out of reach."""

    @property
    def told(self) -> bool:
        """Whether chance would not bring such a gap."""
        return self.adjusted is not None and self.adjusted < LEVEL

    @property
    def sentence(self) -> str:
        """What the gap means, as a person would say it."""
        return f"{self.slice}: {_measured(self)}. {self._meaning()}"

    def _meaning(self) -> str:
        if self.told:
            return _MEANS[self.measure][self.difference.value > 0]
        if self.p is None:
            return f"Too few rows to test: {LEAST_ROWS} are needed on either side."
        if self.more_rows is None:
            return "Chance may have brought this, and a gap so small is out of reach of any number of rows."
        two_digits = float(f"{self.more_rows:.2g}")  # more would claim more than is known
        return (f"Chance may have brought this: about {two_digits:,.0f} more labelled rows of this slice, and of the "
                "others in proportion, would tell.")  # fmt: skip


_MEANS: Mapping[Measure, tuple[str, str]] = {
    "error": ("It errs less here than elsewhere.", "It errs more here than elsewhere."),
    "coverage": ("It is silent more often here.", "It is silent less often here."),
    "overconfidence": (
        "Its probabilities are lower here, against what is right, than elsewhere.",
        "Its probabilities promise more here than they keep elsewhere: trust them less.",
    ),
}
"""What a gap means, below zero and above."""


def gaps(found: Sequence[Verdict], examples: Sequence[Example], task: Task, more: More = NO_MORE) -> list[Gap]:
    """Every measure of every slice by language, category, length and columns (`more`) against the other rows.

    A slice of all rows has no others, and one without anything said has no error. Tests are of permutations of the
    records, two-sided. Raises SourceError for no verdicts.
    """
    if not found:
        raise SourceError("no values to compare slices of")
    records = {name: place for place, name in enumerate(dict.fromkeys(verdict.id for verdict in found))}
    table = _table(found, records)
    parts = {
        name: np.isin(np.arange(len(records)), [records[v.id] for v in part])
        for name, part in sliced(found, examples, task, (), more).items()
    }
    seen = [
        one
        for name, inside in parts.items()
        if not inside.all()
        for place, measure in enumerate(MEASURES)
        if (one := _gap(name, measure, table[:, place], inside, single=one_value(task)))
    ]
    sizes = {one.slice: one.rows for one in seen if min(one.rows, len(records) - one.rows) >= LEAST_ROWS}
    chances = _chances(table, {name: parts[name] for name in sizes})
    return _corrected([replace(one, p=chances.get((one.slice, one.measure))) for one in seen])


def _table(found: Sequence[Verdict], records: Mapping[str, int]) -> np.ndarray:
    """Records x MEASURES x (numerator, denominator): a measure is the ratio of their sums."""
    table = np.zeros((len(records), len(MEASURES), 2))
    for verdict in found:
        wrong, right = verdict.kind in ("wrong", "invented"), verdict.kind == "right"
        nothing = verdict.kind == "absent" or (verdict.kind == "abstained" and verdict.gold is None)
        table[records[verdict.id]] += [
            (wrong, verdict.said),
            (verdict.said, not nothing),
            (verdict.said and verdict.p - right, verdict.said),
        ]
    return table


def _gap(name: str, measure: Measure, table: np.ndarray, inside: np.ndarray, *, single: bool) -> Gap | None:
    """A gap that is not tested yet; None where the slice, or the rest, has nothing to measure."""
    sides = [table[inside], table[~inside]]
    if any(side[:, 1].sum() == 0 for side in sides):
        return None
    there, rest = (_figure(side, measure, single=single) for side in sides)
    return Gap(name, measure, int(inside.sum()), there, rest, gap(there, rest))


def _figure(table: np.ndarray, measure: Measure, *, single: bool) -> Figure:
    """A ratio: of one value a record with Wilson's interval where it is a share, else with draws of records.

    Where all values are of one kind draws know no other, and the records with a value take their place.
    """
    hits, total = table.sum(axis=0).tolist()
    some = int((table[:, 1] > 0).sum())
    if measure != "overconfidence" and (single or hits in (0, total)):
        found = share(round(some * hits / total), some)
        return Figure(hits / total, found.low, found.high, some)
    draws = np.random.default_rng(0).integers(len(table), size=(RESAMPLES, len(table)))
    sums = np.array([table[draw].sum(axis=0) for draw in draws])
    low, high = np.percentile(_ratio(sums), [2.5, 97.5])
    return Figure(hits / total, float(low), float(high), some)


def _chances(table: np.ndarray, parts: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """The p-value of each measure of each slice: how often as many records, drawn at random, differ as much from the
    rest. One set of draws serves all slices."""
    whole, rng = table.sum(axis=0), np.random.default_rng(0)
    sizes = {name: int(inside.sum()) for name, inside in parts.items()}
    seen = {name: _difference(table[inside].sum(axis=0), whole) for name, inside in parts.items()}
    as_far = {name: np.zeros(len(MEASURES)) for name in parts}
    for start in range(0, DRAWS, AT_ONCE):
        order = rng.permuted(np.tile(np.arange(len(table)), (min(AT_ONCE, DRAWS - start), 1)), axis=1)
        sums = np.cumsum(table[order], axis=1)
        for name, size in sizes.items():
            drawn = _difference(sums[:, size - 1], whole)
            as_far[name] += (np.abs(drawn) >= np.abs(seen[name]) - 1e-12).sum(axis=0)
    return {
        (name, measure): float((1 + as_far[name][place]) / (1 + DRAWS))
        for name in parts
        for place, measure in enumerate(MEASURES)
    }


def _difference(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The measures of a part less those of the rest."""
    return np.asarray(_ratio(part) - _ratio(whole - part))


def _ratio(sums: np.ndarray) -> np.ndarray:
    """Numerator by denominator, the last axis; 0 where there is nothing to measure."""
    total = sums[..., 1]
    return np.asarray(np.divide(sums[..., 0], total, out=np.zeros(total.shape), where=total > 0))


def _corrected(seen: Sequence[Gap]) -> list[Gap]:
    """Gaps with p-values adjusted for their number, and how many rows would tell those that are not told."""
    tested = [one.p for one in seen if one.p is not None]
    adjusted = iter(false_discovery_control(tested).tolist() if tested else [])
    found = [replace(one, adjusted=next(adjusted)) if one.p is not None else one for one in seen]
    return [one if one.p is None or one.told else replace(one, more_rows=_more(one, len(tested))) for one in found]


def _more(one: Gap, tests: int) -> int | None:
    """Rows until a gap as large is found with a chance of POWER, at the level that the first of `tests` has to reach.

    The error of a gap shrinks with the root of the rows.
    """
    error = (one.difference.high - one.difference.low) / (2 * float(norm.isf(LEVEL / 2)))
    spreads = float(norm.isf(LEVEL / tests / 2) + norm.isf(1 - POWER))
    if abs(one.difference.value) * FAR**0.5 <= spreads * error:
        return None
    return max(1, ceil(one.rows * (spreads * error / one.difference.value) ** 2) - one.rows)


def _measured(one: Gap) -> str:
    """Both sides of a gap and the difference in words."""
    change = (
        f"{100 * one.difference.value:+.1f} points [{100 * one.difference.low:+.1f}, {100 * one.difference.high:+.1f}]"
    )
    if one.measure == "error":
        return f"{one.there.value:.1%} of what is said is wrong, elsewhere {one.rest.value:.1%} ({change})"
    if one.measure == "coverage":
        return f"{one.there.value:.1%} of the values get an answer, elsewhere {one.rest.value:.1%} ({change})"
    there, rest = (_too_high(figure.value) for figure in (one.there, one.rest))
    return f"probabilities are {there}, elsewhere {rest} ({change})"


def _too_high(value: float) -> str:
    return f"{100 * abs(value):.1f} points too {'high' if value > 0 else 'low'}"
