"""Results are shown with their proofs marked, and whatever markup a product text has stays text."""

from __future__ import annotations

import csv
import io

from eval.workbench.results import (
    as_csv,
    conflict_lines,
    correction_lines,
    label_mix,
    marked,
    outcomes,
    row_of,
    said,
    untraced_lines,
)
from tagger.definition import Definition
from tagger.evidence import Evidence
from tagger.record import Column, Record
from tagger.result import Alternative, Conflict, Correction, Provenance, Tag, Tagging, Untraced
from tagger.schema import ClaimsField, LabelField
from tagger.task import Task

MADE = Provenance("t", "v", "p", "m", None, "e")


def tagging(name: str, outcome: str = "tagged", **tags: Tag) -> Tagging:
    """A tagging of the record called `name`."""
    return Tagging(name, outcome, tags, MADE, None)  # type: ignore[arg-type]


def test_the_characters_that_prove_a_value_are_marked_and_nothing_else_is_markup() -> None:
    record = Record("1", {"title": "<b>Acme</b> kettle & <script>"})
    tags = {"Brand": Tag("Acme", 0.9, Evidence("title", 3, 7, "Acme"))}
    shown = '&lt;b&gt;<mark class="shade0" title="Brand">Acme</mark>&lt;/b&gt; kettle &amp; &lt;script&gt;'
    assert marked(record, tags) == {"title": shown}


def test_proofs_that_overlap_are_marked_once() -> None:
    record = Record("1", {"title": "red wine"})
    tags = {
        "Kind": Tag("red wine", 0.9, Evidence("title", 0, 8, "red wine")),
        "Colour": Tag("red", 0.9, Evidence("title", 0, 3, "red")),
    }
    assert marked(record, tags)["title"].count("<mark") == 1


def test_of_a_description_the_tags_are_marked_and_what_is_withheld_is_told() -> None:
    record = Record("1", {"tags": "colour: red\nsize: 42"})
    proof = (Evidence("tags", 0, 11, "colour: red"),)
    tag = Tag(["It is red."], 0.9, proofs=(proof,), untraced=(Untraced("It is big.", 0.5, "no tag states 'big'"),))

    shown = '<mark class="shade0" title="text">colour: red</mark>\nsize: 42'
    assert marked(record, {"text": tag}) == {"tags": shown}
    assert said(tag) == "It is red."
    assert untraced_lines(tag) == ["Withheld: It is big. (no tag states 'big')"]
    assert said(Tag(None, 0.5, abstained=True, untraced=tag.untraced)) == "?"


def test_a_guess_that_was_withheld_has_a_question_mark() -> None:
    assert said(Tag(None, 0.4, abstained=True, alternatives=(Alternative("Tea", 0.4),))) == "? Tea"
    assert said(Tag(["a", "b"], 0.9)) == "a, b"


def test_what_rules_have_done_is_told_with_their_names() -> None:
    conflict = Conflict(("a", "b"), ("brand",), "the rules contradict each other")
    shown = Tagging("1", "tagged", {}, MADE, conflicts=(conflict,))
    tag = Tag("EU", 0.9, corrections=(Correction("a", None, "EU"), Correction("b", ["x", "y"], {"value": 1})))

    assert conflict_lines(shown) == ["Rule a and b: the rules contradict each other"]
    assert correction_lines(tag) == ["Rule a: nothing → EU", 'Rule b: x, y → {"value": 1}']


def test_few_fields_have_columns_and_many_are_told_in_one() -> None:
    record = Record("1", {"title": "x"})
    few = row_of(0, record, tagging("1", kind=Tag("Tea", 0.75)), ["kind"])
    assert (few["value_kind"], few["p_kind"], few["least"]) == ("Tea", 0.75, 0.75)
    many = row_of(0, record, tagging("1", a=Tag("1", 0.9), b=Tag("2", 0.5)), ["a", "b", "c", "d"])
    assert (many["said"], many["least"]) == ("a: 1; b: 2", 0.5)


def test_a_tagged_row_of_which_sentences_are_withheld_is_none_that_failed() -> None:
    lost = (Untraced("It is big.", 0.5, "no tag states 'big'"),)
    told = Tagging("1", "tagged", {"text": Tag(["It is red."], 0.9, untraced=lost)}, MADE, "text: 1 of 2 withheld")
    fields = {"text": ClaimsField()}
    task = Task.define("goods", Definition(about="goods", columns={"tags": Column()}, fields=fields))
    record = Record("1", {"tags": "colour: red"})

    row = row_of(0, record, told, ["text"])
    head, line = csv.reader(io.StringIO(as_csv(task, {"1": record}, [told])))

    assert (row["value_text"], "why" in row) == ("It is red.", False)
    assert dict(zip(head, line, strict=True)) == {
        "id": "1", "tags": "colour: red", "text": "It is red.", "text_probability": "0.9000",
        "text_untraced": '[{"text": "It is big.", "reason": "no tag states \'big\'"}]',
        "outcome": "tagged", "reason": "text: 1 of 2 withheld",
    }  # fmt: skip


def test_a_row_that_is_none_shows_why_in_the_place_of_its_text() -> None:
    row = row_of(0, None, Tagging("1", "rejected", {}, MADE, "row 1: <empty>"), ["kind"])
    assert (row["text"], row["why"], row["outcome"]) == ("row 1: &lt;empty&gt;", "row 1: <empty>", "rejected")


def test_tags_leave_as_a_table_with_what_was_withheld_left_empty() -> None:
    fields = {"kind": LabelField(labels={"Tea": "", "Coffee": ""})}
    task = Task.define("goods", Definition(about="goods", columns={"title": Column()}, fields=fields))
    found = [
        tagging("1", kind=Tag("Tea", 0.75)),
        tagging("2", "abstained", kind=Tag(None, 0.4, abstained=True, alternatives=(Alternative("Tea", 0.4),))),
        Tagging("3", "rejected", {}, MADE, "row 3: empty"),
    ]
    records = {name: Record(name, {"title": f'cup "{name}"'}) for name in "12"}
    assert list(csv.reader(io.StringIO(as_csv(task, records, found)))) == [
        ["id", "title", "kind", "kind_probability", "outcome", "reason"],
        ["1", 'cup "1"', "Tea", "0.7500", "tagged", ""],
        ["2", 'cup "2"', "", "", "abstained", ""],
        ["3", "", "", "", "rejected", "row 3: empty"],
    ]


def test_outcomes_and_labels_are_counted_the_most_frequent_first() -> None:
    found = [tagging("1", kind=Tag("Tea", 1.0)), tagging("2", kind=Tag("Tea", 1.0)), tagging("3", "rejected")]
    assert list(outcomes(found).items()) == [("tagged", 2), ("rejected", 1)]
    assert label_mix(found, "kind") == {"Tea": 2}
