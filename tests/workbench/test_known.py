"""Rows that were brought with right answers judge as a random sample of their file does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from eval.workbench.known import JUDGE, take_known
from eval.workbench.reviews import REVIEWS, Review, labelled, reviews
from tagger.task import load_task

TASK = "about = 'goods'\n[columns.title]\n[fields.kind]\nkind = 'label'\nlabels = ['coffee', 'shoes', 'tea']\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "goods" / "rows").mkdir(parents=True)
    (tmp_path / "goods" / "task.toml").write_text(TASK, "utf-8")
    return tmp_path / "goods"


def taken(folder: Path, rows: int) -> tuple[str, tuple[Review, ...]]:
    """What came of a file with so many rows of each label, one label after the other."""
    lines = [{"title": f"{label} {n}", "k": label} for label in ("coffee", "shoes", "tea") for n in range(rows)]
    (folder / "rows" / "june.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    (folder / REVIEWS).unlink(missing_ok=True)
    told = take_known(folder, "june", "k", "ann")
    return told, reviews(folder, load_task(folder)).valid


def test_of_a_file_that_is_sorted_by_answer_all_answers_judge(folder: Path) -> None:
    told, found = taken(folder, 250)

    judging = Counter(row.answer["kind"] for row in labelled(found, "dev"))
    assert told == "200 known answers judge, 550 may train"
    assert judging.total() == JUDGE
    assert {label: 45 < n < 90 for label, n in judging.items()} == dict.fromkeys(("coffee", "shoes", "tea"), True)
    assert len(labelled(found, "train")) == 550
    assert [review.record.values["title"] for review in found[:2]] == ["coffee 0", "coffee 1"]


def test_the_same_file_gives_the_same_rows_to_judge_on(folder: Path) -> None:
    first, second = ([(one.record.id, one.use) for one in taken(folder, 250)[1]] for _ in range(2))

    assert first == second


def test_of_a_short_file_all_rows_judge(folder: Path) -> None:
    told, found = taken(folder, 20)

    assert told == "60 known answers judge"
    assert {review.use for review in found} == {"dev"}
