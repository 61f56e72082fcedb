"""Sets whose labels are not those of the task that is judged on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.sets import labelled_set, rows
from tagger.example import Example


def read(root: Path, name: str, lines: list[dict[str, object]]) -> list[Example]:
    (root / name).mkdir()
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (root / name / "dev.jsonl").write_text(text, "utf-8")
    task, found = labelled_set(name, root)
    return rows(task, found, root, "dev")


@pytest.mark.parametrize(("label", "score"), [("exact", 3), ("substitute", 2), ("complement", 1), ("irrelevant", 0)])
def test_a_label_of_esci_is_also_a_grade(tmp_path: Path, label: str, score: int) -> None:
    line = {"id": "1", "query": "desk lamp", "title": "Lamp", "brand": None, "labels": {"relevance": label}}

    (row,) = read(tmp_path, "esci-us", [line])

    assert row.answer == {"relevance": label, "score": score}


def test_a_match_contradicts_neither_an_exact_product_nor_a_substitute(tmp_path: Path) -> None:
    lines = [
        {"id": "1", "query": "台灯", "title": "护眼台灯", "labels": {"relevance": "match"}},
        {"id": "2", "query": "台灯", "title": "大米5kg", "labels": {"relevance": "not match"}},
    ]

    match, other = read(tmp_path, "multicpr-zh", lines)

    assert right(match) == (["exact", "substitute"], [2, 3])
    assert right(other) == (["complement", "irrelevant"], [0, 1])


def right(row: Example) -> tuple[list[str], list[int]]:
    labels = ("exact", "substitute", "complement", "irrelevant")
    return [x for x in labels if row.is_right("relevance", x)], [n for n in range(4) if row.is_right("score", n)]
