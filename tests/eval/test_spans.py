"""Lists are judged value by value, and spans by where they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.calibrate import calibrate, redo
from eval.compare import Judged, compare
from eval.record import Run, RunRow
from eval.run import header_of, run
from eval.score import Counts, Verdict, aligned, counts, judge, outcomes
from eval.sets import gold_spans, labelled_set, rows
from eval.spans import placed, span_counts
from tagger import ScriptedEngine, Tagger, Task
from tagger.definition import Definition
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Column, Record
from tagger.schema import LabelsField, TextsField


@pytest.fixture
def entities() -> Task:
    fields = {"product": TextsField(), "brand": TextsField(), "traits": LabelsField(labels=["new", "red", "big"])}
    return Task.define("entities", Definition(about="parts", columns={"title": Column()}, fields=fields))


GOLD = [
    Example(Record("1", {"title": "Acme tea cup, tea"}), {"product": ["tea", "cup"], "traits": ["new", "big"]}),
    Example(Record("2", {"title": "Acme box"}), {"product": ["box"], "brand": ["Acme"]}),
    Example(Record("3", {"title": "nothing"}), {}),
]
ANSWERS = {
    "Acme tea cup, tea": {"product": ["tea", "Acme", "tea"], "traits": ["new", "red"]},
    "Acme box": {"product": ["box"]},
    "nothing": {},
}


def answered(task: Task, answers: dict[str, dict[str, list[str]]]) -> Run:
    tagger = Tagger(task, engine=ScriptedEngine(lambda p: json.dumps(answers[p.record.removeprefix("title: ")])))
    records = [example.record for example in GOLD]
    assert all(tagging.outcome == "tagged" for tagging in tagger.tag_records(records))
    return run(tagger, GOLD, header_of(tagger, GOLD, set_name="mine", split="dev", sample=None, seed=0, shots=0))


def test_each_value_of_a_list_has_its_verdict(entities: Task) -> None:
    found = judge(answered(entities, ANSWERS), entities, GOLD)

    assert [(v.field, v.item, v.kind) for v in found if v.id == "1"] == [
        ("product", '"tea"', "right"),
        ("product", '"cup"', "missing"),
        ("product", '"Acme"', "invented"),
        ("brand", "", "absent"),
        ("traits", '"new"', "right"),
        ("traits", '"big"', "missing"),
        ("traits", '"red"', "invented"),
    ]
    assert counts(found) == Counts(right=3, answered=5, labelled=6)
    assert outcomes(v for v in found if v.id == "3") == {"absent": 3}


def test_a_rejected_record_rejects_every_labelled_value(entities: Task) -> None:
    found = answered(entities, ANSWERS)
    found.rows[0] = RunRow(id="1", outcome="rejected", reason="too long", tags={}, tokens=(1, 0, 1))

    kinds = [v.kind for v in judge(found, entities, GOLD) if v.id == "1"]

    assert set(kinds) == {"rejected"}
    assert len(kinds) == 5


def test_runs_are_compared_value_by_value(entities: Task) -> None:
    better = {**ANSWERS, "Acme tea cup, tea": {"product": ["tea", "cup"], "traits": ["new", "big"]}}
    a, b = (Judged(r, judge(r, entities, GOLD)) for r in (answered(entities, ANSWERS), answered(entities, better)))

    found = compare(a, b, GOLD, entities, [])

    assert {(flip.field, flip.gold, flip.a, flip.b) for flip in found.gained} == {
        ("product", "cup", "(missing)", "cup"),
        ("traits", "big", "(missing)", "big"),
        ("product", "", "Acme", "(absent)"),
        ("traits", "", "red", "(absent)"),
    }
    assert not found.lost
    assert found.figure.b > found.figure.a


def test_what_one_run_alone_named_is_absent_in_the_other() -> None:
    said = Verdict("1", "product", None, "Acme", 0.9, "invented", True, None, (), '"Acme"')

    ((left, right),) = aligned([said], [])

    assert left is said
    assert (right.kind, right.value, right.p) == ("absent", None, 0.0)


def test_values_stand_wherever_their_text_does_and_longer_ones_first() -> None:
    assert placed([("product", "tea"), ("product", "tea cup")], "tea cup, tea") == {
        ("product", 0, 7),
        ("product", 9, 12),
    }
    assert placed([("product", "(x)")], "a (x)") == {("product", 2, 5)}


def test_a_span_is_right_if_type_and_place_are(entities: Task) -> None:
    found = judge(answered(entities, ANSWERS), entities, GOLD)
    texts = {example.record.id: example.record.values["title"] for example in GOLD}
    gold = {"1": {("product", 5, 8), ("product", 9, 12)}, "2": {("product", 5, 8), ("brand", 0, 4)}, "3": set()}

    by_record = span_counts([v for v in found if v.field != "traits"], texts, gold)

    # "tea" stands twice and is labelled once; "Acme" is no product.
    assert by_record == {"1": Counts(1, 3, 2), "2": Counts(1, 1, 2), "3": Counts(0, 0, 0)}


def test_values_of_lists_are_calibrated_one_by_one(entities: Task) -> None:
    gold, answers = [], {}
    for n in range(60):
        title = f"cup {n} lid"
        gold.append(Example(Record(str(n), {"title": title}), {"product": ["cup"] if n % 3 else ["cup", "lid"]}))
        answers[title] = {"product": ["cup", "lid"]}
    tagger = Tagger(entities, engine=ScriptedEngine(lambda p: json.dumps(answers[p.record.removeprefix("title: ")])))
    raw = run(tagger, gold, header_of(tagger, gold, set_name="mine", split="dev", sample=None, seed=0, shots=0))

    calibration, after = calibrate(raw, lambda r: judge(r, entities, gold), entities.fields)

    told = [v for v in after if v.field == "product"]
    assert {v.item for v in told} == {'"cup"', '"lid"'}
    chance = sum(v.p for v in told) / len(told)
    assert chance == pytest.approx((60 + 20) / 120, abs=0.05)
    assert set(redo(raw, entities.fields, calibration).rows[0].tags["product"].each) == {'"cup"', '"lid"'}


def test_the_public_set_says_where_its_values_stand(labelled: Path) -> None:
    task, found = labelled_set("ecommerce-ner-zh", labelled)

    (first, *_), spans = rows(task, found, labelled, "dev"), gold_spans(found, labelled, "dev")

    text = first.record.values["title"]
    assert set(task.fields) == {"product", "brand", "type", "misc"}
    assert {(name, text[start:end]) for name, start, end in spans[first.record.id]} == {
        (name, value) for name, values in first.answer.items() for value in values
    }


def test_a_set_without_spans_says_so(labelled: Path) -> None:
    _, found = labelled_set("category", labelled)

    with pytest.raises(SourceError, match="does not say where values stand"):
        gold_spans(found, labelled, "dev")
