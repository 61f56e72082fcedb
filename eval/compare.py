"""Two judged runs over the same rows in, a comparison out: better, worse, or how many more rows would tell.

Everything is paired: the rows are the same, so only those on which the runs differ say anything. The verdict is a
test of the very figure that the task is judged by, and holds to its 5 %.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isclose
from typing import Literal

import numpy as np
from scipy.stats import binom, binomtest, bootstrap, false_discovery_control, norm, permutation_test

from eval.figures import RESAMPLES
from eval.record import Header, Run
from eval.score import Verdict, aligned, one_value
from eval.slices import holds, shown, sliced, terms
from tagger.errors import SourceError
from tagger.example import Example
from tagger.task import Task

LEVEL = 0.05
POWER = 0.8
SPREADS = float(norm.isf(LEVEL / 2) + norm.isf(1 - POWER))
"""Standard errors that a difference must measure for a test at LEVEL to find it with a chance of POWER."""
BATCH = 100
"""Draws worked out at once, to bound memory."""

Pairs = Sequence[tuple[Verdict, Verdict]]


@dataclass(frozen=True, slots=True)
class Judged:
    """A run with its verdicts, those of both sides on the same fields."""

    run: Run
    verdicts: Sequence[Verdict]


@dataclass(frozen=True, slots=True)
class Flip:
    """A value that one run alone has right. Answers are texts, or in brackets why there is none."""

    id: str
    field: str
    gold: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class SliceDelta:
    """A slice's figure in both runs. `p` is the chance of such a difference between equals, `adjusted` the same
    with regard to the number of slices that were looked at."""

    name: str
    rows: int
    a: float
    b: float
    p: float
    adjusted: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two runs over the same `rows`, 0 to 1. `b - a` lies between `low` and `high`, at 95 %; `p` is the
    chance of a difference as large between runs that are equal."""

    rows: int
    a: float
    b: float
    low: float
    high: float
    p: float
    error: float
    """Standard error of `b - a`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What run b changed against run a, in the figure that the task is judged by (`task_figure`), 0 to 1."""

    measure: Literal["right", "micro F1, strict"]
    settings: Mapping[str, tuple[str, str]]
    """What was set differently, with both values."""
    figure: Difference
    whole: tuple[int, int]
    """Records wholly right in a alone, and in b alone."""
    mcnemar: float
    """McNemar's p for `whole`; with one field the same as `p`."""
    lost: tuple[Flip, ...]
    gained: tuple[Flip, ...]
    slices: tuple[SliceDelta, ...]
    more_rows: int | None
    """Labelled rows to add until a verdict is likely; None where it is there, or where no number would bring it."""

    @property
    def verdict(self) -> Literal["better", "worse", "cannot tell yet"]:
        """What b is, held against a."""
        if self.figure.p >= LEVEL:
            return "cannot tell yet"
        return "better" if self.figure.b > self.figure.a else "worse"

    @property
    def sentence(self) -> str:
        """The verdict as a person would say it."""
        if self.verdict != "cannot tell yet":
            return f"b is {self.verdict} than a"
        if self.more_rows is None:
            return "cannot tell: at the observed rates no number of rows would tell them apart"
        two_digits = float(f"{self.more_rows:.2g}")  # more would claim more than is known
        return f"cannot tell yet: about {two_digits:,.0f} more labelled rows"


def compare(a: Judged, b: Judged, examples: Sequence[Example], task: Task, train: Sequence[Example]) -> Comparison:
    """Hold run b against run a over the same labelled rows.

    Slices are those of `sliced` that are not all rows, their p-values adjusted by Benjamini and Hochberg (1995).

    Raises SourceError for runs over different sets, splits or rows, and for fewer than two rows.
    """
    refuse_other_rows(a.run, b.run)
    pairs = aligned(a.verdicts, b.verdicts)
    figure, whole = difference(pairs, task), _whole(pairs)
    return Comparison(
        measure="right" if one_value(task) else "micro F1, strict",
        settings=_settings(a.run.header, b.run.header),
        figure=figure,
        whole=whole,
        mcnemar=mcnemar(*whole),
        lost=_flips((x, y) for x, y in pairs if holds(x) and not holds(y)),
        gained=_flips((x, y) for x, y in pairs if holds(y) and not holds(x)),
        slices=_slice_deltas(pairs, sliced([left for left, _ in pairs], examples, task, train), task),
        more_rows=None if figure.p < LEVEL else _more_rows(whole, _table(pairs, task), figure.error, task),
    )


def difference(pairs: Pairs, task: Task) -> Difference:
    """The task's figure in both runs of `pairs` (eval/score.py: aligned), and how surely it differs.

    The interval is a percentile bootstrap over records (Efron 1979). The test is McNemar's exact one for a task
    with one field (McNemar 1947), and for several a randomization test (Noreen 1989; Yeh 2000, COLING), which
    swaps the runs' answers record by record; with one field both are the same test. Raises SourceError for fewer
    than two rows.
    """
    table = _table(pairs, task)
    if len(table) < 2:
        raise SourceError(f"at least two rows are needed to compare runs, found {len(table)}")
    low, high, error = _interval(table)
    left, right = _ratio(table.sum(axis=0)).tolist()
    return Difference(len(table), left, right, low, high, _p_value(pairs, task), error)


def refuse_other_rows(a: Run, b: Run) -> None:
    """Raise SourceError unless both runs are over the same rows of one set and split, in any order."""
    left, right = (f"{run.header.set} {run.header.split}" for run in (a, b))
    if left != right:
        raise SourceError(f"expected two runs over one set and split, found {left} and {right}")
    ids, others = ({row.id for row in run.rows} for run in (a, b))
    if lone := ids ^ others:
        hint = "finish both runs, with one --sample and --seed"
        raise SourceError(f"expected the same rows in both runs; {len(lone)} differ, one is {min(lone)!r}", hint=hint)
    if a.header.rows_id != b.header.rows_id:
        raise SourceError("the rows of both runs have the same ids, but other texts or another order")


def mcnemar(lost: int, gained: int) -> float:
    """Two-sided exact p of the records that one run alone has right (McNemar 1947); 1 if there are none."""
    return float(binomtest(gained, lost + gained).pvalue) if lost + gained else 1.0


def rows_to_tell(lost: int, gained: int, rows: int) -> int | None:
    """The smallest number of rows with which McNemar's exact test reaches LEVEL with a chance of POWER, if records
    go on to flip at the rates observed in `rows`; None if these are equal.

    The number of flips is binomial, and so is how many of them are gains (exact unconditional power; Duffy 1984).
    """
    flips, more = lost + gained, max(lost, gained)
    if lost == gained:
        return None

    def power(number: int) -> float:
        least, most = (int(n) for n in binom.ppf([1e-9, 1 - 1e-9], number, flips / rows))
        some = np.arange(least, most + 1)
        critical = binom.isf(LEVEL / 2, some, 0.5)
        return float(np.sum(binom.pmf(some, number, flips / rows) * binom.sf(critical, some, more / flips)))

    normal = flips / rows * (SPREADS * rows / (gained - lost)) ** 2
    numbers = range(1, ceil(2 * normal) + 20)  # the exact test needs a little more than the normal approximation
    return numbers[bisect_left(numbers, POWER, key=power)]


def _settings(a: Header, b: Header) -> dict[str, tuple[str, str]]:
    names = [name for name in Header.model_fields if name != "plan_text" and getattr(a, name) != getattr(b, name)]
    return {name: (str(getattr(a, name)), str(getattr(b, name))) for name in names}


def _table(pairs: Pairs, task: Task) -> np.ndarray:
    """Records x (a, b) x (numerator, denominator): the task's figure is the ratio of their sums."""
    records: dict[str, list[tuple[Verdict, Verdict]]] = {}
    for pair in pairs:
        records.setdefault(pair[0].id, []).append(pair)
    return np.array([[terms(side, task) for side in zip(*record, strict=True)] for record in records.values()], float)


def _ratio(sums: np.ndarray) -> np.ndarray:
    """Numerator by denominator, the last axis; 0 where nothing was answered or labelled."""
    total = sums[..., 1]
    return np.asarray(np.divide(sums[..., 0], total, out=np.zeros(total.shape), where=total > 0))


def _interval(table: np.ndarray) -> tuple[float, float, float]:
    """Bounds of the difference at 95 %, and its standard error."""

    def statistic(rows: np.ndarray, axis: int) -> np.ndarray:
        return np.diff(_ratio(table[rows].sum(axis=-3)))[..., 0]

    places = (np.arange(len(table)),)
    found = bootstrap(places, statistic, n_resamples=RESAMPLES, batch=BATCH, method="percentile", rng=0)
    low, high = found.confidence_interval
    return float(low), float(high), float(found.standard_error)


def _p_value(pairs: Pairs, task: Task) -> float:
    if one_value(task):
        return mcnemar(*_whole(pairs))
    table = _table(pairs, task)
    differing = table[(table[:, 0] != table[:, 1]).any(axis=1)]
    if len(differing) < 2:
        return 1.0  # one coin, two-sided
    alike = table.sum(axis=0) - differing.sum(axis=0)
    sides = np.concatenate([differing[:, 0], differing[:, 1]])

    def statistic(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        sums = np.stack([sides[a].sum(axis=-2), sides[b].sum(axis=-2)], axis=-2)
        return np.diff(_ratio(sums + alike))[..., 0]

    places = np.arange(len(sides)).reshape(2, -1)
    # 9,999 draws, or every way to swap the sides if there are fewer.
    return float(permutation_test(tuple(places), statistic, permutation_type="samples", batch=BATCH, rng=0).pvalue)


def _whole(pairs: Pairs) -> tuple[int, int]:
    """Records wholly right in a alone, and in b alone."""
    a, b = ({v.id for v in side} - {v.id for v in side if not holds(v)} for side in zip(*pairs, strict=True))
    return len(a - b), len(b - a)


def _flips(pairs: Iterable[tuple[Verdict, Verdict]]) -> tuple[Flip, ...]:
    # The gold of the one that is right: of several right values, it is the one that was answered.
    return tuple(Flip(a.id, a.field, shown((a if holds(a) else b).gold), _answer(a), _answer(b)) for a, b in pairs)


def _answer(verdict: Verdict) -> str:
    return shown(verdict.value) if verdict.kind in ("right", "wrong", "invented") else f"({verdict.kind})"


def _slice_deltas(pairs: Pairs, parts: Mapping[str, Sequence[Verdict]], task: Task) -> tuple[SliceDelta, ...]:
    of = {(a.id, a.field, a.item): (a, b) for a, b in pairs}
    found = {name: [of[v.id, v.field, v.item] for v in part] for name, part in parts.items() if len(part) < len(pairs)}
    p = [_p_value(part, task) for part in found.values()]
    deltas = []
    for (name, part), one, adjusted in zip(found.items(), p, false_discovery_control(p), strict=True):
        table = _table(part, task)
        left, right = _ratio(table.sum(axis=0)).tolist()
        deltas.append(SliceDelta(name, len(table), left, right, one, float(adjusted)))
    return tuple(deltas)


def _more_rows(whole: tuple[int, int], table: np.ndarray, error: float, task: Task) -> int | None:
    """Rows to add until the test of `_p_value` is likely to tell, as far as the rows at hand foretell it."""
    rows, (left, right) = len(table), _ratio(table.sum(axis=0)).tolist()
    if one_value(task):
        needed = rows_to_tell(*whole, rows)
    elif isclose(left, right, abs_tol=1e-9):
        needed = None
    else:
        # The error of the difference shrinks with the root of the rows. Six coins are the fewest that tell at LEVEL.
        differing = float((table[:, 0] != table[:, 1]).any(axis=1).mean())
        needed = ceil(max(rows * (SPREADS * error / (right - left)) ** 2, 6 / differing))
    return None if needed is None else max(needed - rows, 1)
