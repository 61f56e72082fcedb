"""Outcomes are counted apart, intervals are Wilson's, and a judged row may not be a shot."""

from __future__ import annotations

import pytest

from eval.run import Share, refuse_leaks, run, sample
from tagger import ScriptedEngine, Tagger
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Record


def example(title: str, label: str) -> Example:
    return Example(Record(title, {"title": title}), {"category": label})


ROWS = [example("green tea", "Tea"), example("tea cup", "Coffee"), example("mocha", "Coffee"), example("soup", "Tea")]


def answer(prompt) -> str:  # type: ignore[no-untyped-def]
    title = prompt.record
    return "Soup" if title == "soup" else "Tea" if "tea" in title else "Coffee"


def test_right_wrong_and_rejected_are_separate_counts() -> None:
    figures, taggings = run(Tagger("category", engine=ScriptedEngine(answer)), ROWS)

    assert figures.outcomes == {"right": 2, "wrong": 1, "rejected": 1}
    assert (figures.found, figures.predicted, figures.labelled) == (2, 3, 4)
    assert figures.f1 == pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))
    assert len(taggings) == 4


def test_no_rows_is_an_error() -> None:
    with pytest.raises(SourceError, match="no labelled rows"):
        run(Tagger("category", engine=ScriptedEngine()), [])


def test_the_interval_is_wilsons() -> None:
    assert str(Share(9, 10)) == "90.0 %  [59.6, 98.2]  (9 of 10)"


def test_a_judged_row_among_the_shots_is_refused() -> None:
    with pytest.raises(SourceError, match="1 judged rows are also shots"):
        refuse_leaks(ROWS, [example("mocha", "Coffee")])


def test_a_sample_is_drawn_by_its_seed() -> None:
    assert sample(ROWS, 2, 0) == sample(ROWS, 2, 0)
    assert sample(ROWS, None, 0) == ROWS
    assert len(sample(ROWS, 3, 1)) == 3
