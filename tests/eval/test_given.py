"""A column can come from an earlier run, and what did not change is not asked again."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.given import unchanged, with_predicted
from eval.record import Header, Run, based_on
from eval.run import header_of, run
from eval.score import judge
from tagger import ScriptedEngine, Tagger, load_task
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Column, Record


def test_a_column_has_what_the_run_predicted(tea_run: Run, rows: list[Example]) -> None:
    found = with_predicted(rows[:3], "category", tea_run, Column(allowed=("Tea", "Coffee")))

    assert [e.record.values["category"] for e in found] == ["Tea", "Tea", "Coffee"]
    assert [e.answer for e in found] == [e.answer for e in rows[:3]]


def test_a_row_that_was_not_predicted_is_named(tea_run: Run, rows: list[Example]) -> None:
    with pytest.raises(SourceError, match="does not predict one value for 1 rows, the first is 'soup'"):
        with_predicted(rows, "category", tea_run, Column())


def test_a_value_that_the_column_does_not_take_is_named(tea_run: Run, rows: list[Example]) -> None:
    with pytest.raises(SourceError, match="does not take 'Tea'"):
        with_predicted(rows[:3], "category", tea_run, Column(allowed=("Coffee",)))


def test_values_of_a_wrong_category_are_invented() -> None:
    task = load_task("attributes")
    shoe = Example(Record("1", {"title": "Acme shoe", "category": "Shoes"}), {"Brand": "Acme"})
    tea = Example(Record("1", {"title": "Acme shoe", "category": "Tea"}), {"Brand": "Acme"})
    tagger = Tagger(task, engine=ScriptedEngine(lambda p: '{"Brand": "Acme", "Tea variety": "shoe"}'))
    head = header_of(tagger, [tea], set_name="x", split="test", sample=None, seed=0, shots=0)

    found = {v.field: v.kind for v in judge(run(tagger, [tea], head), task, [shoe])}

    assert found["Brand"] == "right"
    assert found["Tea variety"] == "invented"
    assert found["Size"] == "absent"


def test_what_is_the_same_is_not_asked_again(tea_tagger: Tagger, tea_run: Run, rows: list[Example]) -> None:
    loud = [Example(Record(e.record.id, {"title": e.record.values["title"].upper()}), e.answer) for e in rows[:2]]
    changed, engine = [*loud, *rows[2:]], tea_tagger.engine
    before = len(engine.history)  # type: ignore[attr-defined]

    found = run(tea_tagger, changed, tea_run.header, known=unchanged(rows, changed, tea_run))

    assert len(engine.history) - before == 2  # type: ignore[attr-defined]
    assert found.rows[2:] == tea_run.rows[2:]
    assert [row.id for row in found.rows] == [e.record.id for e in rows]


def test_a_base_of_another_run_is_refused(
    tea_tagger: Tagger, header: Header, rows: list[Example], tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl.gz"
    run(tea_tagger, rows, header, path=path)

    assert len(based_on(path, header.model_copy(update={"variant": "upper"})).rows) == 4
    with pytest.raises(SourceError, match="differ in more than the change: seed"):
        based_on(path, header.model_copy(update={"seed": 1}))
