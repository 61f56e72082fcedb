"""Committed run files are whole, and say what their predictions say when held against the labels again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.record import read_run
from eval.score import outcomes, verdicts
from eval.sets import labelled_set, rows, sample

RESULTS = Path(__file__).parents[2] / "eval" / "results"
FIGURES = json.loads((RESULTS / "figures.json").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(path.name for path in RESULTS.glob("*.jsonl.gz")))
def test_a_record_scores_as_it_is_said_to(name: str, labelled: Path) -> None:
    run = read_run(RESULTS / name)
    task, found = labelled_set(run.header.set, labelled)
    judged = sample(rows(task, found, labelled, run.header.split), run.header.sample, run.header.seed)

    told = verdicts(run, judged, {e.record.id: tuple(task.asked(e.record)) for e in judged})

    assert run.whole
    assert dict(outcomes(told)) == FIGURES[name]


def test_every_figure_has_its_record() -> None:
    assert sorted(FIGURES) == sorted(path.name for path in RESULTS.glob("*.jsonl.gz"))
