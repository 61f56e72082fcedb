"""A person's mistake ends in one message; a run ends with what it did and where."""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tagger.cli import app
from tagger.engines.base import Completion
from tagger.pipeline import Tagger
from tagger.task import load_task
from tests.tagger.conftest import FixedEngine


def tagger(*arguments: str | Path, module: str = "tagger") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)


def test_tag_writes_tags_and_manifest(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"name": "tea"}\n{"name": ""}\n', "utf-8")

    done = tagger("tag", tmp_path / "in.jsonl", "--task", "category", "--out", tmp_path / "out", "--engine", "scripted")

    assert done.returncode == 0, done.stderr
    assert "1 rejected, 1 tagged" in done.stdout
    assert len((tmp_path / "out" / "tags-00000.jsonl").read_text("utf-8").splitlines()) == 2
    assert json.loads((tmp_path / "out" / "_manifest.json").read_text("utf-8"))["rows"] == 2


def test_nothing_stays_frozen_behind_a_run_for_libraries_to_complain_of_at_exit(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"name": "tea"}\n', "utf-8")
    command = ["tag", tmp_path / "in.jsonl", "--task", "category", "--out", tmp_path / "out", "--engine", "scripted"]

    done = CliRunner().invoke(app, [str(part) for part in command])

    assert done.exit_code == 0, done.output
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tag", "none.jsonl", "--task", "category", "--out", "out"], "no such file"),
        (["tag", "none.jsonl", "--task", "nothing", "--out", "out"], "no task 'nothing'"),
        (["tag", "none.jsonl", "--task", "keyword", "--out", "out"], "is 'keywords' meant?"),
        (["check", "no-such-folder"], "no task 'no-such-folder'"),
        (["demo", "--engine", "warp"], "no engine 'warp'"),
        (["demo", "--engine", "http"], "expected NAME@URL"),
        (["demo", "--engine", "http", "--model", "m@http://127.0.0.1:9/v1"], "no server answers"),
        (["tag", "x.jsonl", "--task", "category", "--out", "out", "--map", "title"], "expected COLUMN=NAME"),
    ],
)
def test_a_mistake_is_one_message_without_a_stack_trace(arguments: list[str], message: str) -> None:
    done = tagger(*arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_where_a_folder_is_wanted_is_told(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"title": "tea"}\n', "utf-8")

    done = tagger("tag", source, "--task", "category", "--engine", "scripted", "--out", source)

    assert done.returncode == 2
    assert "in.jsonl: a file is there, and tags go into a folder" in done.stderr.replace("\n", " ")


def test_a_hub_that_is_out_of_reach_is_said_in_one_message() -> None:
    done = tagger("demo", "--engine", "transformers", "--model", "nobody/nothing-at-all")

    assert done.returncode == 2
    assert "nobody/nothing-at-all" in done.stderr
    assert "Traceback" not in done.stderr


def test_lists_name_tasks_models_and_engines() -> None:
    assert "zh_category" in tagger("check").stdout
    assert "smollm2-135m-instruct" in tagger("models").stdout
    assert "scripted" in tagger("engines").stdout


def test_the_demo_shows_products_and_where_the_output_lies(tmp_path: Path) -> None:
    done = tagger("demo", "--engine", "scripted", "--out", tmp_path)

    assert done.returncode == 0, done.stderr
    assert "50 of 50 products tagged" in done.stdout
    assert len((tmp_path / "tags.jsonl").read_text("utf-8").splitlines()) == 80


def test_training_rows_are_written(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"title": "Sencha", "labels": {"category": "Tea"}}\n', "utf-8")

    done = tagger(
        "rows", "category", "--data", tmp_path / "in.jsonl", "--out", tmp_path / "rows.jsonl", module="finetune"
    )

    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "rows.jsonl").read_text("utf-8"))
    assert (row["messages"][-1]["content"], row["completion"]) == ("Sencha", "Tea")


def test_a_run_that_is_interrupted_says_how_to_go_on_and_where_it_is(tmp_path: Path) -> None:
    rows = [json.dumps({"title": f"tea no {i}"}) for i in range(200_000)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows), "utf-8")
    command = [sys.executable, "-m", "tagger", "tag", str(tmp_path / "in.jsonl"), "--task", "category",
               "--out", str(tmp_path / "out"), "--engine", "scripted"]  # fmt: skip

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "out" / "tags-00000.jsonl").is_file():
        time.sleep(0.1)
    running = tagger("status", tmp_path / "out")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    stopped = tagger("status", tmp_path / "out")

    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "running" in running.stdout
    assert "stopped" in stopped.stdout
    assert "of about 199,999" in stopped.stdout


def test_what_was_rejected_is_asked_again_on_request(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"title": "tea"}\n{"title": "coffee"}\n{"title": ""}\n', "utf-8")
    tagger("tag", tmp_path / "in.jsonl", "--task", "category", "--out", tmp_path / "out", "--engine", "scripted")
    with sqlite3.connect(tmp_path / "out" / "_answers.sqlite") as file:  # as if the model had not come to an end
        file.execute("UPDATE answers SET outcome = 'rejected' WHERE answer LIKE '%tea%' OR rowid = 1")

    again = tagger("retry", tmp_path / "out", "--rejected")
    nothing = tagger("retry", tmp_path / "out")

    assert again.returncode == 0, again.stderr
    assert "1 records asked" in again.stdout
    assert "0 records asked" in nothing.stdout
    assert tagger("retry", tmp_path / "none").returncode == 2


def test_files_that_another_format_leaves_behind_are_removed_and_named(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"title": "tea"}\n', "utf-8")
    command = ("tag", tmp_path / "in.jsonl", "--task", "category", "--out", tmp_path / "out", "--engine", "scripted")

    first, second = tagger(*command), tagger(*command, "--format", "csv")

    assert "removed" not in first.stderr
    assert "removed, of an earlier run into this folder: tags-00000.jsonl" in second.stderr
    assert [path.name for path in (tmp_path / "out").glob("tags-*")] == ["tags-00000.csv"]
    assert "0 records asked" in second.stdout


def test_a_file_of_which_nothing_can_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes('{"title": "绿茶"}\n'.encode("gbk") * 3)

    done = tagger("tag", tmp_path / "in.jsonl", "--task", "category", "--out", tmp_path / "out", "--engine", "scripted")

    assert done.returncode == 1
    assert "3 rejected, the first: row 1: invalid UTF-8 at byte" in done.stderr
    assert done.stderr.count("iconv -f GB18030 -t UTF-8") == 1
    assert "no row was tagged" in done.stderr


@pytest.mark.parametrize(
    ("completion", "code", "told"),
    [
        (Completion("Tea", "stop", masses={"Tea": 0.4, "Coffee": 0.3, "Lure": 0.3}), 0, "category: 2 of 2 labels have"),
        (Completion("Tea", "stop", masses={"Tea": 0.9, "Coffee": 0.1}), 0, "1 rejected, the first: row 3"),
        (Completion("no server", "error"), 1, "2 failed, the first: the engine could not answer: no server"),
    ],
    ids=["unlikely", "likely", "failed"],
)
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_the_end_of_a_run_says_what_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, completion: Completion, code: int, told: str, form: str
) -> None:
    (tmp_path / "in.jsonl").write_text('{"title": "tyre"}\n{"title": "rug"}\n{"title": ""}\n', "utf-8")
    task = load_task("category")
    plan = task.plan.model_copy(update={"shots": task.plan.shots.model_copy(update={"prior": 0})})
    found = Tagger(replace(task, plan=plan), engine=FixedEngine(completion))
    monkeypatch.setattr("tagger.cli_bulk._opened", lambda *_: (found, None))
    command = [
        "tag",
        str(tmp_path / "in.jsonl"),
        "--task",
        "category",
        "--out",
        str(tmp_path / "out"),
        "--format",
        form,
    ]

    done = CliRunner().invoke(app, command)

    assert done.exit_code == code, done.output
    assert told in done.stderr
    assert ("have a probability below 0.5" in done.stderr) == ("labels" in told)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_the_most_frequent_reasons_of_rejections_are_told_with_their_counts(tmp_path: Path, form: str) -> None:
    rows = [{"id": f"{n % 10}", "title": "tea"} for n in range(15)] + [{"id": f"x{n}", "title": ""} for n in range(7)]
    rows += [{"id": f"y{n}", "title": "x" * (5000 + n)} for n in range(3)] + [{"id": "z", "title": "nul \0"}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")

    command = ("tag", tmp_path / "in.jsonl", "--task", "category", "--out", tmp_path / "out", "--engine", "scripted")
    told = [line for line in tagger(*command, "--format", form).stderr.splitlines() if "rejected, the first" in line]

    assert [line.split(" rejected, the first: ") for line in told] == [
        ["7", "row 16, column 'title': the text is empty"],
        ["5", "row 11: id '0' stands already on an earlier row"],
        ["3", "row 23, column 'title': text of 5,000 characters; at most 4,000 are read"],
    ]
