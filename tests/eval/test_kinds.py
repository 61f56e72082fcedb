"""Paths are judged level by level, scores by how far off they are and how they rank."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.kinds import kappa, metrics_of_kind, ndcg
from eval.metrics import metrics
from eval.score import Verdict
from tagger.definition import Definition
from tagger.example import Example
from tagger.record import Column, Record
from tagger.schema import LabelField, PathField, ScoreField, TextField
from tagger.task import Task

LEAVES = ["Food > Tea > Green", "Food > Tea > Black", "Food > Rice", "Toys"]


def verdict(name: str, gold: object, value: object) -> Verdict:
    kind = "missing" if value is None else "right" if gold == value else "wrong"
    return Verdict(name, "f", gold, value, 0.9, kind, True)


def figures(field: PathField | ScoreField, found: list[Verdict], groups: dict[str, str]) -> dict[str, float]:
    return {metric.name: metric.figure.value for metric in metrics_of_kind(field, found, groups)}


def test_a_path_is_right_down_to_a_level() -> None:
    pairs = [(0, 0), (0, 1), (0, 2), (2, 3), (2, None)]
    found = [verdict(str(n), LEAVES[a], None if b is None else LEAVES[b]) for n, (a, b) in enumerate(pairs)]

    got = figures(PathField(labels=LEAVES), found, {v.id: v.id for v in found})

    assert got["accuracy, level 1"] == 3 / 5  # no answer is right at no level
    assert got["accuracy, level 2"] == 2 / 5
    assert got["accuracy, level 3"] == 1 / 3  # of the labels that go so deep
    assert got["path distance"] == (0 + 2 + 3 + 3) / 4


def test_scores_that_are_off_by_more_weigh_more() -> None:
    near = [verdict(str(n), gold, said) for n, (gold, said) in enumerate([(1, 1), (2, 3), (4, 4), (5, 5)])]
    far = [verdict(str(n), gold, said) for n, (gold, said) in enumerate([(1, 1), (2, 5), (4, 4), (5, 5)])]

    got = figures(ScoreField(), near, {v.id: v.id for v in near})

    assert got["mean absolute error"] == 1 / 4
    assert got["kappa"] == kappa(near) > kappa(far)
    assert "nDCG" not in got  # no query has two records


def test_scores_rank_the_records_of_a_query() -> None:
    found = [verdict("a", 3, 1), verdict("b", 1, 3), verdict("c", 2, 2), verdict("d", 1, 1), verdict("e", 5, 4)]
    groups = {"a": "tea", "b": "tea", "c": "cup", "d": "cup", "e": "alone"}

    got = figures(ScoreField(), found, groups)

    worst = (0 + 2 / 1.584962500721156) / (2 + 0 / 1.584962500721156)
    assert got["nDCG"] == pytest.approx((worst + 1) / 2)


def test_what_cannot_be_ranked_or_judged_has_no_figure() -> None:
    assert ndcg([verdict("a", 3, 1), verdict("b", 3, 2)], {"a": "tea", "b": "tea"}, 1) is None
    assert figures(ScoreField(), [verdict("a", 3, None)], {"a": "tea"}) == {}


def test_other_kinds_have_no_figures_of_their_own() -> None:
    assert not list(metrics_of_kind(LabelField(labels=["a"]), [verdict("a", "a", "a")], {}))


def test_a_label_beside_other_fields_has_figures_of_its_own() -> None:
    fields = {"relevance": LabelField(labels=["exact", "other"]), "note": TextField()}
    definition = Definition(about="", columns={"query": Column(), "title": Column()}, fields=fields)
    pairs = [("exact", "exact"), ("exact", "other"), ("other", "other"), ("exact", None)]
    answers = [{"relevance": gold, "note": "new"} for gold, _ in pairs]
    rows = [Example(Record(str(n), {"query": "tea", "title": f"new {n}"}), answer) for n, answer in enumerate(answers)]
    found = [replace(verdict(str(n), gold, said), field="relevance") for n, (gold, said) in enumerate(pairs)]

    got = {m.name: m.figure.value for m in metrics(Task.define("t", definition), found, rows)}

    assert got["relevance, accuracy"] == 2 / 4  # no answer is not right
    assert got["relevance, F1 of exact"] == 2 * 1 / (1 + 3)
    assert got["relevance, F1 of other"] == 2 * 1 / (2 + 1)
    assert got["relevance, macro F1"] == (1 / 2 + 2 / 3) / 2
    assert "note, accuracy" not in got
