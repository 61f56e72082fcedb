"""Train rows are multiplied so that they stay true, and too few of them are refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from finetune.augment import MOST_REPEATS, balanced, changed, refuse_few
from tagger.definition import Definition
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Column, Record
from tagger.schema import LabelField, TextField
from tagger.task import Task


def test_rarer_labels_are_repeated(goods: Task, labelled_goods: list[Example]) -> None:
    drinks = [e for e in labelled_goods if e.answer["kind"] == "drink"]
    wear = [e for e in labelled_goods if e.answer["kind"] == "wear"]

    counted = Counter(e.answer["kind"] for e in balanced([*drinks, *wear[:10]], goods))
    few = Counter(e.record.id for e in balanced([*drinks, *wear[:2]], goods))

    assert counted == {"drink": 24, "wear": 24}
    assert few[wear[0].record.id] == MOST_REPEATS


@pytest.fixture
def parts() -> Task:
    fields = {"colour": TextField(verbatim=True), "use": LabelField(labels={"home": "", "office": ""})}
    return Task.define("parts", Definition(about="?", columns={"title": Column()}, fields=fields))


def test_a_changed_copy_teaches_what_stands_in_it(parts: Task) -> None:
    row = Example(Record("1", {"title": "Desk Lamp, Sky Blue"}), {"colour": "Sky Blue", "use": "home"})

    plain, lower = changed([row], ["lower"], 0, parts)

    assert plain == row
    assert lower.record.id == "1~lower"
    assert lower.record.values["title"] == "desk lamp, sky blue"
    assert lower.answer == {"colour": "sky blue", "use": "home"}


def test_a_copy_that_tore_its_label_apart_is_left_out(parts: Task) -> None:
    rows = [
        Example(Record(str(n), {"title": f"Lamp {n} in Sky Blue for desks and halls"}), {"colour": "Sky Blue"})
        for n in range(20)
    ]

    copies = changed(rows, ["order"], 0, parts)[20:]

    assert len(copies) < 20
    assert all(e.answer["colour"] in e.record.values["title"] for e in copies)


def test_only_one_closed_field_can_be_balanced(parts: Task) -> None:
    with pytest.raises(SourceError, match="classes to balance"):
        balanced([Example(Record("1", {"title": "a"}), {"use": "home"})], parts)


def test_too_few_rows_of_a_label_are_refused(goods: Task, labelled_goods: list[Example]) -> None:
    drinks = [e for e in labelled_goods if e.answer["kind"] == "drink"]
    one = replace(drinks[0], answer={"kind": "wear"})

    with pytest.raises(SourceError, match=r"fewer than 2 train rows of 'wear' \(1\)"):
        refuse_few([*drinks[1:], one], goods, 2)
    refuse_few([*drinks[1:], one], goods, 1)
