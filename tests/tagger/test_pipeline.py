"""The four outcomes, and the doors: one record, many, a DataFrame, async."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tagger import ScriptedEngine, Tagger
from tagger.decide import doubt_of
from tagger.definition import Definition
from tagger.engines import canary
from tagger.engines.base import Completion, Constraint, Step
from tagger.errors import ConstraintError, FieldError
from tagger.record import Column
from tagger.result import tagging_of
from tagger.schema import TextField, TextsField
from tagger.task import Task, task_names
from tests.tagger.conftest import FixedEngine


def by_word(prompt) -> str:  # type: ignore[no-untyped-def]
    return "Tea" if "tea" in prompt.record.lower() else "Coffee"


def test_one_record_many_and_a_frame_give_the_same_tags() -> None:
    tagger = Tagger("category", engine=ScriptedEngine(by_word))
    titles = ["Green tea", "Espresso"]

    one = tagger.tag({"title": titles[0]})
    many = tagger.tag([{"title": title} for title in titles])
    frame = tagger.tag(pd.DataFrame({"title": [*titles, None]}, index=[7, 8, 9]))
    later = asyncio.run(tagger.atag({"title": titles[0]}))

    assert one.value("category") == later.value("category") == "Tea"
    assert [tagging.value("category") for tagging in many] == ["Tea", "Coffee"]
    assert frame["category"].iloc[:2].tolist() == ["Tea", "Coffee"]
    assert frame["outcome"].tolist() == ["tagged", "tagged", "rejected"]
    assert frame.index.tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("completion", "outcome", "reason"),
    [
        (Completion("Tea", "stop", steps=(Step(b"", {b"Tea": 0.0}),)), "tagged", None),
        (Completion("Tea", "length", tokens_out=16), "rejected", "did not end within 16 tokens"),
        (Completion("Soup", "stop"), "rejected", "'Soup' is none of the values"),
        (Completion("9000 tokens", "refused"), "rejected", "the prompt does not fit: 9000 tokens"),
        (Completion("busy", "error"), "failed", "the engine could not answer: busy"),
    ],
)
def test_what_an_engine_says_decides_the_outcome(completion: Completion, outcome: str, reason: str | None) -> None:
    tagging = Tagger("category", engine=FixedEngine(completion)).tag({"title": "x"})

    assert tagging.outcome == outcome
    assert tagging.value("category") == ("Tea" if outcome == "tagged" else None)
    assert (reason or "") in (tagging.reason or "")


@pytest.mark.parametrize("name", task_names())
def test_every_shipped_task_can_be_warmed(name: str) -> None:
    tagger = Tagger(name, engine=ScriptedEngine())

    found = tagger.warm()

    assert found.outcome in ("tagged", "abstained")
    assert tagger.engine.history  # type: ignore[attr-defined]


def test_a_field_without_a_value_has_none_and_one_that_the_task_does_not_have_is_an_error(shop: Path) -> None:
    taggings = Tagger(shop, engine=ScriptedEngine(lambda _: '{"kind": "tea", "leaf": "Food > Tea"}')).tag(
        [{"title": "x"}, {}]
    )

    for tagging in taggings:
        assert tagging.value("brand") is None
        with pytest.raises(FieldError, match=r"has no field 'brnd'\n.* is 'brand' meant\? its fields are: kind, "):
            tagging.value("brnd")
    assert isinstance(FieldError(""), KeyError)


@pytest.mark.parametrize("text", ["[]", '{"kind": "tea"', '{"kind": "milk", "leaf": "Food > Tea"}', '{"kind": "tea"}'])
def test_json_that_breaks_the_schema_is_rejected_and_never_repaired(shop: Path, text: str) -> None:
    tagging = Tagger(shop, engine=FixedEngine(Completion(text, "stop"))).tag({"title": "x"})

    assert tagging.outcome == "rejected"
    assert tagging.tags == {}


def test_a_doubtful_answer_is_withheld_and_leads_the_alternatives(shop: Path) -> None:
    path = shop / "task.toml"
    path.write_text(path.read_text("utf-8").split("[fields.traits]")[0] + "abstain_below = 0.7\n", "utf-8")
    (shop / "examples.jsonl").unlink()
    steps = (Step(b"", {b"tea": math.log(0.6), b"coffee": math.log(0.4)}),)

    tagging = Tagger(shop, engine=FixedEngine(Completion("tea", "stop", steps=steps))).tag({"title": "x"})

    assert tagging.outcome == "abstained"
    assert tagging.reason == "kind: 'tea' has 0.60, below the 0.70 that is asked of it"
    tag = tagging.tags["kind"]
    assert (tag.value, tag.abstained) == (None, True)
    assert [(a.value, round(a.probability, 2)) for a in tag.alternatives] == [("tea", 0.6), ("coffee", 0.4)]


@pytest.mark.parametrize(
    ("value", "p", "asked", "told"),
    [
        ("茶", 0.6996, 0.7, "'茶' has 0.6996, below the 0.7000 that is asked of it"),
        (["new"], 0.2, 0.5, "'new' has 0.20, below the 0.50 that is asked of it"),
        ([], 0.2, 0.5, "[] has 0.20, below the 0.50 that is asked of it"),
        ({"value": 250, "unit": "ml"}, 0.0, 0.5, "250 ml has no probability"),
        ("x" * 99, 0.4, 0.0, f"neither the model nor the labelled rows find '{'x' * 60}...' likelier than not"),
        ("air\n gun", 0.0, 0.0, "'air gun' has no probability"),
    ],
)
def test_a_silence_says_what_is_asked_of_a_value(value: Any, p: float, asked: float, told: str) -> None:
    assert doubt_of(value, p, asked) == told


def test_the_reason_tells_of_silence_only_where_nothing_is_said(shop: Path) -> None:
    labels = 'kind = "label"\nlabels = ["tea", "coffee"]\n'
    task = f'about = "a shop"\n[columns.title]\n[fields.one]\n{labels}[fields.two]\n{labels}abstain_below = 0.7\n'
    (shop / "task.toml").write_text(task, "utf-8")
    (shop / "examples.jsonl").unlink()
    asks = "".join(f'[[ask]]\nform = "label"\nfields = ["{name}"]\n' for name in ("one", "two"))
    (shop / "plan.toml").write_text(asks + "[shots]\nprior = 0\n", "utf-8")
    engine = ScriptedEngine(lambda _: {"tea": 0.6, "coffee": 0.4})

    partly = Tagger(shop, engine=engine).tag({"title": "x"})
    (shop / "task.toml").write_text(task.replace(labels, labels + "abstain_below = 0.8\n", 1), "utf-8")
    silent = Tagger(shop, engine=engine).tag({"title": "x"})

    assert (partly.outcome, partly.reason, partly.tags["two"].abstained) == ("tagged", None, True)
    told = "one: 'tea' has 0.60, below the 0.80 that is asked of it"
    assert (silent.outcome, silent.reason) == ("abstained", f"{told}; {told.replace('one', 'two').replace('80', '70')}")
    assert tagging_of(silent.to_dict()).reason == silent.reason


def test_values_carry_evidence_or_are_marked_inferred() -> None:
    answer = '{"Brand": "acme", "Flavor": "Mint"}'
    tagging = Tagger("attributes", engine=ScriptedEngine(lambda _: answer)).tag(
        {"title": "ACME Green Tea", "category": "Tea"}
    )

    brand, flavor = tagging.tags["Brand"], tagging.tags["Flavor"]
    assert brand.evidence is not None
    assert (brand.evidence.start, brand.evidence.end, brand.evidence.text) == (0, 4, "ACME")
    assert (flavor.evidence, flavor.inferred) == (None, True)


def test_an_unknown_product_type_is_rejected() -> None:
    tagging = Tagger("attributes", engine=ScriptedEngine()).tag({"title": "x", "category": "Sofa"})

    assert tagging.outcome == "rejected"
    assert "'Sofa' is not one of Lure" in (tagging.reason or "")


def test_the_canary_refuses_an_engine_that_ignores_the_grammar() -> None:
    with pytest.raises(ConstraintError, match="the engine wrote 'banana'"):
        canary(FixedEngine(Completion("banana", "stop")))


def test_the_canary_refuses_an_engine_that_tells_no_probabilities() -> None:
    with pytest.raises(ConstraintError, match="tells no probabilities"):
        canary(FixedEngine(Completion("quartz-17", "stop")))


def test_the_canary_passes_an_engine_that_heeds_it() -> None:
    canary(ScriptedEngine())


def test_a_json_label_has_the_probability_of_its_branch(shop: Path) -> None:
    path = shop / "task.toml"
    path.write_text(path.read_text("utf-8").split("[fields.leaf]")[0], "utf-8")
    (shop / "examples.jsonl").unlink()
    text = '{"kind": "tea"}'
    tokens = [b'{"kind": "', b"tea", b'"}']
    steps = tuple(
        Step(b"".join(tokens[:i]), {token: math.log(0.8)} | ({b"coffee": math.log(0.2)} if i == 1 else {}))
        for i, token in enumerate(tokens)
    )
    completion = Completion(text, "stop", tuple((t, 0.0) for t in tokens), steps)

    tag = Tagger(shop, engine=FixedEngine(completion)).tag({"title": "x"}).tags["kind"]

    assert tag.probability == pytest.approx(0.8)
    assert tag.alternatives[0].value == "coffee"


def test_constraints_are_values_that_engines_can_group_by() -> None:
    assert Constraint("a", ("b",)) == Constraint("a", ("b",))
    assert hash(Constraint("a")) == hash(Constraint("a"))


def test_a_piece_of_the_text_is_said_as_the_text_spells_it() -> None:
    fields = {"brand": TextField(), "colours": TextsField()}
    mugs = Task.define("mugs", Definition(about="mugs", columns={"title": Column()}, fields=fields))
    engine = ScriptedEngine(lambda prompt: '{"brand": "acme", "colours": ["RED", "dark blue", "green"]}')

    tagging = Tagger(mugs, engine=engine).tag({"title": "ACME mug, Red / Dark  Blue"})

    assert tagging.value("brand") == "ACME"
    assert tagging.value("colours") == ["Red", "Dark Blue", "green"]
    assert tagging.tags["colours"].evidences[2] is None
    assert set(tagging.tags["colours"].each) == {'"Red"', '"Dark Blue"', '"green"'}


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Contact us. Made in US", "US"),  # stands so, though first in another spelling
        ("LED lamp with led strip", "led"),
        ("½ kg bag, pack of 2", "2"),  # "½" holds a 2, and is none
        ("5㎏ rice", "g"),
    ],
)
def test_a_piece_that_stands_as_it_is_said_keeps_its_spelling(title: str, said: str) -> None:
    goods = Task.define("goods", Definition(about="goods", columns={"title": Column()}, fields={"brand": TextField()}))
    tagging = Tagger(goods, engine=ScriptedEngine(lambda _: json.dumps({"brand": said}))).tag({"title": title})

    assert tagging.value("brand") == said
    assert title[(proof := tagging.tags["brand"].evidence).start : proof.end] in (said, "㎏")  # type: ignore[union-attr]
