"""A shortlist narrows what may be answered, in the prompt and in the constraint alike."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest

from tagger import ScriptedEngine, Tagger
from tagger.ask import short_names
from tagger.errors import TaskError
from tagger.example import Example
from tagger.record import Record
from tagger.shortlist import Shortlist
from tagger.task import load_task

LABELS = {"Green tea": "", "Black tea": "", "Fishing rod": "for angling", "Running shoes": ""}


def record(title: str) -> Record:
    return Record("1", {"title": title})


def test_labels_are_ranked_by_their_own_text_and_description() -> None:
    found = Shortlist(LABELS).candidates([record("telescopic rod for ANGLING"), record("green tea bags")], 2)

    assert found[0][0] == "Fishing rod"
    assert found[1][:2] == ("Green tea", "Black tea")


def test_labelled_rows_speak_for_their_labels() -> None:
    rows = [(record("Sencha loose leaf"), "Green tea"), (record("Assam loose leaf"), "Black tea")]

    assert Shortlist(LABELS, rows).candidates([record("Assam, loose leaf, 100 g")], 1) == [("Black tea",)]


def test_a_taxonomy_of_ten_thousand_leaves_is_ready_in_two_seconds() -> None:
    leaves = {f"Section {i % 97} > Shelf {i % 1009} > Thing number {i}": "" for i in range(10_000)}
    start = process_time()

    found = Shortlist(leaves).candidates([record("thing number 4711")], 20)

    assert process_time() - start < 2
    assert any(leaf.endswith("Thing number 4711") for leaf in found[0])


@pytest.fixture
def shop_with_shortlist(shop: Path) -> Path:
    (shop / "prompt.jinja").unlink()
    (shop / "plan.toml").write_text(
        '[[ask]]\nform = "label"\nfields = ["leaf"]\nshortlist = 1\n[[ask]]\nform = "json"\n', "utf-8"
    )
    return shop


def test_only_candidates_may_be_answered(shop_with_shortlist: Path) -> None:
    engine = ScriptedEngine(lambda prompt: '{"kind": "coffee"}' if prompt.record == "title: espresso" else "Coffee")
    pool = [
        Example(record(title), {"kind": kind, "leaf": leaf})
        for title, kind, leaf in (("green tea", "tea", "Food > Tea"), ("espresso beans", "coffee", "Food > Coffee"))
    ]

    tagging = Tagger(shop_with_shortlist, engine=engine, shots=pool).tag({"title": "espresso"})

    asked = engine.history[0]
    assert asked.constraint.choices == ("Coffee",)
    assert asked.prompt.record.endswith("candidates: Coffee")
    assert asked.prompt.shots[-1][1] == "Coffee"
    assert "Food > Tea" not in asked.prompt.head.instruction
    assert tagging.value("leaf") == "Food > Coffee"


def test_candidates_are_called_by_as_little_as_tells_them_apart() -> None:
    paths = ["Food > Tea", "Drinks > Hot > Tea", "Drinks > Cold > Tea", "Food > Rice", "Tea"]

    assert short_names(paths) == {
        "Food > Tea": "Food > Tea",
        "Hot > Tea": "Drinks > Hot > Tea",
        "Cold > Tea": "Drinks > Cold > Tea",
        "Rice": "Food > Rice",
        "Tea": "Tea",
    }


def test_a_shortlist_needs_the_label_form(shop: Path) -> None:
    (shop / "plan.toml").write_text('[[ask]]\nform = "json"\nshortlist = 5\n', "utf-8")

    with pytest.raises(TaskError, match="takes no shortlist"):
        load_task(shop)
