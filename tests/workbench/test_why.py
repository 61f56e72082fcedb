"""Why a value was said: the words without which it would not have been."""

from __future__ import annotations

from collections.abc import Mapping

from eval.workbench.why import MOST, why
from tagger.engines.scripted import ScriptedEngine
from tagger.pipeline import Tagger
from tagger.plan import Shots
from tagger.prompt import Prompt
from tagger.record import Column, Record
from tagger.schema import LabelField
from tagger.task import Definition, Task

FIELDS = {"kind": LabelField(labels={"Tea": "", "Coffee": ""})}


def tagger() -> Tagger:
    """One that knows tea by the word leaf alone."""

    def answer(prompt: Prompt) -> Mapping[str, float]:
        tea = 0.9 if "leaf" in prompt.record else 0.2
        return {"Tea": tea, "Coffee": 1 - tea}

    task = Task.define("drinks", Definition(about="Drinks", columns={"title": Column()}, fields=FIELDS))
    alone = task.plan.model_copy(update={"shots": Shots(prior=0.0)})
    return Tagger(
        Task(task.id, task.definition, task.template, task.template_source, (), alone), engine=ScriptedEngine(answer)
    )


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
