"""Every shipped task that brings labelled rows along is whole: its rows fit it, and its README says how right it is."""

from __future__ import annotations

import re

import pytest

from tagger.example import Example
from tagger.likeness import plain_text
from tagger.schema import takes_several
from tagger.task import Task, load_task, prompts_folder, task_names

READY = [name for name in task_names() if (prompts_folder() / name / "sample").is_dir()]
LEAST = 50


@pytest.fixture(params=READY)
def task(request: pytest.FixtureRequest) -> Task:
    return load_task(request.param)


def sample(task: Task, split: str) -> list[Example]:
    return task.read_examples(prompts_folder() / task.id / "sample" / f"{split}.jsonl")


def texts(rows: list[Example]) -> list[str]:
    return [plain_text(row.record) for row in rows]


def test_the_sample_has_enough_rows_of_both_splits(task: Task) -> None:
    dev, test = sample(task, "dev"), sample(task, "test")

    assert len(dev) + len(test) >= LEAST
    assert min(len(dev), len(test)) >= LEAST // 3


def test_no_row_is_there_twice_or_shown_to_the_model(task: Task) -> None:
    rows = [*sample(task, "dev"), *sample(task, "test")]
    seen = texts(rows)

    assert len(set(seen)) == len(seen)
    assert len({row.record.id for row in rows}) == len(rows)
    assert not set(seen) & set(texts(list(task.examples)))


def test_every_label_occurs_in_the_sample(task: Task) -> None:
    rows = [*sample(task, "dev"), *sample(task, "test")]
    for name, field in task.fields.items():
        labels = set(getattr(field, "labels", ()))
        said = [row.answer[name] for row in rows if name in row.answer]
        found = {label for value in said for label in (value if takes_several(field) else [value])} if labels else set()
        assert labels <= found, f"{name}: no row for {', '.join(sorted(labels - found))}"


def test_the_readme_gives_figures(task: Task) -> None:
    readme = (prompts_folder() / task.id / "README.md").read_text("utf-8")

    assert f"{task.id}.sample" in readme
    assert re.search(r"\d\d?\.\d \[\d\d?\.\d, \d\d?\d?\.\d\]", readme), "a figure with its interval: 93.5 [89.2, 96.2]"
