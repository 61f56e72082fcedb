"""Verdicts in, figures with their intervals out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, rankdata
from sklearn.metrics import brier_score_loss

from eval.score import Counts, Verdict, counts
from tagger.errors import SourceError

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, most often between 0 and 1, with its interval at 95 %, from `n` rows."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure under its name; `share` says that it is between 0 and 1 and read in per cent."""

    name: str
    figure: Figure
    share: bool = True

    def __str__(self) -> str:
        f = self.figure
        return f"{f} %" if self.share else f"{f.value:.3f} [{f.low:.3f}, {f.high:.3f}]"


def share(hits: int, total: int) -> Figure:
    """`hits` of `total` with Wilson's interval (Wilson 1927). Raises SourceError for a total of 0."""
    if not total:
        raise SourceError("a share of nothing: there are no rows")
    low, high = binomtest(hits, total).proportion_ci(method="wilson")
    return Figure(hits / total, float(low), float(high), total)


def gap(a: Figure, b: Figure) -> Figure:
    """`a - b` of figures over different rows, `n` those of `a`; the interval is made of both of theirs (MOVER: Newcombe
    1998 for shares, Zou and Donner 2008 for others)."""
    value = a.value - b.value
    low = value - float(np.hypot(a.value - a.low, b.high - b.value))
    high = value + float(np.hypot(a.high - a.value, b.value - b.low))
    return Figure(value, low, high, a.n)


def bootstrap(
    found: Sequence[Verdict], figure: Callable[[Counts], float], *, seed: int = 0, published: bool = False
) -> Figure:
    """A figure of the counts with the percentile interval of RESAMPLES draws of records (Efron 1979).

    Records, not values, are drawn: values of one record are not independent.
    """
    return bootstrap_counts([counts(group, published=published) for group in _by_record(found)], figure, seed)


def bootstrap_counts(each: Sequence[Counts], figure: Callable[[Counts], float], seed: int = 0) -> Figure:
    """The same from the counts of each record."""
    table = np.array([(c.right, c.answered, c.labelled) for c in each])
    draws = np.random.default_rng(seed).integers(len(table), size=(RESAMPLES, len(table)))
    values = [figure(Counts(*map(int, table[draw].sum(axis=0)))) for draw in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    return Figure(figure(Counts(*map(int, table.sum(axis=0)))), float(low), float(high), len(table))


def resampled(found: Sequence[Verdict], figure: Callable[[Sequence[Verdict]], float]) -> Figure:
    """Any figure of verdicts with the percentile interval of draws of records (Efron 1979).

    Fewer draws than for counts, since each is scored anew.
    """
    groups, rng = _by_record(found), np.random.default_rng(0)
    values = []
    for _ in range(RESAMPLES // 4):
        picked = rng.integers(len(groups), size=len(groups))
        values.append(figure([verdict for i in picked for verdict in groups[i]]))
    known = [value for value in values if not np.isnan(value)]
    low, high = np.percentile(known, [2.5, 97.5]) if known else (float("nan"),) * 2
    return Figure(figure(found), float(low), float(high), len(groups))


def expected_calibration_error(p: Sequence[float], correct: Sequence[bool], bins: int = 10) -> float:
    """Mean gap between probability and share of right answers over `bins` bins of equal numbers of answers,
    weighted by their size (ECE with adaptive bins; Nixon et al. 2019); nan without answers."""
    if not p:
        return float("nan")
    order = np.argsort(p, kind="stable")
    chances, hits = np.asarray(p, float)[order], np.asarray(correct, float)[order]
    parts = [part for part in np.array_split(np.arange(len(order)), bins) if len(part)]
    return float(sum(len(part) * abs(chances[part].mean() - hits[part].mean()) for part in parts) / len(order))


def brier(p: Sequence[float], correct: Sequence[bool]) -> float:
    """Mean squared difference of probability and outcome (Brier 1950)."""
    return float(brier_score_loss(list(correct), list(p)))


def auroc(p: Sequence[float], correct: Sequence[bool]) -> float:
    """Chance that a right answer has the higher probability than a wrong one, by ranks (Mann and Whitney 1947); nan
    where all are of one kind. (The same as scikit-learn's, whose checks take longer than the counting: an interval asks
    for it hundreds of times.)"""
    hits = np.asarray(correct, bool)
    right, wrong = int(hits.sum()), int((~hits).sum())
    if not right or not wrong:
        return float("nan")
    return float((rankdata(p)[hits].sum() - right * (right + 1) / 2) / (right * wrong))


def coverage_curve(p: Sequence[float], correct: Sequence[bool], total: int) -> list[tuple[float, float, float]]:
    """(threshold, coverage of `total`, precision) at every threshold, from the surest answer on."""
    order = np.argsort(-np.asarray(p), kind="stable")
    hits = np.cumsum(np.asarray(correct, float)[order])
    curve = []
    for i, at in enumerate(order):
        if i + 1 == len(order) or p[order[i + 1]] < p[at]:
            curve.append((float(p[at]), (i + 1) / total, float(hits[i]) / (i + 1)))
    return curve


def _by_record(found: Sequence[Verdict]) -> list[list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in found:
        groups.setdefault(verdict.id, []).append(verdict)
    return list(groups.values())
