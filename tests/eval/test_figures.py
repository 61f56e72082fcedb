"""Figures against hand-worked and published ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from eval.figures import auroc, bootstrap, brier, coverage_curve, expected_calibration_error, share
from eval.score import Counts, Kind, Verdict, counts, macro
from tagger.errors import SourceError


def verdict(row: str, kind: Kind, gold: object = "x", value: object = "x", annotated: bool = True) -> Verdict:
    return Verdict(row, "f", gold, value, 0.5, kind, annotated)


def test_the_interval_is_wilsons() -> None:
    assert str(share(9, 10)) == "90.0 [59.6, 98.2]"


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(SourceError, match="no rows"):
        share(0, 0)


def test_published_counts_give_the_published_figures() -> None:
    # gpt-3.5-turbo-0613, list prompt, AE-110k, as ExtractGPT's run file reports it: P 86.58, R 78.17, F1 82.16
    # (974 right of 1,125 answered and 1,246 labelled: the only whole numbers that round to these).
    published = Counts(right=974, answered=1125, labelled=1246)

    assert round(100 * published.precision, 2) == 86.58
    assert round(100 * published.recall, 2) == 78.17
    assert round(100 * published.f1, 2) == 82.16


def test_published_scoring_does_not_look_at_what_is_not_annotated() -> None:
    found = [
        verdict("1", "right"),
        verdict("1", "invented", None, "y", annotated=False),
        verdict("2", "invented", None, "y"),
        verdict("2", "missing", "x", None),
    ]

    assert counts(found) == Counts(1, 3, 2)
    assert counts(found, published=True) == Counts(1, 2, 2)


def test_a_normalized_match_forgives_case_and_width() -> None:
    assert counts([verdict("1", "wrong", "250ML", "２５０ml")], normalized=True).right == 1
    assert counts([verdict("1", "wrong", "250ML", "２５０ml")]).right == 0


def test_macro_figures_weigh_labels_equally() -> None:
    found = [verdict(str(i), "right", "a", "a") for i in range(8)] + [verdict("9", "wrong", "b", "a")]

    assert macro(found) == pytest.approx(((8 / 9 + 0) / 2, (1 + 0) / 2, (16 / 17 + 0) / 2))


def test_the_bootstrap_draws_records() -> None:
    certain = [verdict(str(i), "right") for i in range(20)]
    mixed = certain + [verdict(f"w{i}", "wrong", "x", "y") for i in range(20)]

    assert bootstrap(certain, lambda c: c.f1).low == 1
    figure = bootstrap(mixed, lambda c: c.f1)
    assert figure.value == 0.5
    assert 0.3 < figure.low < 0.4
    assert 0.6 < figure.high < 0.7


def test_auroc_is_that_of_scikit_learn_with_ties_as_well() -> None:
    rng = np.random.default_rng(0)
    p, correct = np.round(rng.random(300), 1).tolist(), (rng.random(300) < 0.7).tolist()

    assert auroc(p, correct) == pytest.approx(roc_auc_score(correct, p), abs=1e-12)


def test_calibration_figures() -> None:
    p = [0.9] * 10 + [0.6] * 10
    correct = [True] * 9 + [False] + [True] * 6 + [False] * 4

    assert expected_calibration_error(p, correct, 2) == pytest.approx(0)
    assert expected_calibration_error([0.9] * 10, [False] * 10, 2) == pytest.approx(0.9)
    assert brier([1.0, 0.0], [True, True]) == 0.5
    assert auroc([0.9, 0.1], [True, False]) == 1
    assert math.isnan(auroc([0.9, 0.1], [True, True]))


def test_coverage_falls_as_precision_rises() -> None:
    curve = coverage_curve([0.9, 0.8, 0.8, 0.1], [True, True, False, False], total=5)

    assert curve == [(0.9, 0.2, 1.0), (0.8, 0.6, pytest.approx(2 / 3)), (0.1, 0.8, 0.5)]
