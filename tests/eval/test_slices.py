"""Rows fall into the slices that their text and label say, and doubtful labels reach a reviewer whole."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from eval.figures import share
from eval.record import Run
from eval.score import Kind, Verdict, verdicts
from eval.slices import (
    Confusion,
    Suspect,
    confusions,
    print_slices,
    sliced,
    slices,
    suspects,
    task_figure,
    write_suspects,
)
from tagger import Task
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Record
from tagger.task import load_task
from tests.eval.conftest import ROWS


def verdict(
    row: str,
    kind: Kind,
    gold: Any = "Tea",
    value: Any = "Tea",
    p: float = 0.5,
    field: str = "category",
    looked: bool = True,
) -> Verdict:
    return Verdict(row, field, gold, value, p, kind, looked)


def labelled(row: str, title: str, label: str = "Tea") -> Example:
    return Example(Record(row, {"title": title}), {"category": label})


def listing(row: str, group: str, answer: dict[str, str], also: dict[str, tuple[str, ...]] | None = None) -> Example:
    return Example(Record(row, {"title": "x" * int(row), "category": group}), answer, also or {})


def members(found: dict[str, list[Verdict]]) -> dict[str, list[str]]:
    return {name: [v.id for v in part] for name, part in found.items()}


def test_a_run_is_sliced_by_language_category_and_length(category: Task, tea_run: Run) -> None:
    judged = verdicts(tea_run, ROWS, {row.record.id: ("category",) for row in ROWS})

    found = {part.name: part for part in slices(judged, ROWS, category, [])}

    assert list(found) == [
        "language: English",
        "category: Coffee",
        "category: Tea",
        "length: long, over 7 characters",
        "length: medium, 6 to 7 characters",
        "length: short, up to 5 characters",
    ]
    assert [v.id for v in found["category: Coffee"].verdicts] == ["tea cup", "mocha"]
    assert found["category: Coffee"].figure == share(1, 2)
    assert found["category: Tea"].figure == share(1, 2)  # right and rejected
    assert [v.id for v in found["length: short, up to 5 characters"].verdicts] == ["mocha", "soup"]


@pytest.mark.parametrize(
    ("title", "language"),
    [("Sencha Tea", "English"), ("立顿 Lipton tea bags", "Chinese"), ("Café №5 ★", "English"), ("𠮷野家", "Chinese")],
)
def test_one_chinese_character_makes_a_text_chinese(title: str, language: str, category: Task) -> None:
    found = sliced([verdict("1", "right")], [labelled("1", title)], category, [])

    assert next(iter(found)) == f"language: {language}"


def test_thirds_hold_equal_lengths_together(category: Task) -> None:
    rows = [labelled(str(i), "x" * length) for i, length in enumerate([3, 3, 3, 3, 8, 9])]

    found = members(sliced([verdict(row.record.id, "right") for row in rows], rows, category, []))

    assert found["length: short, up to 3 characters"] == ["0", "1", "2", "3"]
    assert found["length: long, over 3 characters"] == ["4", "5"]
    assert not [name for name in found if "medium" in name]


def test_seen_values_and_the_long_tail_are_counted_in_train_rows(category: Task) -> None:
    train = [labelled(str(i), "t", label) for i, label in enumerate(["Tea"] * 5 + ["Coffee"] * 4)]
    rows = [labelled("a", "x", "Tea"), labelled("b", "x", "Coffee"), labelled("c", "x", "Guitar")]
    judged = [verdict(row.record.id, "right", row.answer["category"]) for row in rows]

    found = members(sliced(judged, rows, category, train))

    assert found["value: seen in train rows"] == ["a", "b"]
    assert found["value: not seen in train rows"] == ["c"]
    assert found["train rows of the value: 5 or more"] == ["a"]
    assert found["train rows of the value: fewer than 5"] == ["b", "c"]
    assert not [name for name in sliced(judged, rows, category, []) if "train" in name]


def test_attributes_are_sliced_by_group_and_by_value() -> None:
    task = load_task("attributes")
    train = [listing("1", "Tea", {"Brand": "Lipton"})]
    rows = [listing("2", "Tea", {"Brand": "Lipton", "Flavor": "Lipton"}), listing("9", "Coffee", {"Brand": "Illy"})]
    judged = [
        verdict("2", "right", "Lipton", "Lipton", field="Brand"),
        verdict("2", "wrong", "Lipton", "Mint", field="Flavor"),
        verdict("2", "invented", None, "Bag", field="Item form"),
        verdict("9", "missing", "Illy", None, field="Brand"),
    ]

    found = {part.name: part for part in slices(judged, rows, task, train)}

    assert [v.field for v in found["category: Tea"].verdicts] == ["Brand", "Flavor", "Item form"]
    assert found["category: Tea"].figure.value == pytest.approx(2 * 1 / (3 + 2))  # strict micro F1: the invented counts
    assert found["value: seen in train rows"].figure.value == 1
    # Lipton is a brand of the train rows, not a flavour; the value that the row does not have is in neither slice.
    assert [(v.id, v.field) for v in found["value: not seen in train rows"].verdicts] == [
        ("2", "Flavor"),
        ("9", "Brand"),
    ]
    assert "length: short, up to 2 characters" in found  # the product type is not text


def test_slices_do_not_depend_on_what_was_answered() -> None:
    task = load_task("attributes")
    rows = [listing("1", "Tea", {"Brand": "Lipton"}, {"Brand": ("Lipton Yellow",)})]
    train = [listing("2", "Tea", {"Brand": "Lipton Yellow"})]
    first = verdict("1", "right", "Lipton", "Lipton", field="Brand")
    second = verdict("1", "right", "Lipton Yellow", "Lipton Yellow", field="Brand")

    assert list(sliced([first], rows, task, train)) == list(sliced([second], rows, task, train))
    assert "value: seen in train rows" in sliced([first], rows, task, train)


def test_rightly_no_value_is_right_and_an_abstention_is_not(category: Task) -> None:
    judged = [verdict("1", "absent", None, None), verdict("2", "abstained"), verdict("3", "right")]

    assert task_figure(judged, category) == share(2, 3)


def test_a_figure_of_nothing_is_refused(category: Task) -> None:
    with pytest.raises(SourceError, match="no verdicts"):
        task_figure([], category)


def test_confusions_are_counted_and_sorted() -> None:
    judged = [
        verdict("1", "wrong", "Tea", "Soup"),
        verdict("2", "wrong", "Tea", "Coffee"),
        verdict("3", "wrong", "Tea", "Soup"),
        verdict("4", "wrong", {"value": 1, "unit": "l"}, ["a"], field="volume"),
        verdict("5", "invented", None, "Soup"),
        verdict("6", "abstained", "Tea", "Soup"),
    ]

    assert confusions(judged) == [
        Confusion("category", "Tea", "Soup", 2),
        Confusion("category", "Tea", "Coffee", 1),
        Confusion("volume", "1 l", '["a"]', 1),
    ]


def test_labels_that_a_sure_answer_contradicts_are_suspects(category: Task) -> None:
    rows = [labelled(str(i), f"title {i}") for i in range(5)]
    judged = [
        verdict("0", "wrong", "Tea", "Soup", 0.6),
        verdict("1", "wrong", "Tea", "Coffee", 0.99),
        verdict("2", "right", p=1.0),
        verdict("3", "abstained", "Tea", "Soup", 0.95),
        verdict("4", "invented", None, "Soup", 0.97),
        verdict("4", "invented", None, "Soup", 0.98, looked=False),
    ]

    assert suspects(judged, rows, category) == [
        Suspect("1", "category", "Tea", "Coffee", 0.99, "title 1"),
        Suspect("4", "category", "", "Soup", 0.97, "title 4"),
        Suspect("0", "category", "Tea", "Soup", 0.6, "title 0"),
    ]


def test_all_sure_contradictions_are_suspects_and_at_least_the_50_surest(category: Task) -> None:
    rows = [labelled(str(i), "title") for i in range(70)]

    def found(sure: int) -> int:
        judged = [verdict(str(i), "wrong", "Tea", "Soup", 0.9 if i < sure else 0.89) for i in range(70)]
        return len(suspects(judged, rows, category))

    assert found(sure=60) == 60
    assert found(sure=10) == 50


def test_suspects_are_written_as_a_table(tmp_path: Path) -> None:
    found = [
        Suspect("1", "品类", 'Tea, "green"', "", 0.95, "立顿 红茶\nline two"),
        Suspect("2", "f", "a", "b", 1.0, "t"),
    ]
    rows = [vars_of(suspect) for suspect in found]

    write_suspects(tmp_path / "new" / "s.csv", found)
    write_suspects(tmp_path / "s.jsonl", found)

    with (tmp_path / "new" / "s.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.DictReader(file)) == [{key: str(value) for key, value in row.items()} for row in rows]
    assert [json.loads(line) for line in (tmp_path / "s.jsonl").read_text("utf-8").splitlines()] == rows
    with pytest.raises(SourceError, match=r"expected a name in \.csv or \.jsonl, found 's\.xlsx'"):
        write_suspects(tmp_path / "s.xlsx", found)


def vars_of(suspect: Suspect) -> dict[str, Any]:
    return {name: getattr(suspect, name) for name in ("id", "field", "label", "answer", "probability", "text")}


def test_names_with_brackets_are_printed_as_they_are(category: Task) -> None:
    rows = [labelled("1", "title", "[red]")]
    judged = [verdict("1", "wrong", "[red]", "Tea")]
    text = io.StringIO()

    print_slices(slices(judged, rows, category, []), confusions(judged), Console(file=text, width=120))

    assert "category: [red]" in text.getvalue()
    assert "0.0 [0.0, 79.3]" in text.getvalue()
