"""A run is held against the rows that it has read, and against no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.judged import rows_of, tagger_of
from eval.record import Run, read_run, write_run
from eval.robust import perturbed
from eval.run import header_of, run
from eval.sets import OWN, load
from tagger import ScriptedEngine, Tagger
from tagger.errors import SettingsError, SourceError
from tagger.task import Task, load_task

TITLES = ["green tea", "mocha", "iced tea", "espresso"]


def written(path: Path, titles: list[str]) -> Path:
    """Labelled rows without ids."""
    labels = {"tea": "Tea", "mocha": "Coffee", "espresso": "Coffee"}
    rows = [{"record": {"title": t}, "answer": {"category": labels[t.split()[-1]]}} for t in titles]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def ran(data: Path, change: str = "") -> Run:
    task = load_task("category")
    plain = task.read_examples(data)
    read = [perturbed(example, change, 0, task) for example in plain] if change else plain
    tagger = Tagger(task, engine=ScriptedEngine(lambda prompt: "Tea"), calibrated=False)
    head = header_of(tagger, plain, set_name="category", split=OWN, sample=None, seed=0, shots=0, variant=change)
    return run(tagger, read, head)


def test_the_rows_of_a_run_are_found_again(tmp_path: Path) -> None:
    data = written(tmp_path / "rows.jsonl", TITLES)

    _, plain, _ = rows_of(ran(data), "category", [data], None, None)
    _, upper, _ = rows_of(ran(data, "upper"), "category", [data], None, None)

    assert [row.record.values["title"] for row in plain] == TITLES
    assert [row.record.values["title"] for row in upper] == [title.upper() for title in TITLES]


@pytest.mark.parametrize("titles", [TITLES[:3], TITLES[::-1], [*TITLES[:3], "mocha"]], ids=["fewer", "order", "text"])
def test_other_rows_are_refused_though_their_ids_are_the_same(titles: list[str], tmp_path: Path) -> None:
    found = ran(written(tmp_path / "rows.jsonl", TITLES))
    other = written(tmp_path / "others.jsonl", titles)

    with pytest.raises(SourceError, match="not those that the run has read"):
        rows_of(found, "category", [other], None, None)


def test_a_run_of_another_task_is_refused(tmp_path: Path) -> None:
    data = written(tmp_path / "rows.jsonl", TITLES)
    found = ran(data)
    found.header = found.header.model_copy(update={"task": "attributes"})

    with pytest.raises(SourceError, match="task 'attributes'"):
        rows_of(found, "category", [data], None, None)


def test_other_shots_than_the_runs_are_refused(tmp_path: Path, category: Task) -> None:
    data = written(tmp_path / "rows.jsonl", TITLES)

    assert tagger_of(ran(data), category, []).task is category
    with pytest.raises(SourceError, match="give the shots of the run"):
        tagger_of(ran(data), category, category.examples)


def test_settings_that_would_be_ignored_are_refused(tmp_path: Path) -> None:
    data = written(tmp_path / "rows.jsonl", TITLES)

    with pytest.raises(SettingsError, match="--root brings the rows"):
        load("category", [data], None, tmp_path, None, no_shots=False)
    with pytest.raises(SettingsError, match="--split names rows of a public set"):
        load("category", [data], None, None, "dev", no_shots=False)


def test_a_value_with_another_kind_of_line_break_is_read_back(tmp_path: Path, tea_run: Run) -> None:
    rows = [row.model_copy(update={"reason": "a\u2028b\x85c"}) for row in tea_run.rows]
    write_run(tmp_path / "run.jsonl.gz", Run(tea_run.header, rows))

    assert read_run(tmp_path / "run.jsonl.gz").rows == rows
