"""Self-consistency: a question asked again with the shots in another order, and the answers averaged."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tagger import ScriptedEngine, Tagger, Task
from tagger.confidence import Scores, voted
from tagger.definition import Definition
from tagger.example import Example
from tagger.prompt import Prompt
from tagger.record import Column, Record
from tagger.schema import LabelsField, TextField, TextsField

POOL = [Example(Record(str(n), {"title": f"tea {n}"}), {"category": "Tea"}) for n in range(5)]


def three_times(task: Task) -> Task:
    shots = task.plan.shots.model_copy(update={"prior": 0.0})
    return replace(task, plan=task.plan.model_copy(update={"votes": 3, "shots": shots}))


def test_each_vote_sees_the_same_shots_in_another_order(category: Task, scripted: ScriptedEngine) -> None:
    tagging = Tagger(three_times(category), engine=scripted, shots=POOL).tag([{"title": "tea"}, {"title": "cup"}])[0]

    shots = [request.prompt.shots for request in scripted.history[::2]]
    assert len(scripted.history) == 6
    assert len({frozenset(some) for some in shots}) == 1
    assert len(set(shots)) > 1
    assert tagging.tokens.read == sum(len(" ".join(m["content"] for m in request.prompt.messages).split())
                                      for request in scripted.history[::2])  # fmt: skip


def test_fixed_shots_are_shuffled_too(category: Task, scripted: ScriptedEngine) -> None:
    Tagger(three_times(category), engine=scripted).tag({"title": "tea"})

    heads = [request.prompt.head.shots for request in scripted.history]
    assert len({frozenset(head) for head in heads}) == 1
    assert len(set(heads)) == 3


def test_the_likeliest_on_average_wins(category: Task) -> None:
    said = iter([{"Tea": 0.6, "Coffee": 0.4}, {"Tea": 0.6, "Coffee": 0.4}, {"Tea": 0.0, "Coffee": 1.0}])

    tagging = Tagger(three_times(category), engine=ScriptedEngine(lambda p: next(said))).tag({"title": "x"})

    assert tagging.value("category") == "Coffee"
    assert tagging.tags["category"].probability == pytest.approx(0.6)


def test_a_text_that_most_answers_leave_out_is_left_out() -> None:
    fields = {"brand": TextField(), "size": TextField()}
    task = Task.define("parts", Definition(about="parts", columns={"title": Column()}, fields=fields))
    answers = iter([{"brand": "Acme"}, {"brand": "Acme", "size": "L"}, {"brand": "cup"}])

    def next_answer(prompt: Prompt) -> str:
        return json.dumps(next(answers))

    tagging = Tagger(three_times(task), engine=ScriptedEngine(next_answer)).tag({"title": "Acme cup L"})

    assert {name: tag.value for name, tag in tagging.tags.items()} == {"brand": "Acme"}
    assert tagging.tags["brand"].probability == pytest.approx(2 / 3)
    assert tagging.tags["brand"].alternatives[0].value == "cup"
    assert tagging.tags["brand"].evidence is not None


def test_votes_for_one_text_in_several_spellings_count_together() -> None:
    task = Task.define("parts", Definition(about="parts", columns={"title": Column()}, fields={"part": TextField()}))
    answers = iter(["led", "LED", "lamp"])
    engine = ScriptedEngine(lambda prompt: json.dumps({"part": next(answers)}))

    tag = Tagger(three_times(task), engine=engine).tag({"title": "LED lamp"}).tags["part"]

    assert (tag.value, tag.probability) == ("LED", pytest.approx(2 / 3))


def test_an_item_that_most_answers_leave_out_is_left_out() -> None:
    fields = {"parts": TextsField(), "traits": LabelsField(labels=["new", "red"])}
    task = Task.define("parts", Definition(about="parts", columns={"title": Column()}, fields=fields))
    answers = iter([
        {"parts": ["cup"], "traits": []},
        {"parts": ["cup", "tea"], "traits": []},
        {"parts": ["lid", "tea"], "traits": ["red"]},
    ])  # fmt: skip
    engine = ScriptedEngine(lambda prompt: json.dumps(next(answers)))

    tags = Tagger(three_times(task), engine=engine).tag({"title": "tea cup lid"}).tags

    assert tags["parts"].value == ["tea", "cup"]  # in the order of the text
    assert tags["traits"].value == []


def test_one_answer_that_is_none_rejects_the_record(category: Task) -> None:
    said = iter(["Tea", "Soup", "Tea"])

    tagging = Tagger(three_times(category), engine=ScriptedEngine(lambda p: next(said))).tag({"title": "x"})

    assert (tagging.outcome, tagging.tags) == ("rejected", {})


def test_one_answer_is_taken_as_it_is() -> None:
    only = {"brand": Scores({'"Acme"': 0.4}, {}, 0.3)}

    assert voted([only]) == only
