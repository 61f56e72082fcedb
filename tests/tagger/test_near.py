"""Duplicates share an answer; records that are nearly the same do, where nothing of it is the other's alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tagger import ScriptedEngine, Tagger
from tagger.run import tag_file
from tagger.task import load_task
from tests.tagger.test_run import lines, tagged


def test_a_record_that_changes_takes_back_what_it_has_handed_on(tmp_path: Path) -> None:
    tea = "Golden Mountain premium loose leaf black tea from the high hills, resealable tin"
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    tagger = Tagger("category", engine=ScriptedEngine(lambda p: "Tea" if "tea" in p.record else "Coffee"))
    found = []
    for first in (tea, "Espresso machine"):
        rows = [{"id": str(n), "title": title} for n, title in enumerate((first, "Roasted coffee beans", tea + "s"))]
        source.write_text("\n".join(map(json.dumps, rows)), "utf-8")
        tag_file(tagger, source, out, near=0.8, shard=2)
        found.append([(line["tags"]["category"]["value"], line.get("same_as")) for line in lines(out)])

    assert found == [
        [("Tea", None), ("Coffee", None), ("Tea", "0")],
        [("Coffee", None), ("Coffee", None), ("Tea", None)],
    ]


@pytest.mark.parametrize("near", [None, 0.8, 1.0])
def test_of_duplicates_one_is_asked(tmp_path: Path, near: float | None) -> None:
    draw = random.Random(0)
    titles = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz ", k=60)) for _ in range(60)]
    again = [title if near is None else title.upper() + "!" * (near < 1) for title in titles[:40]]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"title": t}) for t in titles + again), "utf-8")

    done = tagged(tmp_path / "in.jsonl", tmp_path / "out", near=near)

    assert (done.asked, done.outcomes) == (60, {"tagged": 100})


def test_a_near_duplicate_takes_the_answer_but_no_text_that_it_lacks(tmp_path: Path) -> None:
    rows = [
        "Acme Bottle, stainless steel, vacuum insulated, for hiking and camping, with cup and strap, 500 ml",
        "ACME bottle: stainless steel, vacuum insulated, for hiking and camping, with cup and strap, 500 ml",
        "Acmo Bottle, stainless steel, vacuum insulated, for hiking and camping, with cup and strap, 500 ml",
        "Acme Bottle, stainless steel, vacuum insulated, for hiking and camping, with cup and strap, 750 ml",
    ]
    lines_in = [json.dumps({"id": str(i), "category": "Bottle", "title": title}) for i, title in enumerate(rows)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines_in), "utf-8")
    task = load_task("attributes")
    (group,) = [g for g in task.definition.when.fields if "Brand" in " ".join(task.definition.when.fields[g])][:1]
    name = next(n for n in task.definition.when.fields[group] if "Brand" in n)
    (tmp_path / "in.jsonl").write_text("\n".join(lines_in).replace('"Bottle"', json.dumps(group)), "utf-8")
    engine = ScriptedEngine(lambda prompt: json.dumps({name: "Acme" if "Acme" in prompt.record else "Acmo"}))

    done = tag_file(Tagger(task, engine=engine), tmp_path / "in.jsonl", tmp_path / "out", near=0.7)

    found = lines(tmp_path / "out")
    assert done.asked == 3
    assert [line.get("same_as") for line in found] == [None, "0", None, None]
    assert found[1]["tags"][name]["evidence"] == {"column": "title", "start": 0, "end": 4, "text": "ACME"}
    assert found[2]["tags"][name]["value"] == "Acmo"


TRAITS = """
about = "goods"
[columns.title]
[fields.brand]
kind = "text"
[fields.pieces]
kind = "number"
"""


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ("Acme bottle with cup and strap, two pack", "Acme bottle with cup and strap, ten pack", {"pieces": 2}),
        (
            "Acme bottle with cup and strap, 2 by 6",
            "Acme bottle with cup and strap, 6 by 2",
            {"brand": "Acme"},
        ),
        ("Acme bottle with cup and strap", "Acmo bottle with cup and strap", {"brand": "Acme"}),
    ],
)
def test_what_only_the_other_record_says_is_not_handed_on(
    tmp_path: Path, first: str, second: str, answer: dict[str, Any]
) -> None:
    (tmp_path / "goods").mkdir()
    (tmp_path / "goods" / "task.toml").write_text(TRAITS, "utf-8")
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"title": title}) for title in (first, second)), "utf-8")
    tagger = Tagger(str(tmp_path / "goods"), engine=ScriptedEngine(lambda _: json.dumps(answer)))

    done = tag_file(tagger, tmp_path / "in.jsonl", tmp_path / "out", near=0.5)

    assert done.asked == 2
    assert [line.get("same_as") for line in lines(tmp_path / "out")] == [None, None]
