"""Committed records say what their predictions say when held against the labels again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

RESULTS = sorted((Path(__file__).parents[2] / "eval" / "results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_record_scores_as_it_says(path: Path, labelled: Path) -> None:
    record = json.loads(path.read_text("utf-8"))
    gold = {
        row["id"]: row["labels"]["category"]
        for name in ("ae-110k", "oa-mine")
        for row in map(json.loads, (labelled / name / "test.jsonl").read_text("utf-8").splitlines())
    }

    right = sum(row["values"].get("category") == gold[row["id"]] for row in record["rows"])

    assert right == record["outcomes"]["right"]
    assert len({row["id"] for row in record["rows"]}) == sum(record["outcomes"].values())
