"""How much of a record's first text stands in the others, and what rows learn from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tagger import ScriptedEngine, Tagger
from tagger.definition import Definition
from tagger.errors import TaskError
from tagger.example import Example
from tagger.overlap import overlaps
from tagger.plan import Shots
from tagger.prior import RowPrior
from tagger.record import Column, Record
from tagger.schema import LabelField
from tagger.task import Task


def pair(query: str, title: str) -> Record:
    return Record(f"{query}/{title}", {"query": query, "title": title})


def test_shares_are_of_words_numbers_pieces_and_back() -> None:
    ((in_it, numbers, twos, threes, back),) = overlaps([pair("Red cup 25", "cup 20 RED blue")]).tolist()

    assert in_it == 2 / 3
    assert numbers == 0
    assert back == 2 / 4
    assert 0 < threes < twos < 1


def test_width_and_case_are_no_difference_and_chinese_words_are_found() -> None:
    same, none = overlaps([pair("ＴＥＡ 茶叶", "茶叶tea"), pair("茶叶", "手机")]).tolist()

    assert same[0] == same[4] == 1
    assert none == [0, 1, 0, 0, 0]  # of no numbers all are there, and two characters are a piece


ROWS = [
    (pair("red cup", "red cup 300 ml"), "exact"),
    (pair("desk lamp", "desk lamp for students"), "exact"),
    (pair("green tea", "green tea 20 bags"), "exact"),
    (pair("red cup", "garden hose"), "irrelevant"),
    (pair("desk lamp", "cat food"), "irrelevant"),
    (pair("green tea", "bicycle bell"), "irrelevant"),
]


def test_rows_that_compare_know_words_that_they_have_never_seen() -> None:
    prior = RowPrior(ROWS, ["exact", "irrelevant"], compared=True)

    same, other = prior.shares([pair("蓝色 雨伞", "蓝色 折叠 雨伞"), pair("蓝色 雨伞", "耳机")])

    assert same["exact"] > 0.6 > 0.4 > other["exact"]
    assert sum(same.values()) == pytest.approx(1)


def task(*columns: str) -> Task:
    fields = {"relevance": LabelField(labels=["exact", "irrelevant"])}
    made = Task.define("t", Definition(about="", columns={name: Column() for name in columns}, fields=fields))
    return replace(made, plan=made.plan.model_copy(update={"shots": Shots(compared=True, retrieved=0)}))


def test_a_plan_has_the_rows_compare() -> None:
    wavering = ScriptedEngine(lambda prompt: {"exact": 0.45, "irrelevant": 0.55})
    pool = [Example(record, {"relevance": label}) for record, label in ROWS]

    tagger = Tagger(task("query", "title"), engine=wavering, shots=pool)

    assert tagger.tag({"query": "wool hat", "title": "wool hat, warm"}).value("relevance") == "exact"
    assert tagger.tag({"query": "wool hat", "title": "usb stick"}).value("relevance") == "irrelevant"


def test_one_text_has_nothing_to_be_compared_with() -> None:
    pool = [Example(Record("1", {"title": "red cup"}), {"relevance": "exact"})]

    with pytest.raises(TaskError, match="no two texts"):
        Tagger(task("title"), engine=ScriptedEngine(), shots=pool)
