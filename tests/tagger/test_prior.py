"""What labelled rows say by themselves, and how it joins what the model says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tagger import ScriptedEngine, Tagger
from tagger.example import Example
from tagger.plan import Shots
from tagger.prior import MOST_UNSEEN, RowPrior, combine
from tagger.record import Record
from tagger.task import Task

TITLES = {
    "Tea": ["green tea bags", "black tea leaves", "herbal tea 20 bags"],
    "Coffee": ["ground coffee dark roast", "coffee beans 1 kg", "instant coffee"],
}
ROWS = [(Record(title, {"title": title}), label) for label, titles in TITLES.items() for title in titles]


def prior(*extra: str) -> RowPrior:
    return RowPrior(ROWS, [*TITLES, *extra])


def shares(of: RowPrior, title: str) -> dict[str, float]:
    return of.shares([Record("x", {"title": title})])[0]


@pytest.mark.parametrize(("title", "label"), [("white TEA bags", "Tea"), ("roast coffee", "Coffee")])
def test_the_rows_know_their_labels(title: str, label: str) -> None:
    found = shares(prior(), title)

    assert found[label] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_a_label_without_a_row_keeps_a_chance() -> None:
    found = shares(prior("Soup"), "green tea bags")

    assert 0 < found["Soup"] < 0.01


def test_rows_that_are_all_of_different_labels_leave_much_to_the_others() -> None:
    one_each = RowPrior([ROWS[0], ROWS[3]], ["Tea", "Coffee", "Soup", "Rice"])

    found = shares(one_each, "green tea bags")

    assert found["Soup"] == pytest.approx(MOST_UNSEEN / 4)


def test_rows_of_one_label_alone_say_only_that_it_occurs() -> None:
    found = shares(RowPrior([ROWS[0]], ["Tea", "Coffee"]), "coffee")

    assert found["Tea"] > found["Coffee"] > 0


def test_no_records_give_no_shares() -> None:
    assert prior().shares([]) == []


def test_combine_is_the_normalised_product() -> None:
    found = combine({"a": 0.6, "b": 0.4}, {"a": 0.2, "b": 0.8}, 1.0)

    assert found == pytest.approx({"a": 0.12 / 0.44, "b": 0.32 / 0.44})
    assert combine({"a": 0.6, "b": 0.4}, {"a": 0.2, "b": 0.8}, 0.0) == pytest.approx({"a": 0.6, "b": 0.4})


POOL = [Example(record, {"category": label}) for record, label in ROWS]


WAVERING = ScriptedEngine(lambda prompt: {"Coffee": 0.55, "Tea": 0.45})


def without_rows(task: Task) -> Task:
    return replace(task, plan=task.plan.model_copy(update={"shots": Shots(prior=0)}))


def test_rows_that_are_sure_outvote_a_wavering_model() -> None:
    tagging = Tagger("category", engine=WAVERING, shots=POOL).tag({"title": "green tea 20 bags"})

    assert tagging.value("category") == "Tea"
    assert tagging.tags["category"].probability > 0.8
    assert tagging.tags["category"].alternatives[0].value == "Coffee"


def test_without_a_pool_the_shipped_examples_and_descriptions_speak() -> None:
    tagging = Tagger("category", engine=WAVERING).tag({"title": "green tea, 20 bags"})

    assert tagging.value("category") == "Tea"


@pytest.mark.parametrize("shots", [POOL, None])
def test_a_plan_can_leave_the_rows_out(category: Task, shots: list[Example] | None) -> None:
    tagging = Tagger(without_rows(category), engine=WAVERING, shots=shots).tag({"title": "green tea"})

    assert tagging.value("category") == "Coffee"
    assert tagging.tags["category"].probability == pytest.approx(0.55)
