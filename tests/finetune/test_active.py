"""What is picked for labelling is doubtful and varied; what labels itself is sure, and never judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.sets import refuse_leaks
from finetune.active import read_tags, worth_labelling
from finetune.pseudo import pseudo_rows, refuse_unfit
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Record, Rejected
from tagger.task import Task


def line(name: str, value: str, p: float, outcome: str = "tagged", **more: Any) -> dict[str, Any]:
    return {"id": name, "outcome": outcome, "tags": {"kind": {"value": value, "probability": p, **more}}}


def rows(*titles: str) -> list[Record | Rejected]:
    return [Record(title, {"title": title}) for title in titles]


def test_the_doubtful_come_first_and_are_unlike_each_other() -> None:
    teas, shoes = [f"green tea {n}" for n in range(30)], [f"running shoe {n}" for n in range(6)]
    tags = {name: line(name, "drink", 0.5) for name in teas} | {name: line(name, "wear", 0.52) for name in shoes}
    tags["sure"] = line("sure", "drink", 0.999)

    found = worth_labelling(rows(*teas, *shoes, "sure"), tags, 4)

    assert len(found) == 4
    assert {"tea", "shoe"} <= {w.record.id.split()[1] for w in found if w.record.id != "sure"}
    assert found[0].guess == {"kind": "drink"}
    assert len(worth_labelling(rows(*teas, *shoes, "sure"), tags, 100)) == 37


def test_a_second_opinion_and_an_abstention_count() -> None:
    tags = {
        "a": line("a", "drink", 0.9),
        "b": line("b", "drink", 0.9),
        "c": {"id": "c", "outcome": "rejected", "tags": {}},
    }
    other = {**tags, "b": line("b", "wear", 0.9)}
    withheld = {"value": None, "abstained": True, "alternatives": [{"value": "wear", "probability": 0.4}]}
    tags["d"] = {"id": "d", "outcome": "abstained", "tags": {"kind": {**withheld, "probability": 0.4}}}
    other["d"] = tags["d"]

    found = worth_labelling([*rows("a", "b", "c", "d"), Rejected("e", "no title", "row 5")], tags, 4, other=other)

    assert [(w.record.id, round(w.worth, 6)) for w in found] == [("b", 1.1), ("c", 1.0), ("d", 0.6), ("a", 0.1)]
    assert found[2].guess == {"kind": "wear"}
    with pytest.raises(SourceError, match="no tags for row 'f'"):
        worth_labelling(rows("f"), tags, 1)


def test_only_sure_calibrated_answers_label_themselves(goods: Task, tmp_path: Path) -> None:
    tags = {"a": line("a", "drink", 0.97), "b": line("b", "wear", 0.9), "c": line("c", "wear", 0.99, "rejected")}

    lines = list(pseudo_rows([*rows("a", "b", "c"), Rejected("d", "", "")], tags, 0.95))
    path = tmp_path / "pseudo.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")
    (row,) = goods.read_examples(path)

    assert row == Example(Record("a", {"title": "a"}), {"kind": "drink"}, pseudo=True)
    with pytest.raises(SourceError, match="1 judged rows have pseudo-labels"):
        refuse_leaks([row], [])
    refuse_leaks([], [row])


def test_what_a_rule_has_reworded_trains_nobody() -> None:
    tags = {"a": line("a", "drink", 0.97), "b": line("b", "drink", 0.97)}
    tags["b"]["tags"]["kind"]["corrections"] = [{"rule": "synonyms.kind", "before": "beverage", "after": "drink"}]

    assert [one["record"]["id"] for one in pseudo_rows(rows("a", "b"), tags, 0.95)] == ["a"]


def test_uncalibrated_tags_and_those_of_another_version_are_refused(goods: Task, tmp_path: Path) -> None:
    def made(**facts: str) -> None:
        (tmp_path / "_manifest.json").write_text(json.dumps({"task_version": goods.version, **facts}), "utf-8")

    with pytest.raises(SourceError, match="no finished run"):
        refuse_unfit(tmp_path, goods)
    with pytest.raises(SourceError, match="no tags in JSONL"):
        read_tags(tmp_path, "goods")
    made(plan="abc+123")
    with pytest.raises(SourceError, match="not calibrated"):
        refuse_unfit(tmp_path, goods)
    made(plan="abc+123~9", task_version="0")
    with pytest.raises(SourceError, match="of version 0 of the task"):
        refuse_unfit(tmp_path, goods)
    made(plan="abc+123~9")
    refuse_unfit(tmp_path, goods)
