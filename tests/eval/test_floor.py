"""The floors answer by their rules, and give on the public sets the figures that are noted with those."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eval.floor import CLASSIFIERS, STRENGTHS, Floor, field_floor, floor, linear_floor, lookup_floor
from eval.score import Verdict, counts
from eval.sets import labelled_set, refuse_leaks, rows
from tagger import Task
from tagger.definition import Definition, When
from tagger.errors import SettingsError, SourceError
from tagger.example import Example
from tagger.record import Column, Record
from tagger.schema import TextField
from tests.eval.conftest import example


@pytest.fixture
def wear() -> Task:
    """Hats and coats: a brand and a colour of each, and a size of a hat."""
    named = {"hat": ("brand", "colour", "size"), "coat": ("brand", "colour")}
    columns = {"title": Column(), "type": Column(allowed=tuple(named))}
    fields = {name: TextField() for name in named["hat"]}
    definition = Definition(about="wear", columns=columns, fields=fields, when=When(column="type", fields=named))
    return Task.define("wear", definition)


def row(title: str, kind: str = "hat", *, also: dict[str, tuple[str, ...]] | None = None, **answer: str) -> Example:
    return Example(Record(title, {"title": title, "type": kind}), answer, also or {})


def answers(found: Floor) -> dict[str, Any]:
    return {verdict.field: verdict.value for verdict in found.verdicts if verdict.value is not None}


@pytest.mark.parametrize(
    ("title", "known", "found"),
    [
        ("Acme Red cap", ["Acme", "Acme Red"], "Acme Red"),  # the longest
        ("ACME cap", ["Acme"], None),  # case counts
        ("Acmes cap", ["Acme"], None),  # whole words
        ("x_Acme cap", ["Acme"], None),
        ("cap,Acme.", ["Acme"], "Acme"),
        ("cap (50%)", ["(50%)"], "(50%)"),  # no pattern
        ("新款红帽子", ["红"], "红"),  # words of Chinese have no spaces around them
        ("Acme Bolt cap", ["Acme", "Bolt", "Bolt"], "Bolt"),  # the more frequent of one length
    ],
)
def test_the_longest_known_value_that_stands_in_the_text_is_the_answer(
    wear: Task, title: str, known: Sequence[str], found: str | None
) -> None:
    rows_known = [row(f"{n} {value}", brand=value) for n, value in enumerate(known)]

    assert answers(lookup_floor(wear, rows_known, [row(title)])).get("brand") == found


def test_values_are_known_by_field_and_by_group(wear: Task) -> None:
    known = [row("red Acme", brand="Acme"), row("red coat", "coat", colour="red"), row("hat", size="hat")]

    found = lookup_floor(wear, known, [row("red Acme 1"), row("red Acme 2", "coat")])

    # Neither the colour of coats for a hat, nor a size that stands in the column of types alone.
    assert [(v.id, v.field, v.value) for v in found.verdicts if v.value] == [
        ("red Acme 1", "brand", "Acme"),
        ("red Acme 2", "colour", "red"),
    ]
    assert len(found.verdicts) == 3 + 2


def test_look_ups_are_judged_like_a_run(wear: Task) -> None:
    known = [row("Acme red", brand="Acme", colour="red"), row("Bolt", brand="Acme", also={"brand": ("Bolt",)})]
    judged = [
        row("Acme red L", brand="Acme", size="L"),
        row("Bolt", brand="Bolt Ltd", also={"brand": ("Bolt",)}),
        row("Acme", brand="Other"),
    ]

    found = lookup_floor(wear, known, judged)

    kinds = [[v.kind for v in found.verdicts if v.id == e.record.id] for e in judged]
    assert kinds == [["right", "invented", "missing"], ["right", "absent", "absent"], ["wrong", "absent", "absent"]]
    assert all((v.p > 0) == (v.value is not None) for v in found.verdicts)


def test_a_value_is_as_probable_as_rows_bear_it_out(wear: Task) -> None:
    known = [row("red a", colour="red"), row("red b", colour="red"), row("red c", colour="dark red"), row("blue")]

    (verdict,) = [v for v in lookup_floor(wear, known, [row("red d")]).verdicts if v.field == "colour"]

    assert verdict.p == pytest.approx((2 + 0.5) / (3 + 1))


TRAIN = [example(f"{tea} tea", "Tea") for tea in ("green", "black", "mint")] + [
    example(f"{coffee} coffee", "Coffee") for coffee in ("dark", "mild", "iced")
]
DEV = [example("white tea", "Tea"), example("cold coffee", "Coffee")]


def test_the_linear_floor_takes_what_is_best_on_dev_rows() -> None:
    judged = [example("red tea", "Tea"), example("hot coffee", "Coffee"), example("fine coffee", "Tea")]

    found = linear_floor("category", TRAIN, DEV, judged)

    assert [v.kind for v in found.verdicts] == ["right", "right", "wrong"]
    assert all(0.5 < v.p < 1 for v in found.verdicts)
    assert len(found.tried) == len(CLASSIFIERS) * len(STRENGTHS)
    assert found.method == "LinearSVC, C = 1"  # of equals the library's default


def test_what_is_best_on_dev_rows_judges() -> None:
    """With few rows of one label a weak fit says the other one everywhere: right on these dev rows alone."""
    train = [*TRAIN[:4], *(example(f"{word} tea", "Tea") for word in ("red", "oolong", "white", "herbal"))]
    only_tea = [example(title, "Tea") for title in ("rare coffee", "dark coffee beans")]

    fair, skewed = (linear_floor("category", train, dev, DEV) for dev in (DEV, only_tea))

    assert fair.tried["LogisticRegression, C = 0.3"].value == 0.5
    assert fair.method == "LinearSVC, C = 1"
    assert skewed.tried["LinearSVC, C = 1"].value < 1
    assert skewed.method == next(name for name, figure in skewed.tried.items() if figure.value == 1)
    assert [v.value for v in fair.verdicts] == ["Tea", "Coffee"]
    assert [v.value for v in skewed.verdicts] == ["Tea", "Tea"]


@pytest.mark.parametrize(
    ("train", "dev", "judged", "message"),
    [
        (TRAIN[:3], DEV, DEV, "at least two values of 'category', found 1"),
        (TRAIN, [], DEV, "no labelled dev rows"),
        (TRAIN, DEV, [], "no labelled rows to judge on"),
    ],
)
def test_rows_that_give_no_floor_are_named(
    category: Task, train: list[Example], dev: list[Example], judged: list[Example], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        floor(category, train, dev, judged)


def test_a_look_up_without_rows_is_refused(wear: Task) -> None:
    with pytest.raises(SourceError, match="no labelled rows to look values up in"):
        floor(wear, [], [], [row("Acme")])


def test_a_task_that_has_no_floor_is_named(shop: Path) -> None:
    from tagger.task import load_task

    with pytest.raises(SettingsError, match="task 'shop' has no floor: 8 fields of kind boolean, label"):
        floor(load_task(shop), [], [], [])


def figures(found: list[Verdict]) -> tuple[float, ...]:
    """P, R and F1 by the published scoring, and strict F1, in per cent."""
    published, strict = counts(found, published=True), counts(found)
    return tuple(round(100 * value, 1) for value in (published.precision, published.recall, published.f1, strict.f1))


@pytest.mark.parametrize(
    ("name", "noted"), [("ae-110k", (75.5, 68.2, 71.7, 49.4)), ("oa-mine", (72.3, 50.9, 59.7, 57.0))]
)
def test_the_look_up_gives_the_figures_noted_with_the_sets(labelled: Path, name: str, noted: tuple[float, ...]) -> None:
    task, found = labelled_set(name, labelled)
    train, dev, test = (rows(task, found, labelled, split) for split in ("train", "dev", "test"))
    refuse_leaks(test, [*train, *dev])

    assert figures(lookup_floor(task, [*train, *dev], test).verdicts) == noted


def test_a_random_field_marks_values_that_it_has_not_seen(wear: Task) -> None:
    pairs = zip(("Acme", "Bolt", "Cora", "Dune", "Elm"), ("red", "blue", "red", "blue", "red"), strict=True)
    known = [row(f"{brand} {colour} cap", brand=brand, colour=colour) for brand, colour in pairs]

    found = field_floor(wear, known, [row("Fern red cap"), row("cap")])

    assert answers(found) == {"brand": "Fern", "colour": "red"}
    assert all(0.5 < v.p <= 1 for v in found.verdicts if v.value)


def test_the_better_of_look_up_and_random_field_judges(wear: Task) -> None:
    known = [row(f"{brand} cap", brand=brand) for brand in ("Acme", "Bolt", "Cora", "Dune", "Elm")]
    new, old = [row("Fern cap", brand="Fern")], [row("Acme cap", brand="Acme"), row("nice thing")]

    assert floor(wear, known, new, old).method == "conditional random field"
    assert floor(wear, known, new, old).tried["longest known value in the text"].value == 0


def test_the_linear_floor_gives_the_figure_of_the_readme(labelled: Path) -> None:
    task, found = labelled_set("category", labelled)
    train, dev, test = (rows(task, found, labelled, split) for split in ("train", "dev", "test"))
    refuse_leaks(test, [*train, *dev])

    best = floor(task, train, dev, test)

    assert best.method.startswith("LinearSVC")
    assert len(best.verdicts) == 1015
    assert 100 * counts(best.verdicts).recall == pytest.approx(99.3, abs=0.3)
