"""Taggings of today and the baseline of what was evaluated in, out: in which fields they no longer look alike.

Windows and baselines (baseline.py) are held against each other field by field in three ways: the values that are said,
how probable answers are, and how often the tagger is silent. No labels are needed, so drift does not say that answers
are wrong: it says that the figures of the evaluation may no longer hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np
from scipy.stats import chi2_contingency, fisher_exact

from tagger.baseline import ANSWERED, EDGES, Baseline, Counts, Window
from tagger.result import Outcome
from tagger.schema import FieldBase, LabelsField

LEAST_ROWS = 200
"""Answered rows of a window from which on it can tell: beside as many a large drift is found three times in four."""
LEVEL = 0.01
"""Chance of a false alarm in a whole comparison."""
MODERATE, LARGE = 0.1, 0.25
"""Population Stability Index from which on a drift is worth telling, and is large: the convention of credit scoring
(Lewis 1994, An Introduction to Credit Scoring; Siddiqi 2006, Credit Risk Scorecards)."""
LEAST_EXPECTED = 5
"""Rows that chance has to bring to a value on either side, or it is pooled with other rare ones (Cochran 1954)."""
TOLD = 5
"""Findings that are named in a sentence."""
WITHHELD, ABSENT, RARE = "(withheld)", "(no answer)", "(rare ones)"

Kind = Literal["mix", "confidence", "abstained"]
"""mix: which values are said, or that none is; confidence: the probabilities of answers, withheld ones too; abstained:
how many of them are withheld."""
Table = Mapping[str, tuple[int, int]]
"""How often something was counted, in the baseline and in the window."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One field in one respect. `p` is the chance of such a difference by chance alone, `adjusted` the same with regard
    to the number of comparisons (Holm 1979); `psi` says how large it is."""

    field: str
    kind: Kind
    statistic: float
    """G of the likelihood-ratio test; of a list, that of its clearest label."""
    p: float
    adjusted: float
    psi: float
    moved: str
    """What has changed most: a value, a range of probabilities."""
    before: float
    """Its share in the baseline, and `now` in the window."""
    now: float

    @property
    def level(self) -> Literal["", "moderate", "large"]:
        """How large a drift this is; "" for none: too small, or chance may have brought it."""
        if self.adjusted >= LEVEL or self.psi < MODERATE:
            return ""
        return "large" if self.psi >= LARGE else "moderate"


@dataclass(frozen=True, slots=True)
class Drift:
    """A window held against a baseline."""

    rows: int
    """Answered ones in the window."""
    more_rows: int
    """Answered rows that it lacks to tell anything; 0: it tells."""
    findings: tuple[Finding, ...] = ()

    @property
    def found(self) -> tuple[Finding, ...]:
        """The findings that are drift, the largest first."""
        return tuple(sorted((one for one in self.findings if one.level), key=lambda one: -one.psi))

    @property
    def sentence(self) -> str:
        """What a person has to know."""
        if self.more_rows:
            return f"too few rows to tell: {self.rows:,} answered ones, {LEAST_ROWS} are needed"
        places = [f"{one.field} ({one.kind}, {one.level})" for one in self.found]
        more = f" and {len(places) - TOLD} more" if len(places) > TOLD else ""
        return f"drift: {', '.join(places[:TOLD])}{more}" if places else f"no drift in {self.rows:,} rows"


def compare(baseline: Baseline, window: Window) -> Drift:
    """Hold a window against the baseline of its task.

    Each field is tested in each respect that has counts to test: by Fisher's exact test where there are two, else by
    the likelihood-ratio test (G), rare values pooled. Of a list, in which labels may come together, each label is
    tested by itself and the clearest one corrected for their number (Bonferroni). The tests take rows to be
    independent: a catalogue of near-duplicates has fewer of them than it seems.
    """
    rows = _answered(baseline.outcomes), _answered(window.outcomes)
    if rows[1] < LEAST_ROWS:
        return Drift(rows[1], LEAST_ROWS - rows[1])
    today, found = window.counts(), []
    for name, asked in window.fields.items():
        for kind, tables in _tables(asked, (baseline.fields[name], today[name]), rows):
            if tests := [tested for table in tables if (tested := _test(name, kind, table))]:
                clearest = min(tests, key=lambda test: (test.p, -test.statistic))
                p, psi = min(1.0, len(tests) * clearest.p), max(0.0, sum(test.psi for test in tests))
                found.append(replace(clearest, p=p, psi=psi))
    corrected = holm([one.p for one in found])
    return Drift(rows[1], 0, tuple(replace(one, adjusted=p) for one, p in zip(found, corrected, strict=True)))


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the order given (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.asarray(p, float)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1)
    return [float(one) for one in corrected]


def _answered(outcomes: Mapping[Outcome, int]) -> int:
    return outcomes.get("tagged", 0) + outcomes.get("abstained", 0)


def _tables(
    asked: FieldBase, sides: tuple[Counts, Counts], rows: tuple[int, int]
) -> Iterator[tuple[Kind, Sequence[Table]]]:
    """What is to be tested of a field, of baseline and window; a field that is not asked of a row is absent there."""
    before, now = sides
    names = dict.fromkeys([*before.values, *now.values])
    said = {name: (before.values.get(name, 0), now.values.get(name, 0)) for name in names}
    if isinstance(asked, LabelsField):
        heard = rows[0] - before.abstained, rows[1] - now.abstained
        yield "mix", [{name: n, "": (heard[0] - n[0], heard[1] - n[1])} for name, n in said.items()]
    else:
        yield "mix", [{**said, ABSENT: (rows[0] - before.answers, rows[1] - now.answers)}]
    bounds = [f"{low:g} to {high:g}" for low, high in zip((0, *EDGES), (*EDGES, 1), strict=True)]
    yield "confidence", [dict(zip(bounds, zip(before.bins, now.bins, strict=True), strict=True))]
    silent = before.abstained, now.abstained
    yield "abstained", [{WITHHELD: silent, ANSWERED: (before.answers - silent[0], now.answers - silent[1])}]


def _test(name: str, kind: Kind, table: Table) -> Finding | None:
    """The test of a table and its Population Stability Index; None where there is nothing to tell apart.

    To both sides half a row is added for each value, so that none is infinitely rare; from the index is taken what
    chance alone brings to it on the average, (values - 1)(1/n + 1/m) (Yurdakul and Naranjo 2020, Statistical
    properties of the population stability index, Journal of Risk Model Validation), which many values would make large.
    """
    pooled = _pooled({name: n for name, n in table.items() if any(n)})
    counts, kinds = np.array(list(pooled.values()), np.int64).reshape(-1, 2).T, len(pooled)
    sizes = counts.sum(axis=1)
    if kinds < 2 or not sizes.all():
        return None
    found = chi2_contingency(counts, correction=False, lambda_="log-likelihood")
    p = fisher_exact(counts).pvalue if kinds == 2 else found.pvalue
    before, now = (counts + 0.5) / (sizes + 0.5 * kinds)[:, None]
    each = (now - before) * np.log(now / before)
    psi = each.sum() - (kinds - 1) * (1 / sizes).sum()
    most = int(np.argmax(each)) if kinds > 2 else 0  # of two values the first: the other is what it is not
    was, is_now = (counts[:, most] / sizes).tolist()
    return Finding(name, kind, float(found.statistic), float(p), float(p), float(psi), list(pooled)[most], was, is_now)


def _pooled(table: Table) -> Table:
    """A table of more than two values with the rare ones as one; if they are still rare, the next frequent joins them.

    What is rare is said by both sides together, so that pooling does not favour either.
    """
    if len(table) <= 2:
        return table
    sizes = [sum(side) for side in zip(*table.values(), strict=True)]
    least = ceil(LEAST_EXPECTED * sum(sizes) / max(min(sizes), 1))
    kept, rare = dict(table), (0, 0)
    for name, n in sorted(table.items(), key=lambda item: sum(item[1])):
        if sum(n) >= least and not 0 < sum(rare) < least:
            break
        rare = rare[0] + n[0], rare[1] + n[1]
        del kept[name]
    return {**kept, RARE: rare} if any(rare) else kept
