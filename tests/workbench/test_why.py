"""Why a value was said: the words without which it would not have been."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from eval.workbench.why import MOST, why
from tagger.definition import Definition
from tagger.engines.base import Completion, Request
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import EngineError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.plan import Shots
from tagger.prompt import Prompt
from tagger.record import Column, Record
from tagger.schema import LabelField
from tagger.task import Task

FIELDS = {"kind": LabelField(labels={"Tea": "", "Coffee": ""})}


def by_leaf(prompt: Prompt) -> Mapping[str, float]:
    """Knows tea by the word leaf alone."""
    tea = 0.9 if "leaf" in prompt.record else 0.2
    return {"Tea": tea, "Coffee": 1 - tea}


def tagger(
    answer: Callable[[Prompt], Any] = by_leaf, columns: Sequence[str] = ("title",), examples: Sequence[Example] = ()
) -> Tagger:
    """One to which its examples say nothing by themselves."""
    described = Definition(about="Drinks", columns={name: Column() for name in columns}, fields=FIELDS)
    task = Task.define("drinks", described)
    alone = task.plan.model_copy(update={"shots": Shots(prior=0.0)})
    shown = replace(task, examples=tuple(examples), plan=alone)
    return Tagger(shown, engine=ScriptedEngine(answer))


def test_the_word_that_decides_carries_the_answer_and_the_others_nothing() -> None:
    found = why(tagger(), Record("1", {"title": "green leaf 100 g"}), "kind")
    assert found
    falls = {word.text: round(word.fall, 6) for word in found.words}
    assert (found.value, round(found.probability, 6)) == ("Tea", 0.9)
    assert falls == {"green": 0.0, "leaf": 0.7, "100": 0.0, "g": 0.0}
    assert {word.text: word.then for word in found.words if word.then is not None} == {"leaf": "Coffee"}


def test_a_long_text_is_asked_again_a_bounded_number_of_times() -> None:
    title = " ".join(["word"] * 400 + ["leaf"])
    found = why(tagger(), Record("1", {"title": title}), "kind")
    assert found
    assert len(found.words) <= MOST
    assert next(word for word in found.words if word.fall > 0.5).text.endswith("leaf")


def test_a_field_of_which_nothing_was_said_has_no_reason() -> None:
    assert why(tagger(), Record("1", {"title": "leaf"}), "brand") is None


def test_of_two_long_columns_together_no_more_is_asked() -> None:
    row = {"title": "word " * 61, "note": "word " * 61}
    found = why(tagger(columns=("title", "note")), Record("1", row), "kind")
    assert found
    assert len(found.words) <= MOST


def test_the_shots_are_those_of_the_prompt() -> None:
    shot = Example(Record("s", {"title": "black leaf"}), {"kind": "Tea"})
    found = why(tagger(examples=[shot]), Record("1", {"title": "leaf"}), "kind")
    assert found
    assert [("black leaf" in record, answer) for record, answer in found.shots] == [(True, "Tea")]


class Failing(ScriptedEngine):
    """Cannot serve what is asked without the leaf."""

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        done = super().complete(requests)
        kept = ["leaf" in request.prompt.record for request in requests]
        return [one if k else replace(one, finish_reason="error") for one, k in zip(done, kept, strict=True)]


def test_an_engine_that_fails_is_no_reason() -> None:
    failing = tagger()
    failing.engine = Failing(by_leaf)

    with pytest.raises(EngineError):
        why(failing, Record("1", {"title": "green leaf"}), "kind")
