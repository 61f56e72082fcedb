"""What labelled rows say in a run can be worked out anew; what the model said stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from eval.again import again
from eval.record import Run, RunTag
from eval.run import header_of, run
from tagger import ScriptedEngine, Tagger, Task, load_task
from tagger.definition import Definition
from tagger.errors import SettingsError, SourceError
from tagger.example import Example
from tagger.prompt import Prompt
from tagger.record import Column, Record
from tagger.schema import BooleanField, TextField

FIELDS = {"brand": TextField(), "colour": TextField(), "new": BooleanField()}
BRANDS, COLOURS = ("Acme", "Bolt", "Cora", "Dune"), ("red", "blue", "green")
CAPS = [
    Example(Record(f"{b} {c}", {"title": f"{b} {c} cap"}), {"brand": b, "colour": c}) for b in BRANDS for c in COLOURS
]
JUDGED = [Example(Record("1", {"title": "Elm red cap"}), {"brand": "Elm", "colour": "red"})]
SALE = """
about = "adverts"
[columns.text]
[fields.promotion]
kind = "boolean"
required = true
[fields.offer]
kind = "text"
"""
PLAN = '[[ask]]\nform = "label"\nfields = ["promotion"]\n[[ask]]\nform = "json"\n'
RULES = '[[implies]]\nif = { promotion = false }\nabsent = ["offer"]\n'
SALES = [
    Example(Record(text, {"text": text}), {"promotion": "off" in text})
    for text in (f"{what} {n}" for n in range(6) for what in ("20% off", "open till"))
]
OFFERED = [Example(Record("1", {"text": "now 20% off"}), {"promotion": True, "offer": "20% off"})]
TEAS = [Example(Record(str(n), {"title": f"green tea {n}"}), {"category": "Tea"}) for n in range(9)]


Said = str | Mapping[str, float]


def recorded(
    task: Task, said: Said | Callable[[Prompt], Said], examples: Sequence[Example], pool: Sequence[Example]
) -> Run:
    tagger = Tagger(task, engine=ScriptedEngine(said if callable(said) else lambda prompt: said), shots=pool)
    head = header_of(tagger, examples, set_name="x", split="dev", sample=None, seed=0, shots=len(pool))
    return run(tagger, examples, head)


@pytest.fixture
def caps() -> Task:
    return Task.define("caps", Definition(about="caps", columns={"title": Column()}, fields=FIELDS))


def test_with_nothing_changed_nothing_changes(caps: Task) -> None:
    found = recorded(caps, '{"brand": "Elm", "new": true}', JUDGED, CAPS)

    assert again(found, caps, JUDGED, CAPS).rows == found.rows
    assert set(found.rows[0].tags) == {"brand", "colour", "new"}


def test_the_rows_of_a_closed_field_are_heard_again() -> None:
    task, judged = load_task("category"), [Example(Record("1", {"title": "green tea"}), {"category": "Tea"})]
    found = recorded(task, {"Tea": 0.6, "Coffee": 0.4}, judged, TEAS)
    tag = found.rows[0].tags["category"]
    deaf = found.rows[0].model_copy(update={"tags": {"category": tag.model_copy(update={"rows": {}, "p": 0.1})}})
    before = Run(found.header, [deaf])

    after = again(before, task, judged, TEAS).rows[0].tags["category"]

    assert after.rows == pytest.approx(tag.rows, abs=1e-4)
    assert after.p == pytest.approx(tag.p, abs=1e-3)
    assert after.model == pytest.approx(tag.model, abs=1e-3)


def test_a_run_with_another_pool_is_refused(caps: Task) -> None:
    found = recorded(caps, '{"brand": "Elm"}', JUDGED, CAPS)

    with pytest.raises(SourceError, match="give the shots of the run"):
        again(found, caps, JUDGED, CAPS[1:])


@pytest.fixture
def sale(tmp_path: Path) -> Task:
    """A task whose rules have an offer looked for only where there is a promotion."""
    for name, text in (("task.toml", SALE), ("plan.toml", PLAN), ("rules.toml", RULES)):
        (tmp_path / name).write_text(text, "utf-8")
    lines = [json.dumps({"record": e.record.values, "answer": e.answer}) for e in SALES]
    (tmp_path / "examples.jsonl").write_text("\n".join(lines), "utf-8")
    return load_task(tmp_path)


def sold(task: Task) -> Run:
    """A run whose model takes both answers for as likely, so that the shipped rows decide, and finds an offer."""

    def says(prompt: Prompt) -> str | dict[str, float]:
        return '{"offer": "20% off"}' if "JSON" in prompt.head.instruction else {"true": 0.5, "false": 0.5}

    return recorded(task, says, OFFERED, [])


def heard_otherwise(found: Run) -> dict[str, RunTag]:
    """The tags of a run as if labelled rows had spoken against a promotion."""
    tag = found.rows[0].tags["promotion"]
    return {"promotion": tag.model_copy(update={"rows": {"true": 0.01, "false": 0.99}, "value": False, "p": 0.99})}


def test_a_task_with_rules_is_worked_out_anew_as_a_whole(sale: Task) -> None:
    found = sold(sale)

    assert again(found, sale, OFFERED, []).rows == found.rows
    assert {name: tag.value for name, tag in found.rows[0].tags.items()} == {"promotion": True, "offer": "20% off"}


def test_what_the_rules_no_longer_ask_for_is_no_longer_said(sale: Task) -> None:
    found = sold(sale)
    flipped = [replace(e, answer={"promotion": not e.answer["promotion"]}) for e in SALES]
    task = replace(sale, examples=tuple(flipped))

    after = again(replace(found, header=sold(task).header), task, OFFERED, []).rows[0].tags

    assert {name: tag.value for name, tag in after.items()} == {"promotion": False}


def test_what_the_rules_would_ask_now_and_nobody_asked_is_refused(sale: Task) -> None:
    found = sold(sale)
    before = replace(found, rows=[found.rows[0].model_copy(update={"tags": heard_otherwise(found)})])

    with pytest.raises(SettingsError, match="'offer' asked otherwise"):
        again(before, sale, OFFERED, [])
