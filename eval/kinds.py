"""Verdicts on one kind of field in, the figures that fit that kind out: how far off a path or a score is, how well
scores rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from sklearn.metrics import cohen_kappa_score, ndcg_score

from eval.figures import RESAMPLES, Figure, Metric, resampled, share
from eval.score import Verdict
from tagger.schema import PATH_SEPARATOR, FieldBase, PathField, ScoreField


def metrics_of_kind(field: FieldBase, found: Sequence[Verdict], groups: Mapping[str, str]) -> Iterator[Metric]:
    """What fits the kind of `field` beside accuracy; nothing for most kinds, nor where no record has both an answer
    and a label. `groups` has the query of each record by its id: records of one query are ranked against each other.
    """
    told = [v for v in found if v.said and v.gold is not None]
    if told and isinstance(field, PathField):
        for level in range(1, max(len(_levels(v.gold)) for v in told) + 1):
            deep = [v for v in found if v.gold is not None and len(_levels(v.gold)) >= level]
            yield Metric(f"accuracy, level {level}", share(sum(agrees(v, level) for v in deep), len(deep)))
        steps = resampled(told, lambda some: float(np.mean([distance(v) for v in some])))
        yield Metric("path distance", steps, share=False)
    if told and isinstance(field, ScoreField):
        yield Metric("kappa", resampled(told, kappa), share=False)
        error = resampled(told, lambda some: float(np.mean([abs(v.value - v.gold) for v in some])))
        yield Metric("mean absolute error", error, share=False)
        if ranked := ndcg(told, groups, field.low):
            yield Metric("nDCG", ranked, share=False)


def agrees(verdict: Verdict, level: int) -> bool:
    """Whether answer and label are the same down to a level, 1 being the top."""
    said = verdict.kind in ("right", "wrong")
    return said and _levels(verdict.value)[:level] == _levels(verdict.gold)[:level]


def distance(verdict: Verdict) -> int:
    """Steps in the tree from the answer up to what it shares with the label, and down to the label; 0 if right."""
    answer, label = _levels(verdict.value), _levels(verdict.gold)
    shared = 0
    while shared < min(len(answer), len(label)) and answer[shared] == label[shared]:
        shared += 1
    return len(answer) + len(label) - 2 * shared


def kappa(found: Sequence[Verdict]) -> float:
    """Agreement of scores beyond chance, a miss weighing as the square of its size (Cohen 1968); nan where all
    scores are one."""
    gold, said = [v.gold for v in found], [v.value for v in found]
    if len({*gold, *said}) < 2:
        return float("nan")
    return float(cohen_kappa_score(gold, said, weights="quadratic"))


def ndcg(found: Sequence[Verdict], groups: Mapping[str, str], low: int) -> Figure | None:
    """Mean over the queries of the normalized discounted gain of their records, ranked by the answered score
    (Järvelin & Kekäläinen 2002); `low` is the score that gains nothing. Interval by bootstrap over queries. Queries
    whose records all have one label are left out; None where none is left."""
    by_query: dict[str, list[Verdict]] = {}
    for verdict in found:
        by_query.setdefault(groups[verdict.id], []).append(verdict)
    each = [
        float(ndcg_score([[v.gold - low for v in some]], [[v.value - low for v in some]]))
        for some in by_query.values()
        if len({v.gold for v in some}) > 1
    ]
    if not each:
        return None
    low, high = np.percentile(np.random.default_rng(0).choice(each, (RESAMPLES, len(each))).mean(axis=1), [2.5, 97.5])
    return Figure(float(np.mean(each)), float(low), float(high), len(each))


def _levels(path: str) -> list[str]:
    return path.split(PATH_SEPARATOR)
