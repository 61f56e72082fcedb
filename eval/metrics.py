"""The verdicts on a run in, every figure that fits its task out: what `run`, the report and the table show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from eval.figures import (
    Metric,
    auroc,
    bootstrap,
    bootstrap_counts,
    brier,
    expected_calibration_error,
    resampled,
    share,
)
from eval.kinds import metrics_of_kind
from eval.score import Counts, Verdict, macro, one_value
from eval.sets import Span
from eval.spans import span_counts
from tagger.example import Example
from tagger.schema import FieldBase, LabelField
from tagger.task import Task

FEW = 12
"""Labels of which each has a figure of its own, at most."""


def metrics(
    task: Task, found: Sequence[Verdict], examples: Sequence[Example], spans: Mapping[str, set[Span]] | None = None
) -> Iterator[Metric]:
    """The figures by which a task is judged, then those of its kinds of field; `spans` has, by id, where the labelled
    values stand, for a set that says so. Shares have Wilson's interval, all else draws of records.
    """
    if one_value(task):
        yield from _of_one_value(found)
    else:
        yield Metric("micro F1, published", bootstrap(found, lambda c: c.f1, published=True))
        yield Metric("micro F1, strict", bootstrap(found, lambda c: c.f1))
        yield Metric("precision, strict", bootstrap(found, lambda c: c.precision))
        yield Metric("recall, strict", bootstrap(found, lambda c: c.recall))
    first = next(iter(task.columns))
    texts = {example.record.id: example.record.values.get(first, "") for example in examples}
    if spans is not None:
        yield Metric("span F1", bootstrap_counts(list(span_counts(found, texts, spans).values()), lambda c: c.f1))
    for name, field in task.fields.items():
        mine = [v for v in found if v.field == name]
        several = () if one_value(task) or field.closed is None else _of_one_of_several(field, mine)
        # Of records that are ranked for a query, the query is the first column.
        for metric in (*several, *metrics_of_kind(field, mine, texts)):
            yield Metric(f"{name}, {metric.name}", metric.figure, metric.share)


def trust(found: Sequence[Verdict]) -> Iterator[Metric]:
    """How far the probabilities of the values that were said mean what they say (what is withheld is nobody's to
    trust); nothing where no value was said, or none has a probability."""
    told = [v for v in found if v.said]
    if any(v.p for v in told):
        for name, figure in (("ECE", expected_calibration_error), ("Brier score", brier), ("AUROC", auroc)):
            yield Metric(name, resampled(told, _of_answers(figure)), share=False)


def _of_one_value(found: Sequence[Verdict]) -> Iterator[Metric]:
    answered = [v for v in found if v.said]
    yield Metric("accuracy", share(sum(v.kind in ("right", "absent") for v in found), len(found)))
    yield Metric("answered", share(len(answered), len(found)))
    if answered:
        yield Metric("right of the answered", share(sum(v.kind == "right" for v in answered), len(answered)))
    for i, name in enumerate(("macro precision", "macro recall", "macro F1")):
        yield Metric(name, resampled(found, partial(_macro, part=i)))


def _of_one_of_several(field: FieldBase, found: Sequence[Verdict]) -> Iterator[Metric]:
    """What a closed field comes to beside others, over the records that have a label: its share right, and of few
    labels the F1 of each."""
    labelled = [v for v in found if v.gold is not None]
    if not labelled:
        return
    yield Metric("accuracy", share(sum(v.kind == "right" for v in labelled), len(labelled)))
    yield Metric("macro F1", resampled(labelled, partial(_macro, part=2)))
    labels = [text for text, value in (field.closed or {}).items() if any(v.gold == value for v in labelled)]
    for label in labels if isinstance(field, LabelField) and len(labels) <= FEW else ():
        yield Metric(f"F1 of {label}", resampled(labelled, partial(_f1_of, label=label)))


def _f1_of(found: Sequence[Verdict], label: str) -> float:
    right = sum(v.kind == "right" and v.gold == label for v in found)
    return Counts(right, sum(v.said and v.value == label for v in found), sum(v.gold == label for v in found)).f1


def _macro(found: Sequence[Verdict], part: int) -> float:
    return macro(found)[part]


def _of_answers(
    figure: Callable[[Sequence[float], Sequence[bool]], float],
) -> Callable[[Sequence[Verdict]], float]:
    return lambda some: figure([v.p for v in some], [v.correct for v in some])
