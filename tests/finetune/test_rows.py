"""A training row asks as the service asks, and its target is what the grammar allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.rows import training_rows
from tagger import ScriptedEngine, Tagger
from tagger.ask import constraint
from tagger.task import load_task

xgrammar_testing = pytest.importorskip("xgrammar.testing")


@pytest.mark.parametrize("name", ["category", "attributes", "zh_category"])
def test_prompts_are_the_served_ones_and_targets_are_allowed(name: str) -> None:
    task = load_task(name)
    engine = ScriptedEngine()
    records = [example.record for example in task.examples]
    Tagger(task, engine=engine).tag_records(records)

    rows = list(training_rows(task, task.examples))

    assert [row.prompt for row in rows] == [request.prompt for request in engine.history]
    for row, request in zip(rows, engine.history, strict=True):
        assert xgrammar_testing._is_grammar_accept_string(request.constraint.grammar, row.completion)


def test_every_kind_of_field_has_a_target(shop: Path) -> None:
    task = load_task(shop)

    (row,) = training_rows(task, task.examples)

    grammar = constraint(task.plan.ask[0], task.fields).grammar
    assert xgrammar_testing._is_grammar_accept_string(grammar, row.completion)
