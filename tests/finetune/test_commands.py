"""The way that a person takes: from labelled rows to a task that names an adapter, and back, by commands alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tagger.example import Example
from tagger.task import load_task

pytest.importorskip("torch", reason="the extra [cpu] is not installed")
pytest.importorskip("peft", reason="the extra [finetune] is not installed")

TASK = """
about = "What is it?"
target = 0.95

[columns.title]

[fields.kind]
kind = "label"
labels = ["drink", "wear"]
"""
PLAN = """
[[ask]]
form = "label"
fields = ["kind"]

[shots]
prior = 0.0
"""
RECIPE = 'rank = 16\nrate = 0.001\nepochs = 6\npack = 4\npacks = 1\ndtype = "float32"\npatience = 50\n'


def command(*arguments: str | Path, module: str = "finetune") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    line = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=env, timeout=300)


@pytest.fixture
def place(tmp_path: Path, many: list[Example]) -> Path:
    """A task with its rows, as a user has them."""
    (tmp_path / "goods").mkdir()
    (tmp_path / "goods" / "task.toml").write_text(TASK, "utf-8")
    (tmp_path / "goods" / "plan.toml").write_text(PLAN, "utf-8")
    (tmp_path / "recipe.toml").write_text(RECIPE, "utf-8")
    for name, rows in (("train", many[:72]), ("dev", many[72:84]), ("test", many[84:])):
        lines = [json.dumps({"record": {"id": e.record.id, **e.record.values}, "answer": e.answer}) for e in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path


def gate(place: Path, model: Path, *more: str) -> subprocess.CompletedProcess[str]:
    files = [part for name in ("data", "dev", "test") for part in (f"--{name}", place / f"{name}.jsonl")]
    files[1] = place / "train.jsonl"
    return command(
        "gate", place / "goods", *files, "--out", place / "trial", "--model", model, "--recipe",
        place / "recipe.toml", *more,
    )  # fmt: skip


def test_from_rows_to_an_adapter_and_back(place: Path, tiny_model: Path) -> None:
    done = gate(place, tiny_model)

    assert done.returncode == 0, done.stderr
    assert "accepted: all checks passed" in done.stdout
    record = json.loads((place / "goods" / "decisions" / "0001.json").read_text("utf-8"))
    decision = record["decision"]
    assert (record["promoted"], decision["verdict"]) == (True, "accepted")
    assert decision["settings"]["rank"] == 16
    assert load_task(place / "goods").definition.adapter == str(place / "trial" / "adapter")
    assert "<svg" in (place / "trial" / "adapter" / "curves.svg").read_text("utf-8")

    titles = place / "titles.jsonl"
    titles.write_text('{"title": "fine green tea"}\n', "utf-8")
    tagged = command(
        "tag", titles, "--task", place / "goods", "--model", tiny_model, "--out", place / "tags", module="tagger"
    )  # fmt: skip
    assert tagged.returncode == 0, tagged.stderr
    manifest = json.loads((place / "tags" / "_manifest.json").read_text("utf-8"))
    assert manifest["adapter"].startswith("adapter@")

    merged = command("export", place / "trial" / "adapter", "--out", place / "merged")
    assert merged.returncode == 0, merged.stderr
    assert (place / "merged" / "config.json").is_file()

    back = command("rollback", place / "goods")
    assert back.returncode == 0, back.stderr
    assert (place / "goods" / "task.toml").read_text("utf-8") == TASK


def test_trying_changes_nothing(place: Path, tiny_model: Path) -> None:
    done = gate(place, tiny_model, "--try", "--adapter", str(place / "none"))

    assert done.returncode == 2
    assert "none" in done.stderr
    assert "Traceback" not in done.stderr
    assert (place / "goods" / "task.toml").read_text("utf-8") == TASK


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"balances": True}, "balances"),
        ({"four_bit": True}, "four_bit needs a CUDA GPU and bitsandbytes"),
    ],
)
def test_what_cannot_be_trained_is_said_plainly(
    change: dict[str, object], message: str, place: Path, tiny_model: Path
) -> None:
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in change.items()]
    (place / "recipe.toml").write_text("".join(lines), "utf-8")

    done = command(
        "run", place / "goods", "--data", place / "train.jsonl", "--dev", place / "dev.jsonl", "--out", place / "a",
        "--model", tiny_model, "--recipe", place / "recipe.toml",
    )  # fmt: skip

    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.model
def test_a_real_model_learns_in_a_few_steps(tmp_path: Path) -> None:
    """SmolLM2-135M on the shipped examples, which do not stand in its prompt: dev loss falls."""
    lines = ((load_task("category").folder or Path()) / "examples.jsonl").read_text("utf-8").splitlines()
    parts = {"train": lines[:24], "dev": lines[40:48]}
    for name, part in parts.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(part) + "\n", "utf-8")
    (tmp_path / "plan.toml").write_text('[[ask]]\nform = "label"\nfields = ["category"]\n[shots]\nfixed = 0\n', "utf-8")
    recipe = 'epochs = 2\nevaluations = 1\nleast = 0\nrate = 0.0005\npack = 16\npacks = 1\ndtype = "float32"\n'
    (tmp_path / "recipe.toml").write_text(recipe, "utf-8")
    files = [part for name in parts for part in (f"--{name}".replace("train", "data"), tmp_path / f"{name}.jsonl")]

    done = command(
        "run", "category", *files, "--plan", tmp_path / "plan.toml", "--recipe", tmp_path / "recipe.toml",
        "--model", "smollm2-135m-instruct", "--out", tmp_path / "adapter",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    history = json.loads((tmp_path / "adapter" / "history.json").read_text("utf-8"))
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert losses[-1] < 0.8 * losses[0]
