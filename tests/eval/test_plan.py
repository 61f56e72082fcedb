"""The search takes the plan that dev rows show to be best, and of equals the cheapest."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from eval.plan import FIRST, Trial, candidates, confirm, in_words, search, write_plan
from tagger import ScriptedEngine
from tagger.definition import Definition
from tagger.errors import SourceError
from tagger.plan import load_plan
from tagger.prompt import Prompt
from tagger.record import Column
from tagger.schema import PathField
from tagger.task import Task, load_task, prompts_folder
from tests.eval.conftest import example

DEV = [example(f"green tea {i}", "Tea") if i % 2 else example(f"ground coffee {i}", "Coffee") for i in range(2 * FIRST)]
POOL = [example(f"black tea number {i}", "Tea") for i in range(9)] + [example(f"mocha {i}", "Coffee") for i in range(9)]


def right(prompt: Prompt) -> str:
    return "Tea" if "tea" in prompt.record else "Coffee"


def clueless_without_shots(prompt: Prompt) -> str:
    return right(prompt) if prompt.head.shots else "Lure"


def code(prompt: Prompt, text: str) -> str:
    """A script answers a codes ask with the code of the text, as the instruction lists it."""
    lines = prompt.head.instruction.splitlines()
    return next((line[0] for line in lines if line[1:].startswith(f" = {text}")), text)


def test_candidates_are_forms_and_shots_and_shortlists(category: Task) -> None:
    tried = {in_words(plan, True) for plan in candidates(category, True)}

    assert "label; 3 shots, rows^1" in tried
    assert "codes; 10 shots, rows^1" in tried
    assert not any("of 20" in words for words in tried)


def test_a_path_is_tried_by_levels_only_where_no_label_is_the_beginning_of_another() -> None:
    def tried(*labels: str) -> set[str]:
        fields = {"leaf": PathField(labels=labels)}
        task = Task.define("shelf", Definition(about="shelf", columns={"title": Column()}, fields=fields))
        return {plan.ask[0].form for plan in candidates(task, True)}

    assert "levels" in tried("Food > Tea", "Food > Rice")
    assert "levels" not in tried("Food", "Food > Tea", "Food > Rice")


def test_of_equals_the_cheapest_is_taken(category: Task) -> None:
    heard: list[Trial] = []

    best, second = search(category, ScriptedEngine(lambda p: code(p, right(p))), DEV, POOL, heard.append)

    assert best.f1 == second.f1 == 1
    assert best.tokens <= second.tokens
    assert best.plan.shots.retrieved == 1
    assert {trial.rows for trial in heard} == {FIRST, 2 * FIRST}
    assert sum(trial.rows == FIRST for trial in heard) == len(candidates(category, True))


def test_accuracy_goes_before_tokens(category: Task) -> None:
    engine = ScriptedEngine(lambda p: code(p, clueless_without_shots(p)))

    best, _ = search(category, engine, DEV, [])

    assert best.plan.shots.fixed == 20
    assert best.f1 == 1


def test_a_larger_model_decides_between_two_plans(category: Task) -> None:
    """It knows the answers only where shots of the pool are shown; the plan without any is cheaper."""
    shots = [category.plan.shots.model_copy(update={"retrieved": n, "prior": 0.0}) for n in (0, 3)]
    without, shown = (category.plan.model_copy(update={"shots": one}) for one in shots)
    larger = ScriptedEngine(lambda p: right(p) if p.shots else "Tea")

    best = confirm(category, larger, DEV, POOL, [without, shown])

    assert best.plan == shown
    assert best.f1 == 1
    assert best.rows == len(DEV)


def test_the_order_of_shots_is_tried_on_the_best_plan(category: Task) -> None:
    """Right only where the nearest of several shots stands first."""

    def answer(prompt: Prompt) -> str:
        first = len(prompt.shots) > 1 and prompt.shots[0][1] == right(prompt)
        return right(prompt) if first else "Tea"

    heard: list[Trial] = []
    plan = category.plan.model_copy(update={"shots": category.plan.shots.model_copy(update={"prior": 0.0})})
    search(replace(category, plan=plan), ScriptedEngine(lambda p: code(p, answer(p))), DEV, POOL, heard.append)

    assert any(trial.plan.shots.nearest == "first" for trial in heard)


def test_too_few_dev_rows_are_refused(category: Task) -> None:
    with pytest.raises(SourceError, match="23 dev rows are too few"):
        search(category, ScriptedEngine(right), DEV[:23], POOL)


def test_a_written_plan_is_read_again(category: Task, tmp_path: Path) -> None:
    shots = category.plan.shots.model_copy(update={"retrieved": 6, "prior": 0.5})
    chosen = Trial(category.plan.model_copy(update={"shots": shots}), 96, 0.99, 210)
    folder = tmp_path / "category"
    shutil.copytree(prompts_folder() / "category", folder)

    write_plan(folder / "plan.toml", chosen, "some-model")

    assert load_task(folder).plan == chosen.plan
    assert "96 dev rows with some-model" in (folder / "plan.toml").read_text("utf-8")
    assert load_plan(folder / "plan.toml", category.fields) == replace(category, plan=chosen.plan).plan
