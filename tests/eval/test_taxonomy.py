"""A public taxonomy of thousands of leaves is loaded, shortlisted and asked about at about the cost of a small one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest

from eval.sets import labelled_set, rows
from tagger import ScriptedEngine, Tagger
from tagger.demo import catalogue
from tagger.engines import chat_tokenizer
from tagger.plan import Ask
from tagger.task import Task


def tokens(task: Task, titles: list[str]) -> float:
    """Mean tokens that the default model reads of each title, nothing cached."""
    engine = ScriptedEngine()
    Tagger(task, engine=engine).tag([{"title": title} for title in titles])
    chat = chat_tokenizer("qwen2.5-coder-0.5b-instruct")
    prompts = [request.prompt for request in engine.history]
    return sum(len(chat.head_ids(prompt.head)) + len(chat.bodies([prompt])[0]) for prompt in prompts) / len(prompts)


@pytest.mark.parametrize(("name", "leaves"), [("google-taxonomy", 4612), ("google-taxonomy-zh", 3688)])
def test_thousands_of_leaves_load_and_are_shortlisted_in_two_seconds(labelled: Path, name: str, leaves: int) -> None:
    start = process_time()

    task, _ = labelled_set(name, labelled)
    engine = ScriptedEngine()
    Tagger(task, engine=engine).tag({"title": "Green tea bags 绿茶"})

    assert process_time() - start < 2
    assert len(task.fields["category"].labels) == pytest.approx(leaves, abs=10)  # type: ignore[attr-defined]
    assert len(engine.history[0].constraint.choices) == 20


@pytest.mark.parametrize(
    ("name", "leaves", "first"),
    [
        ("titles18-zh", 18, "医药保健 > 传统滋补 > 冬虫夏草"),
        ("flipkart-1050-l2", 62, "Beauty and Personal Care > Hair Care"),
    ],
)
def test_the_levels_of_a_row_are_read_as_a_path(labelled: Path, name: str, leaves: int, first: str) -> None:
    task, found = labelled_set(name, labelled)

    judged = rows(task, found, labelled, "test")

    assert len(task.fields["category"].labels) == leaves  # type: ignore[attr-defined]
    assert judged[0].answer == {"category": first}


@pytest.mark.model
def test_a_question_costs_about_what_it_costs_with_133_leaves(labelled: Path) -> None:
    titles = [product["title"] for product in catalogue("en")]
    large, _ = labelled_set("google-taxonomy", labelled)
    aisles, _ = labelled_set("instacart-aisles", labelled)
    ask = Ask(form="label", fields=("category",), shortlist=20)
    small = replace(aisles, plan=aisles.plan.model_copy(update={"ask": (ask,)}))

    assert tokens(large, titles) <= 1.5 * tokens(small, titles)
