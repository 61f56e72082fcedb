"""Committed run files are whole, and give the figures that they are said to give when held against the labels again."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from pandas import json_normalize
from sklearn.metrics import log_loss

from eval.calibrate import calibrate
from eval.gains import Pair, gain, pairs
from eval.gains import as_markdown as gains_as_markdown
from eval.gains import stored as stored_gains
from eval.record import read_run
from eval.score import Verdict, judge
from eval.table import RESULTS, Drafts, Entry, Row, as_markdown, entries, labelled, scored, stored, traced, written
from tagger.calibration import Calibration
from tagger.task import prompts_folder

ONE_PLAN = {"pricerunner", "flipkart-1050", "flipkart-1050-l2"}
"""Sets that were asked in one way, so that dev rows had nothing to choose."""
CALIBRATIONS = sorted(prompts_folder().glob("*/calibration/*.json"))
STORED = stored()
GAINS = stored_gains()


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: f"{entry.record}: {entry.about}")
def test_a_record_scores_as_it_is_said_to(entry: Entry, labelled: Path) -> None:
    noted = [row for row in STORED if (row.record, row.about) == (entry.record, entry.about)]

    found = scored(entry, labelled)

    assert all(row.rescored for row in found)
    for row, expected in zip(found, noted, strict=True):
        assert numbers(row) == pytest.approx(numbers(expected), abs=1e-3)
        assert words(row) == words(expected)


@pytest.mark.parametrize("drafts", written(), ids=lambda drafts: drafts.record)
def test_drafts_come_to_what_they_are_said_to(drafts: Drafts, tmp_path: Path) -> None:
    noted = [row for row in STORED if row.record == drafts.record]

    found = traced(drafts, tmp_path)  # the rows lie beside the task

    for row, expected in zip(found, noted, strict=True):
        assert numbers(row) == pytest.approx(numbers(expected), abs=1e-3)
        assert words(row) == words(expected)


def test_every_run_of_test_rows_stands_in_the_table() -> None:
    runs, drafts = {entry.record for entry in entries()}, {entry.record for entry in written()}
    assert {path.name for path in RESULTS.glob("*.jsonl.gz") if ".dev." not in path.name} == runs
    assert {path.name for path in RESULTS.glob("*.drafts.test.jsonl")} == drafts
    assert {row.record for row in STORED} == runs | drafts


@pytest.mark.parametrize("path", CALIBRATIONS, ids=lambda path: path.parts[-3])
def test_a_shipped_calibration_is_what_the_dev_rows_of_its_sample_give(path: Path, tmp_path: Path) -> None:
    name, size = path.parts[-3], path.stem.split("-")[-2]
    run = read_run(RESULTS / f"{name}.sample.dev.{size}.jsonl.gz")
    task, examples = labelled(run, tmp_path)  # the rows lie beside the task

    found, after = calibrate(run, lambda told: judge(told, task, examples), task.fields)

    kept = Calibration.model_validate_json(path.read_text("utf-8"))
    assert (found.task_version, found.plan, found.rows_id) == (kept.task_version, kept.plan, kept.rows_id)
    assert flat(found) == pytest.approx(flat(kept), abs=2e-3)
    assert loss(after) < loss(judge(run, task, examples))  # else raw probabilities would do


@pytest.mark.parametrize("path", CALIBRATIONS, ids=lambda path: path.parts[-3])
def test_the_guide_says_what_a_shipped_calibration_is_worth(path: Path) -> None:
    name, kept = path.parts[-3], Calibration.model_validate_json(path.read_text("utf-8"))
    rows = [row for row in STORED if row.record.startswith(f"{name}.sample.0.5b") and row.metric == "ECE"]
    raw, told = (
        next(row.value for row in rows if row.about.endswith(", not calibrated") is plain) for plain in (True, False)
    )

    line = f"| {name} | {kept.rows} | {raw:.3f} → {told:.3f} | {max(kept.promises, default='')} |"
    assert line in (prompts_folder() / "README.md").read_text("utf-8")


def test_one_plan_is_chosen_for_a_set_a_model_and_a_metric() -> None:
    chosen = Counter((row.set, row.model, row.metric) for row in STORED if row.chosen)

    assert set(chosen.values()) == {1}
    left = {(row.set, row.model) for row in STORED} - {key[:2] for key in chosen}
    assert {name for name, _ in left} == ONE_PLAN


def test_without_the_labels_the_stored_figures_are_shown_and_say_so() -> None:
    assert not any(row.rescored for row in STORED)
    shown = as_markdown(STORED)
    assert all(f"**{row.set}**" in shown for row in STORED)
    assert shown.count("\n| ") == 2 * len({row.set for row in STORED}) + len(entries()) + len(written())


def test_the_readme_shows_the_table() -> None:
    assert as_markdown(STORED) in (RESULTS / "README.md").read_text("utf-8")


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: f"{pair.b.record}: {pair.part}")
def test_a_part_is_worth_what_it_is_said_to_be(pair: Pair, labelled: Path) -> None:
    (noted,) = (one for one in GAINS if (one.part, one.set) == (pair.part, labelled_name(pair)))

    found = gain(pair, labelled)

    assert (found.model, found.rows, found.fresh) == (noted.model, noted.rows, noted.fresh)
    assert (found.a, found.b, found.low, found.high) == pytest.approx(
        (noted.a, noted.b, noted.low, noted.high), abs=1e-3
    )


def test_the_readme_shows_the_gains() -> None:
    assert gains_as_markdown(GAINS) in (RESULTS / "README.md").read_text("utf-8")


def labelled_name(pair: Pair) -> str:
    return read_run(RESULTS / pair.b.record).header.set


def flat(calibration: Calibration) -> dict[str, float]:
    """Every number that a calibration fits, by where it stands."""
    told = json_normalize({name: fit.model_dump(exclude_none=True) for name, fit in calibration.fields.items()})
    return {str(name): float(value) for name, value in told.iloc[0].items()}


def loss(judged: list[Verdict]) -> float:
    told = [v for v in judged if v.tag]
    return float(log_loss([v.correct for v in told], [v.p for v in told], labels=[False, True]))


def numbers(row: Row) -> dict[str, float]:
    return {name: value for name, value in asdict(row).items() if isinstance(value, float | int)} | {"rescored": 0}


def words(row: Row) -> dict[str, str]:
    return {name: value for name, value in asdict(row).items() if isinstance(value, str)}
