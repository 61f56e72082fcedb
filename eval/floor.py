"""A task with labelled rows in, the verdicts on what one would otherwise use out: the floor that a model must beat.

It learns from the same labelled rows and needs no language model: for one label a linear classifier on character
TF-IDF (Joachims 1998), for attributes a conditional random field, or a look-up of the values already known. What
comes out are verdicts as on a run (score.py), so all figures work on them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import product
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from eval.figures import Figure, bootstrap, share
from eval.record import Header, Run, RunRow, RunTag, rows_id
from eval.score import Kind, Verdict
from tagger.errors import SettingsError, SourceError
from tagger.example import Example
from tagger.grammar import spell_value
from tagger.likeness import plain_text, vectorizer
from tagger.prior import SHARPNESS
from tagger.schema import LabelField, PathField, TextField
from tagger.spans import SpanPrior
from tagger.task import Task

CLASSIFIERS = {
    "LinearSVC": lambda c: LinearSVC(C=c, max_iter=10_000, random_state=0),
    "LogisticRegression": lambda c: LogisticRegression(C=c, max_iter=1000),
}
STRENGTHS = (1.0, 0.3, 3.0, 10.0)
"""Values of C that are tried. The first of equals is taken: the library's own default comes before the others."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What the floor answered, and how it was made."""

    method: str
    verdicts: list[Verdict]
    """In the order of the judged rows, a verdict for each field that is asked."""
    tried: Mapping[str, Figure] = field(default_factory=dict)
    """What each method that was tried did on the dev rows: the share right, for attributes strict F1."""


def floor(task: Task, train: Sequence[Example], dev: Sequence[Example], judged: Sequence[Example]) -> Floor:
    """The floor for a task: `linear_floor` for one label or path, `span_floor` for text fields.

    Raises SettingsError for a task of any other kind, and what those two raise.
    """
    kinds = list(task.fields.values())
    if len(kinds) == 1 and isinstance(kinds[0], LabelField | PathField):
        return linear_floor(next(iter(task.fields)), train, dev, judged)
    if all(isinstance(kind, TextField) for kind in kinds):
        return span_floor(task, train, dev, judged)
    found = ", ".join(sorted({type(kind).__name__.removesuffix("Field").lower() for kind in kinds}))
    hint = "the floor is defined for one label or path, and for text fields alone"
    raise SettingsError(f"task {task.id!r} has no floor: {len(kinds)} fields of kind {found}", hint=hint)


def linear_floor(name: str, train: Sequence[Example], dev: Sequence[Example], judged: Sequence[Example]) -> Floor:
    """The better of a linear SVM and logistic regression on TF-IDF of characters, for the label field `name`.

    Each is fitted on the train rows with every C in STRENGTHS; the one with most dev rows right (the first of
    equals) judges. Rows without a label are left out of train and dev. A verdict's probability is the
    classifier's own, or the softmax of the SVM's margins as the tagger takes it (tagger/prior.py).
    Raises SourceError for no dev rows or judged rows, and for train rows that show fewer than two labels.
    """
    train, dev = ([e for e in rows if name in e.answer] for rows in (train, dev))
    labels = [e.answer[name] for e in train]
    if len(set(labels)) < 2:
        raise SourceError(f"expected train rows with at least two values of {name!r}, found {len(set(labels))}")
    for rows, what in ((dev, "dev rows to choose the classifier on"), (judged, "rows to judge on")):
        if not rows:
            raise SourceError(f"no labelled {what}")
    view = vectorizer()
    matrix = view.fit_transform(plain_text(e.record) for e in train)
    seen = view.transform(plain_text(e.record) for e in dev)
    tried: dict[str, Figure] = {}
    best: Any = None
    for kind, c in product(CLASSIFIERS, STRENGTHS):
        model = CLASSIFIERS[kind](c).fit(matrix, labels)
        hits = sum(e.is_right(name, label) for e, label in zip(dev, model.predict(seen).tolist(), strict=True))
        tried[f"{kind}, C = {c:g}"] = found = share(hits, len(dev))
        if best is None or found.value > best[0]:
            best = found.value, f"{kind}, C = {c:g}", model
    _, method, model = best
    chances = _chances(model, view.transform(plain_text(e.record) for e in judged))
    answers = [(str(model.classes_[row.argmax()]), float(row.max())) for row in chances]
    return Floor(method, [_verdict(e, name, *answer) for e, answer in zip(judged, answers, strict=True)], tried)


def span_floor(task: Task, train: Sequence[Example], dev: Sequence[Example], judged: Sequence[Example]) -> Floor:
    """The better of `lookup_floor` and `field_floor`, by strict F1 on the dev rows; both know the train rows.

    Raises SourceError for no train, dev or judged rows.
    """
    methods = {"longest known value in the text": lookup_floor, "conditional random field": field_floor}
    tried = {name: bootstrap(judge(task, train, dev).verdicts, lambda c: c.f1) for name, judge in methods.items()}
    best = max(tried, key=lambda name: tried[name].value)
    return replace(methods[best](task, train, judged), tried=tried)


def lookup_floor(task: Task, known: Sequence[Example], judged: Sequence[Example]) -> Floor:
    """For each text field the longest value that a row of the same group is labelled with and that stands in the text.

    Case counts, and no letter, digit or underscore may go on at either end, but Chinese characters may: their
    words have no spaces. Of values of one length the more frequent is taken. A verdict's probability is the
    share of rows with the value in their text that are labelled with it (tagger.spans.SpanPrior). Raises
    SourceError for no known or judged rows.
    """
    prior = _span_prior(task, known, judged)
    values: dict[tuple[str, str], Counter[str]] = {}
    for example in known:
        for name, value in example.answer.items():
            found = values.setdefault((task.group(example.record), name), Counter())
            found.update([value, *example.also.get(name, ())])
    ranked = {key: sorted(found, key=lambda v: (-len(v), -found[v], v)) for key, found in values.items()}
    verdicts = []
    for example in judged:
        texts, group = [example.record.values[column] for column in task.text_columns], task.group(example.record)
        for name in task.asked(example.record):
            value = next((v for v in ranked.get((group, name), ()) if _stands(v, texts)), None)
            p = prior.share(name, value, example.record, group) if value else 0.0
            verdicts.append(_verdict(example, name, value, p))
    return Floor("longest known value in the text", verdicts)


def field_floor(task: Task, known: Sequence[Example], judged: Sequence[Example]) -> Floor:
    """For each text field the likeliest span on the likeliest path of a conditional random field (tagger.spans).

    Raises SourceError for no known or judged rows.
    """
    prior = _span_prior(task, known, judged)
    verdicts = []
    for example in judged:
        asked = task.asked(example.record)
        views = prior.views(example.record, task.group(example.record), {name: [] for name in asked})
        for name in asked:
            best = max(views[name].chances.items(), key=lambda item: item[1], default=(None, 0.0))
            verdicts.append(_verdict(example, name, *best))
    return Floor("conditional random field", verdicts)


def as_run(
    found: Floor,
    task: Task,
    judged: Sequence[Example],
    *,
    set_name: str,
    split: str,
    sample: int | None,
    seed: int,
    shots: int,
) -> Run:
    """The floor's answers on the judged rows as a run, to stand beside those of models: the method is its model."""
    by_record: dict[str, dict[str, RunTag]] = {}
    for verdict in found.verdicts:
        tags = by_record.setdefault(verdict.id, {})
        if verdict.value is not None:
            text = spell_value(task.fields[verdict.field], verdict.value)
            closed = task.fields[verdict.field].closed is not None
            tags[verdict.field] = RunTag(
                value=verdict.value, p=verdict.p, model={verdict.value if closed else text: verdict.p}
            )
    header = Header(
        set=set_name, split=split, sample=sample, seed=seed, rows=len(by_record),
        rows_id=rows_id(example.record for example in judged), task=task.id, task_version=task.version,
        plan=task.plan.id, plan_text=task.plan.model_dump(mode="json"), shots=shots,
        model=found.method, adapter=None, engine="scikit-learn, CRFsuite",
        versions={name: version(name) for name in ("scikit-learn", "python-crfsuite")},
    )  # fmt: skip
    rows = [RunRow(id=name, outcome="tagged", tags=tags, tokens=(0, 0, 0)) for name, tags in by_record.items()]
    return Run(header, rows)


def _span_prior(task: Task, known: Sequence[Example], judged: Sequence[Example]) -> SpanPrior:
    """What the known rows say."""
    for rows, what in ((known, "rows to look values up in"), (judged, "rows to judge on")):
        if not rows:
            raise SourceError(f"no labelled {what}")
    groups = [task.group(e.record) for e in known]
    return SpanPrior([(e.record, e.answer) for e in known], groups, task.text_columns)


def _stands(value: str, texts: Sequence[str]) -> bool:
    whole = rf"(?<!\w){re.escape(value)}(?!\w)"
    return any(value in text and re.search(whole, text, re.ASCII) for text in texts)


def _chances(model: Any, matrix: Any) -> np.ndarray:
    """Probabilities of the model's classes, a row for each row of `matrix`."""
    if hasattr(model, "predict_proba"):
        chances: np.ndarray = model.predict_proba(matrix)
        return chances
    margins = model.decision_function(matrix)
    if margins.ndim == 1:  # two labels: one margin, positive for the second
        margins = np.stack([-margins, margins], axis=1) / 2
    shares: np.ndarray = softmax(SHARPNESS * margins, axis=1)
    return shares


def _verdict(example: Example, name: str, value: str | None, p: float) -> Verdict:
    """The verdict on one answer, by the rules of eval.score.verdicts; None: no answer."""
    gold = value if value is not None and example.is_right(name, value) else example.answer.get(name)
    kind: Kind
    if value is None:
        kind = "absent" if gold is None else "missing"
    else:
        kind = "invented" if gold is None else "right" if value == gold else "wrong"
    annotated = example.annotated is None or name in example.annotated
    return Verdict(example.record.id, name, gold, value, p, kind, annotated)
