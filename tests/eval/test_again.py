"""What labelled rows say in a run can be worked out anew; what the model said stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from eval.again import again
from eval.record import Run
from eval.run import header_of, run
from tagger import ScriptedEngine, Tagger, Task, load_task
from tagger.definition import Definition
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Column, Record
from tagger.schema import BooleanField, TextField

FIELDS = {"brand": TextField(), "colour": TextField(), "new": BooleanField()}
BRANDS, COLOURS = ("Acme", "Bolt", "Cora", "Dune"), ("red", "blue", "green")
CAPS = [
    Example(Record(f"{b} {c}", {"title": f"{b} {c} cap"}), {"brand": b, "colour": c}) for b in BRANDS for c in COLOURS
]
JUDGED = [Example(Record("1", {"title": "Elm red cap"}), {"brand": "Elm", "colour": "red"})]
TEAS = [Example(Record(str(n), {"title": f"green tea {n}"}), {"category": "Tea"}) for n in range(9)]


def recorded(task: Task, said: str | Mapping[str, float], examples: Sequence[Example], pool: Sequence[Example]) -> Run:
    tagger = Tagger(task, engine=ScriptedEngine(lambda prompt: said), shots=pool)
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
