"""A raw run over dev rows in, a Calibration out: probabilities that mean what they say, thresholds that keep promises.

What is fitted is what `tagger/calibration.py` applies. Closed fields: two weights by maximum likelihood.
Open fields: one logistic regression for all of them, with an intercept for each. Thresholds are chosen on
out-of-fold probabilities, so that no row vouches for itself. FEW_ROWS bear one temperature for each closed field, and
two numbers for all open ones; what is said is not chosen on so few.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from eval.record import Run, RunRow
from eval.score import Verdict
from eval.sets import DEFAULT_SPLIT
from tagger.calibration import FEATURES, Calibration, ClosedFit, Fit, OpenFit, Promise, RawFit, logit, open_features
from tagger.decide import decide
from tagger.errors import SourceError
from tagger.grammar import read_value, spell_value, value_text
from tagger.schema import ClaimsField, FieldBase

FOLDS = 5
CONFIDENCE = 0.9
"""How sure a promise is meant: the lower bound of the precision on dev rows at this level has to reach it."""
PROMISES = (0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99)
STEPS, DRAWS = 100, 500
"""Thresholds that a promise is sought among, by shares of the answers; draws of records for each."""
SPREAD, NARROW = 2.0, 0.5
"""How wide the priors of weights are, with many rows and with few. (Log-loss out of fold of the 24 shipped samples'
dev rows falls by 0.134, 0.134 and 0.122 on the average with 1, 0.5 and 0.3, and rises by 0.055, 0.037 and 0.023 at the
worst.)"""
INFERRED = -2.0
"""What is taken off the log-odds of a value that stands nowhere in the record, where rows are too few to fit it: of 41
such values on the dev rows of all shipped samples (22 texts, 19 numbers) 2 were right, told at 0.38 on the average."""
LEAST_ROWS, FEW_ROWS = 20, 100
"""Fewer rows than these are refused; so few bear the simpler fits. (With 74 rows a taxonomy's two weights leave 41 of
100 answers right out of fold, one temperature the 50 that there were.)"""

Judge = Callable[[Run], list[Verdict]]
"""Holds a run against the labels."""


def calibrate(
    run: Run, judge: Judge, fields: Mapping[str, FieldBase], *, published: bool = False
) -> tuple[Calibration, list[Verdict]]:
    """A calibration for the task of a raw run, and verdicts with out-of-fold calibrated probabilities.

    Closed fields are always answered, and open ones where that makes the best strict F1, or the best `published` one,
    which does not count what is said of unannotated fields (with FEW_ROWS: as without a calibration); the calibration
    has those of PROMISES that the rows bear out. Raises SourceError for fewer than LEAST_ROWS rows, and for an
    unfinished run.
    """
    if written := [name for name, field in fields.items() if isinstance(field, ClaimsField)]:
        told = f"{written[0]!r} is a description: no text of it is the right one that probabilities could be fitted to"
        raise SourceError(told, hint="ask it in a task of its own")
    if len(run.rows) < LEAST_ROWS:
        raise SourceError(f"{len(run.rows)} rows are too few to calibrate on; at least {LEAST_ROWS} are needed")
    if not run.whole:
        raise SourceError("the run is not finished", hint="run the same command again to finish it")
    if run.header.split == DEFAULT_SPLIT:
        raise SourceError("test rows judge, they choose nothing", hint="calibrate on a run over dev rows")
    if "~" in run.header.plan or run.header.variant:
        raise SourceError("the run is calibrated already, or its rows were changed", hint="run --raw on plain rows")
    rows: list[RunRow] = []
    for fold in range(FOLDS):
        rest = replace(run, rows=[row for i, row in enumerate(run.rows) if i % FOLDS != fold])
        held = replace(run, rows=run.rows[fold::FOLDS])
        rows += redo(held, fields, _calibration(run, judge(rest), fields)).rows
    unseen = judge(replace(run, rows=rows))
    if not any(v.tag for v in unseen):
        raise SourceError("the run has no answers: there is nothing to calibrate on")
    calibration = _calibration(run, judge(run), fields)
    opened = [v for v in unseen if fields[v.field].closed is None]
    chosen = [v for v in opened if v.annotated or not published] if len(run.rows) >= FEW_ROWS else []
    threshold = best_f1(chosen)
    fits = {
        name: fit.model_copy(update={"abstain_below": 0.0 if fit.closed else threshold})
        for name, fit in calibration.fields.items()
    }
    return calibration.model_copy(update={"fields": fits, "promises": promised(unseen, PROMISES)}), unseen


def redo(run: Run, fields: Mapping[str, FieldBase], calibration: Calibration | None, prior: float | None = None) -> Run:
    """The run as it would have come out with this calibration: the same raw scores, decided anew.

    Without a calibration, with `prior` as the weight of the labelled rows (default: the run's own plan's).
    """
    weight = run.header.plan_text["shots"]["prior"] if prior is None else prior
    rows = []
    for row in run.rows:
        tags = {}
        for name, tag in row.tags.items():
            if calibration is None and weight == 0 and not tag.model:
                continue  # the rows alone proposed it, and they are left out
            found = decide(name, fields[name], tag.value, tag.scores(), prior=weight, calibration=calibration)
            update = {"value": found.value, "p": found.p, "abstained": found.abstained, "each": found.each}
            tags[name] = tag.model_copy(update=update)
        silent = tags and all(tag.abstained for tag in tags.values())
        outcome = row.outcome if row.outcome in ("rejected", "failed") else "abstained" if silent else "tagged"
        rows.append(row.model_copy(update={"tags": tags, "outcome": outcome}))
    return replace(run, rows=rows)


def promised(judged: Sequence[Verdict], levels: Sequence[float]) -> dict[str, Promise]:
    """By precision, for each that the answers bear out, the lowest threshold from which on they are right with it, at
    CONFIDENCE.

    Thresholds are tried in a fixed order, from the surest answers to all of them, up to the first that fails: so that
    trying many does not make the promise bolder (fixed sequence testing; Angelopoulos et al. 2021, Learn then Test).
    The first has four times the answers that would do if all were right, for a few errors not to end it.
    """
    order = sorted((v for v in judged if v.tag), key=lambda v: -v.p)
    labelled = sum(v.gold is not None for v in judged)
    last = {v.p: n for n, v in enumerate(order, 1)}  # answers of one probability are kept or dropped together
    steps = sorted({last[order[max(1, round(len(order) * step / STEPS)) - 1].p] for step in range(1, STEPS + 1)})
    bounds = {n: _bound(order[:n]) for n in steps}
    found = {}
    for level in levels:
        least = next((n for n in range(1, len(order) + 1) if _bound_of_all_right(n) >= level), len(order) + 1)
        tried = [n for n in steps if n >= 4 * least]
        failed = next((i for i, n in enumerate(tried) if bounds[n] < level), len(tried))
        kept = tried[:failed]
        if kept:
            n, right = kept[-1], sum(v.correct for v in order[: kept[-1]])
            met = sum(v.gold is not None for v in order[:n]) / labelled
            found[f"{level:g}"] = Promise(threshold=order[n - 1].p, precision=right / n, coverage=met, answers=n)
    return found


def _bound(kept: Sequence[Verdict]) -> float:
    """The precision that the answers have at least, at CONFIDENCE: the lower of Wilson's bound and that of draws of
    records, for answers of one record are right or wrong together."""
    right, total = sum(v.correct for v in kept), len(kept)
    wilson = binomtest(right, total).proportion_ci(2 * CONFIDENCE - 1, method="wilson").low
    number = {name: i for i, name in enumerate({v.id: None for v in kept})}
    each = np.zeros((len(number), 2))
    np.add.at(each, [number[v.id] for v in kept], [(v.correct, 1) for v in kept])
    sums = each[np.random.default_rng(0).integers(len(each), size=(DRAWS, len(each)))].sum(axis=1)
    return min(float(wilson), float(np.quantile(sums[:, 0] / sums[:, 1], 1 - CONFIDENCE)))


def _bound_of_all_right(answers: int) -> float:
    return float(binomtest(answers, answers).proportion_ci(2 * CONFIDENCE - 1, method="wilson").low)


def best_f1(judged: Sequence[Verdict]) -> float:
    """The threshold whose answers make the best F1; 0 without answers."""
    order = sorted((v for v in judged if v.tag), key=lambda v: -v.p)
    labelled = sum(v.gold is not None for v in judged)
    right = np.cumsum([v.correct for v in order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + labelled)
    last = [n for n, v in enumerate(order) if n + 1 == len(order) or order[n + 1].p < v.p]  # equals come in together
    return order[max(last, key=f1.__getitem__)].p if order else 0.0


def _calibration(run: Run, judged: Sequence[Verdict], fields: Mapping[str, FieldBase]) -> Calibration:
    answered = [v for v in judged if v.tag]
    few, prior = len(run.rows) < FEW_ROWS, float(run.header.plan_text["shots"]["prior"])
    fits: dict[str, Fit] = {}
    opened = []
    for name in {v.field: None for v in answered}:
        own = [v for v in answered if v.field == name]
        if fields[name].closed is None:
            opened += own
        else:
            labelled = [v for v in own if v.gold is not None]
            if labelled:
                fits[name] = Fit(closed=_tempered(labelled, prior) if few else _closed(fields[name], labelled))
    if opened:
        fits |= _moved(opened, fields) if few else _opened(opened, fields)
    head = run.header
    plan, _, pool = head.plan.partition("+")
    return Calibration(
        task_version=head.task_version,
        plan=plan,
        model=head.model,
        adapter=head.adapter,
        rows=len(run.rows),
        rows_id=head.rows_id,
        pool=pool,
        fields=fits,
    )


def _closed(field: FieldBase, judged: Sequence[Verdict]) -> ClosedFit:
    """Weights of model and rows with the least log-loss, drawn towards 1 (a normal prior, SPREAD wide): where all dev
    rows are right, the least loss alone would make every answer sure. Both are kept from falling below 0."""
    scores = [v.tag.scores() for v in judged if v.tag]
    golds = [value_text(field, v.gold) for v in judged]
    with_rows = bool(scores and scores[0].rows)
    logs = []
    for s, gold in zip(scores, golds, strict=True):
        texts = [gold, *(t for t in s.model if t != gold)]
        model = np.log([max(s.model.get(t, 0), 1e-6) for t in texts])
        rows = np.log([max(s.rows.get(t, 0), 1e-6) for t in texts]) if with_rows else np.zeros(len(texts))
        logs.append((model, rows))

    def loss(weights: np.ndarray) -> float:
        drawn = float(np.sum((weights - 1) ** 2)) / (2 * SPREAD**2 * len(logs))
        return drawn - float(np.mean([log_softmax(weights[0] * m + weights[1] * r)[0] for m, r in logs]))

    start, bounds = ([1.0, 1.0], [(0, 20), (0, 20)]) if with_rows else ([1.0, 0.0], [(0.01, 20), (0, 0)])
    found = minimize(loss, start, bounds=bounds, method="L-BFGS-B")
    return ClosedFit(model=round(float(found.x[0]), 4), rows=round(float(found.x[1]), 4))


def _tempered(judged: Sequence[Verdict], prior: float) -> ClosedFit:
    """One temperature for model and rows, whose weight is the plan's `prior`: the likeliest value stays what it is, and
    its probability is the one that is fitted (top-label calibration, Gupta and Ramdas 2022)."""
    scores = [v.tag.scores() for v in judged if v.tag]
    right = [v.correct for v in judged]

    def loss(stretch: float, _: float) -> float:
        top = [max(ClosedFit(model=stretch, rows=prior * stretch).chances(s).values()) for s in scores]
        return -float(np.mean([math.log(max(p if r else 1 - p, 1e-6)) for p, r in zip(top, right, strict=True)]))

    stretch, _ = _drawn(loss, len(judged))
    return ClosedFit(model=round(stretch, 4), rows=round(prior * stretch, 4) if scores[0].rows else 0.0)


def _drawn(loss: Callable[[float, float], float], rows: int) -> tuple[float, float]:
    """A factor and a summand with the least loss of so many rows, drawn towards 1 and 0 (normal priors, NARROW wide, of
    the factor's logarithm and the summand)."""

    def drawn(x: np.ndarray) -> float:
        return loss(math.exp(x[0]), x[1]) + float(np.sum(x**2)) / (2 * NARROW**2 * rows)

    found = minimize(drawn, [0.0, 0.0], bounds=[(-5, 5), (-5, 5)], method="L-BFGS-B")
    return math.exp(found.x[0]), float(found.x[1])


def _moved(judged: Sequence[Verdict], fields: Mapping[str, FieldBase]) -> dict[str, Fit]:
    """The same for all open fields: how to stretch and move the log-odds of what was said, or nearly."""
    told = [v for v in judged if v.p and v.value is not None]
    if not told:
        return {}
    odds, right = np.array([logit(v.p) for v in told]), np.array([1.0 if v.correct else -1.0 for v in told])
    less = np.array([INFERRED if _surmised(fields[v.field], v) else 0.0 for v in told])
    found = _drawn(lambda a, b: float(np.mean(np.logaddexp(0, -right * (a * odds + b + less)))), len(told))
    fit = RawFit(stretch=round(found[0], 4), move=round(found[1], 4), inferred=INFERRED)
    return {name: Fit(raw=fit) for name, field in fields.items() if field.closed is None}


def _surmised(field: FieldBase, verdict: Verdict) -> bool:
    """Whether the model wrote the value, and the record does not hold it."""
    tag = verdict.tag
    return bool(tag and tag.inferred and spell_value(field, verdict.value) in tag.model)


def _opened(judged: Sequence[Verdict], fields: Mapping[str, FieldBase]) -> dict[str, Fit]:
    """One regression over the candidates of all open fields; a field's intercept is drawn towards the common
    one (L2), which a field without a candidate gets."""
    names = sorted(name for name, field in fields.items() if field.closed is None)
    told = [
        (v, v.tag.scores(), text)
        for v in judged if v.tag
        for text in ([v.item] if v.item else v.tag.scores().candidates)
    ]  # fmt: skip
    features = np.array([open_features(scores, text) for _, scores, text in told])
    own = np.array([[v.field == name for name in names] for v, _, _ in told], float)
    correct = [
        (json.loads(text) if v.item else read_value(fields[v.field], json.loads(text))) in v.golds
        for v, _, text in told
    ]
    if len(set(correct)) < 2:
        raise SourceError("all answers are right, or all wrong: there is nothing to calibrate on")
    model = LogisticRegression(C=1.0, max_iter=1000).fit(np.hstack([features[:, 1:], own]), correct)
    shared, extra = model.coef_[0][: len(FEATURES) - 1], model.coef_[0][len(FEATURES) - 1 :]
    return {
        name: Fit(open=OpenFit(weights=(float(model.intercept_[0] + extra[i]), *map(float, shared))))
        for i, name in enumerate(names)
    }
