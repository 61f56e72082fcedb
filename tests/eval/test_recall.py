"""A shortlist is judged apart from the choice that is made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.recall import recall
from eval.sets import labelled_set, rows
from tagger import Task, load_task
from tagger.errors import SettingsError, SourceError
from tests.eval.conftest import example


def test_the_right_value_is_on_the_list_or_not(category: Task) -> None:
    pool = [example(f"green tea {n}", "Tea") for n in range(3)] + [example(f"mocha {n}", "Coffee") for n in range(3)]
    judged = [example("green tea", "Tea"), example("green tea mocha", "Coffee"), example("zzz", "Guitar")]

    found = recall(category, judged, pool, (1, 2, 20, 50))

    assert list(found) == [1, 2, 20]  # there are 20 values
    assert [figure.value for figure in found.values()] == [1 / 3, 2 / 3, 1.0]


def test_no_rows_and_no_closed_field_are_errors(category: Task) -> None:
    with pytest.raises(SourceError, match="a share of nothing"):
        recall(category, [], [])
    with pytest.raises(SettingsError, match="does not ask one closed field"):
        recall(load_task("attributes"), [], [])


def test_the_aisles_are_nearly_always_among_twenty(labelled: Path) -> None:
    task, found = labelled_set("instacart-aisles", labelled)
    train, test = (rows(task, found, labelled, split) for split in ("train", "test"))

    assert recall(task, test, train)[20].value >= 0.94
