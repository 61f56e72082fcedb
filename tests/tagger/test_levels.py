"""A taxonomy is asked from the top down, and the leaves get their probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tagger import ScriptedEngine, Tagger, Task
from tagger.definition import Definition
from tagger.errors import TaskError
from tagger.example import Example
from tagger.levels import Descent, Taxonomy
from tagger.plan import Ask, resolve
from tagger.prompt import Prompt
from tagger.record import Column, Record
from tagger.schema import PathField, TextField

LEAVES = ["Food > Tea > Green", "Food > Tea > Black", "Food > Rice", "Toys > Games > Board", "Books"]


def by_level(*leaves: str) -> Task:
    fields = {"leaf": PathField(labels=leaves or LEAVES), "brand": TextField()}
    task = Task.define("shelf", Definition(about="shelf", columns={"title": Column()}, fields=fields))
    asks = (Ask(form="levels", fields=("leaf",)), Ask(form="json"))
    shots = task.plan.shots.model_copy(update={"prior": 0.0})
    plan = task.plan.model_copy(update={"ask": asks, "shots": shots})
    return replace(task, plan=resolve(plan, task.fields, "plan"))


def script(chances: Mapping[str, float]) -> ScriptedEngine:
    """Gives candidates the probabilities named, and 0 to others; leaves the brand out."""

    def answer(prompt: Prompt) -> str | Mapping[str, float]:
        _, listed, names = prompt.record.partition("candidates: ")
        return {name: chances.get(name, 0.0) for name in names.split(" | ")} if listed else "{}"

    return ScriptedEngine(answer)


def test_each_answer_narrows_the_next_question() -> None:
    engine = script({"Food": 0.8, "Toys": 0.2, "Tea": 0.6, "Rice": 0.4, "Green": 0.9, "Black": 0.1})

    tagging = Tagger(by_level(), engine=engine).tag({"title": "Sencha"})

    assert [request.constraint.choices for request in engine.history[:3]] == [
        ("Food", "Toys", "Books"),
        ("Tea", "Rice"),
        ("Green", "Black"),
    ]
    assert tagging.value("leaf") == "Food > Tea > Green"
    assert tagging.tags["leaf"].probability == pytest.approx(0.8 * 0.6 * 0.9)
    assert tagging.tags["leaf"].alternatives[0].value == "Food > Rice"
    assert tagging.tokens.read > 0


def test_an_only_child_is_not_asked_about() -> None:
    engine = script({"Toys": 0.7, "Food": 0.2, "Books": 0.1})

    tagging = Tagger(by_level(), engine=engine).tag({"title": "Chess"})

    assert sum(bool(request.constraint.choices) for request in engine.history) == 1
    assert tagging.value("leaf") == "Toys > Games > Board"
    assert tagging.tags["leaf"].probability == pytest.approx(0.7)


def test_what_was_not_looked_into_is_shared_out() -> None:
    way = Descent(Taxonomy(LEAVES))
    assert way.options() == ["Food", "Toys", "Books"]
    way.take({"Food": 0.3, "Toys": 0.1, "Books": 0.6})

    assert way.at == ("Books",)
    assert way.options() == []
    shares = way.shares()
    assert shares == pytest.approx(dict(zip(LEAVES, (0.1, 0.1, 0.1, 0.1, 0.6), strict=True)))


def test_shots_of_the_same_branch_are_shown_with_its_children() -> None:
    rows = {"green tea bags": LEAVES[0], "white rice": LEAVES[2], "chess set": LEAVES[3]}
    pool = [Example(Record(title, {"title": title}), {"leaf": leaf}) for title, leaf in rows.items()]
    engine = script({"Food": 1.0, "Tea": 1.0, "Green": 1.0})

    Tagger(by_level(), engine=engine, shots=pool).tag({"title": "green tea"})

    shots = [{(ask.removeprefix("title: "), said) for ask, said in request.prompt.shots} for request in engine.history]
    assert shots[0] == {("green tea bags", "Food"), ("white rice", "Food"), ("chess set", "Toys")}
    assert shots[1] == {("green tea bags", "Tea"), ("white rice", "Rice")}
    assert shots[2] == {("green tea bags", "Green")}


def test_labelled_rows_speak_beside_the_levels() -> None:
    pool = [Example(Record(str(n), {"title": f"green tea {n}"}), {"leaf": LEAVES[0]}) for n in range(4)]
    pool += [Example(Record(str(n), {"title": f"white rice {n}"}), {"leaf": LEAVES[2]}) for n in range(4)]
    task = by_level()
    shots = task.plan.shots.model_copy(update={"prior": 1.0})
    task = replace(task, plan=task.plan.model_copy(update={"shots": shots}))
    engine = script({"Food": 1.0, "Tea": 0.45, "Rice": 0.55, "Green": 1.0})

    assert Tagger(task, engine=engine, shots=pool).tag({"title": "green tea"}).value("leaf") == LEAVES[0]


def test_a_record_that_is_refused_on_the_way_is_rejected() -> None:
    engine = ScriptedEngine(lambda p: "Food" if "Toys" in p.record else "Soup")

    tagging = Tagger(by_level(), engine=engine).tag({"title": "x"})

    assert (tagging.outcome, tagging.tags) == ("rejected", {})
    assert "'Soup' is none of the values" in (tagging.reason or "")


def test_a_leaf_off_the_way_that_is_likelier_is_said() -> None:
    engine = script({"Food": 1.0, "Tea": 0.55, "Rice": 0.45, "Green": 0.6, "Black": 0.4})

    assert Tagger(by_level(), engine=engine).tag({"title": "x"}).value("leaf") == "Food > Rice"


def test_the_first_question_can_be_looked_at() -> None:
    task = by_level()

    (prompt,) = Tagger(task, engine=ScriptedEngine()).prompts(task.plan.ask[0], [Record("1", {"title": "x"})])

    assert prompt.record == "title: x\ncandidates: Food | Toys | Books"


def test_what_cannot_be_asked_by_levels_is_named() -> None:
    with pytest.raises(TaskError, match="a beginning of 'Food > Tea' is a label too"):
        by_level("Food", "Food > Tea")
    with pytest.raises(TaskError, match=r"below Food: .*the same to a reader"):
        by_level("Food > Tea > Green", "Food > tea > Black")
    task = by_level()
    with pytest.raises(TaskError, match="not voted on"):
        resolve(task.plan.model_copy(update={"votes": 3}), task.fields, "plan")
    plan = task.plan.model_copy(update={"ask": (Ask(form="levels", fields=("brand",)), Ask(form="json"))})
    with pytest.raises(TaskError, match="needs exactly one field of kind path"):
        resolve(plan, task.fields, "plan")
