"""What labelled rows say of spans, and how it joins what the model wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import log
from pathlib import Path

import pytest

from tagger import ScriptedEngine, Tagger, Task
from tagger.definition import Definition
from tagger.engines.base import Completion
from tagger.example import Example
from tagger.likeness import words
from tagger.plan import Shots
from tagger.record import Column, Record
from tagger.schema import NumberField, TextField
from tagger.spans import SpanPrior, marked
from tests.tagger.conftest import FixedEngine

BRANDS, COLOURS = ("Acme", "Bolt", "Cora", "Dune", "Elm", "Fern"), ("red", "blue", "dark green")
TITLES = [(f"{brand} {colour} cap", brand, colour) for brand in BRANDS for colour in COLOURS]


def record(title: str) -> Record:
    return Record(title, {"title": title})


@pytest.fixture(scope="module")
def prior() -> SpanPrior:
    rows = [(record(title), {"brand": brand, "colour": colour}) for title, brand, colour in TITLES]
    return SpanPrior(rows, [""] * len(rows), ["title"])


def test_words_are_runs_marks_and_chinese_characters() -> None:
    assert [word.text for word in words("Acme 12-oz 红茶x2")] == ["Acme", "12", "-", "oz", "红", "茶", "x2"]
    assert [(word.start, word.end) for word in words("a  b")] == [(0, 1), (3, 4)]


def test_longer_values_are_marked_first_and_no_word_twice() -> None:
    text = "dark red cap, red"

    labels = marked(words(text), text, {"colour": ["red", "dark red"], "kind": ["cap, red"], "none": ["ed"]})

    assert labels == ["B-colour", "I-colour", "B-kind", "I-kind", "I-kind"]


def test_the_rows_mark_a_brand_that_they_have_not_seen(prior: SpanPrior) -> None:
    views = prior.views(record("Grove dark green cap"), "", {"brand": [], "colour": ["green"]})

    assert list(views["brand"].chances) == ["Grove"]
    assert views["brand"].chances["Grove"] > 0.5
    assert views["brand"].shares["Grove"] == 0.5  # no row holds it
    assert set(views["colour"].chances) == {"green", "dark green"}
    assert views["colour"].chances["green"] < 0.1 < 0.5 < views["colour"].chances["dark green"]
    assert views["colour"].shares["dark green"] == pytest.approx(6.5 / 7)
    assert views["colour"].usual > 0.9


def test_a_value_of_the_rows_is_looked_up_where_nobody_proposes_one() -> None:
    """In a caps row `red` is a colour once, and none fifty times: the field marks nothing, the look-up finds it."""
    rows = [(record("red cap"), {"colour": "red"}), *((record(f"red cap no {i}"), {}) for i in range(50))]
    prior = SpanPrior(rows, [""] * len(rows), ["title"])

    view = prior.views(record("RED  cap with a brim"), "", {"colour": []})["colour"]

    assert list(view.chances) == ["RED"]
    assert view.chances["RED"] < 0.1
    assert view.shares["RED"] == pytest.approx(1.5 / 52)
    assert prior.views(record("redder cap"), "", {"colour": []})["colour"].chances == {}
    assert list(prior.views(record("red cap blue"), "", {"colour": ["blue"]})["colour"].chances) == ["blue"]


def test_a_records_own_row_does_not_bear_it_out(prior: SpanPrior) -> None:
    assert prior.share("brand", "Acme", record("ACME red cap"), "") == pytest.approx(2.5 / 3)
    assert prior.share("brand", "Acme", record("Acme pink cap"), "") == pytest.approx(3.5 / 4)


def test_rows_that_mark_nothing_propose_nothing() -> None:
    silent = SpanPrior([(record("a cap"), {})], [""], ["title"])

    for text in ("a cap", ""):
        view = silent.views(record(text), "", {"brand": ["cap"]})["brand"]
        assert view.chances == {"cap": 0.0}
    assert SpanPrior([], [], ["title"]).views(record("cap"), "x", {"brand": []})["brand"].chances == {}


@pytest.fixture
def caps() -> Task:
    fields = {"brand": TextField(), "colour": TextField(), "kind": TextField(), "pieces": NumberField()}
    return Task.define("caps", Definition(about="caps", columns={"title": Column()}, fields=fields))


POOL = [Example(record(title), {"brand": brand, "colour": colour, "pieces": 1}) for title, brand, colour in TITLES]


def says(**answer: object) -> ScriptedEngine:
    return ScriptedEngine(lambda prompt: json.dumps(answer))


def unsure(name: str, value: str, p: float) -> FixedEngine:
    """Writes one value with probability p."""
    tokens = (f'{{"{name}": '.encode(), 0.0), (f'"{value}"'.encode(), log(p)), (b"}", 0.0)
    return FixedEngine(Completion(f'{{"{name}": "{value}"}}', "stop", logprobs=tokens))


def test_rows_add_what_the_model_left_out(caps: Task) -> None:
    tagging = Tagger(caps, engine=says(brand="Grove"), shots=POOL).tag({"title": "Grove dark green cap"})

    assert (tagging.value("brand"), tagging.value("colour")) == ("Grove", "dark green")
    assert tagging.tags["colour"].evidence is not None
    assert tagging.tags["colour"].evidence.text == "dark green"
    assert tagging.tags["brand"].probability > tagging.tags["colour"].probability


def test_the_likelier_of_two_values_is_said_and_the_other_is_an_alternative(caps: Task) -> None:
    tagger = Tagger(caps, engine=unsure("colour", "cap", 0.4), shots=POOL)

    tag = tagger.tag({"title": "Acme red cap"}).tags["colour"]

    assert tag.value == "red"
    assert 0.4 < tag.probability <= 0.5
    assert [other.value for other in tag.alternatives] == ["cap"]
    assert tag.alternatives[0].probability == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(("sure", "said"), [(0.4, None), (0.6, "cap")])
def test_what_the_model_alone_names_has_to_be_likelier_than_not(caps: Task, sure: float, said: str | None) -> None:
    tag = Tagger(caps, engine=unsure("kind", "cap", sure), shots=POOL).tag({"title": "Acme red cap"}).tags["kind"]

    assert (tag.value, tag.abstained) == (said, said is None)
    assert tag.probability == pytest.approx(sure / 2, abs=0.001)


def test_what_a_reader_takes_for_the_same_is_one_value(caps: Task) -> None:
    titles = ["Grove dark green cap", "Grove dark  green cap", "GROVE DARK GREEN CAP"]

    found = [
        Tagger(caps, engine=says(colour="dark green"), shots=POOL).tag({"title": t}).tags["colour"] for t in titles
    ]

    assert [tag.value for tag in found] == ["dark green", "dark green", "DARK GREEN"]  # as the record spells it
    assert all(tag.probability > 0.7 and not tag.alternatives and tag.evidence for tag in found)


def test_a_proposal_has_to_fit_the_field_and_stand_in_one_column() -> None:
    columns = {"title": Column(), "more": Column()}
    fields = {"brand": TextField(), "colour": TextField(max_chars=6)}
    task = Task.define("caps", Definition(about="caps", columns=columns, fields=fields))
    pool = [Example(Record(t, {"title": t, "more": ""}), {"brand": b, "colour": c}) for t, b, c in TITLES]
    tagger = Tagger(task, engine=says(), shots=[e for e in pool if e.answer["colour"] != "dark green"])

    long = Tagger(task, engine=says(), shots=pool).tag({"title": "Grove dark green cap", "more": ""})
    apart = tagger.tag({"title": "Grove", "more": "red cap"})

    assert "colour" not in long.tags
    assert all(tag.value is None or tag.evidence for tag in apart.tags.values())


def test_records_tagged_at_the_same_time_keep_their_own_views(prior: SpanPrior) -> None:
    records = [record(f"{brand}{'x' * n} {colour} cap") for n in range(20) for brand in BRANDS for colour in COLOURS]

    def views(one: Record) -> Mapping[str, float]:
        return prior.views(one, "", {"brand": []})["brand"].chances

    with ThreadPoolExecutor(8) as many:
        together = list(many.map(views, records))

    assert together == [views(one) for one in records]


def test_numbers_are_left_to_the_model(caps: Task) -> None:
    tagging = Tagger(caps, engine=says(pieces=3), shots=POOL).tag({"title": "Acme red cap 3"})

    assert tagging.value("pieces") == 3
    assert not tagging.tags["pieces"].scores.rows  # type: ignore[union-attr]


def test_a_plan_can_leave_the_rows_out(caps: Task) -> None:
    alone = replace(caps, plan=caps.plan.model_copy(update={"shots": Shots(prior=0)}))

    tagging = Tagger(alone, engine=says(brand="Acme"), shots=POOL).tag({"title": "Acme red cap"})

    assert list(tagging.tags) == ["brand"]


def test_without_a_pool_the_shipped_examples_speak(tmp_path: Path) -> None:
    told = 'about = "caps"\n[columns.title]\n[fields.brand]\nkind = "text"\n[fields.colour]\nkind = "text"\n'
    (tmp_path / "task.toml").write_text(told, "utf-8")
    rows = [(brand, colour) for brand in ("Acme", "Bolt", "Cora", "Dune") for colour in ("red", "blue", "green")]
    lines = [{"record": {"title": f"{b} {c} cap"}, "answer": {"brand": b, "colour": c}} for b, c in rows]
    (tmp_path / "examples.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")

    tags = Tagger(tmp_path, engine=ScriptedEngine(lambda _: '{"brand": "elm"}')).tag({"title": "Elm red cap"}).tags

    assert {name: tag.value for name, tag in tags.items()} == {"brand": "Elm", "colour": "red"}
    assert tags["colour"].scores
    assert not tags["colour"].scores.model
