"""A trial tags records in the background, is kept as it comes, and says what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Event

import pytest

from eval.workbench.trial import Trials, earlier, heads, latest, read_trial
from tagger.definition import Definition
from tagger.engines.base import Completion, Engine, Request
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import EngineError
from tagger.record import Column, Record
from tagger.schema import LabelField
from tagger.task import Task

TASK = Task.define(
    "drinks",
    Definition(
        about="Drinks", columns={"title": Column()}, fields={"kind": LabelField(labels={"Tea": "", "Coffee": ""})}
    ),
)
RECORDS = [Record(str(n), {"title": f"Green tea {n}"}) for n in range(30)]


def started(trials: Trials, folder: Path, records: Sequence[Record] = RECORDS) -> str:
    """The name of a trial that was started and is over."""
    trial = trials.start(nullcontext(TASK), records, folder, what="live", rows="some", author="ann")
    trials.wait(folder, trial.name)
    return trial.name


def opened(*engines: Engine) -> Callable[[], Engine]:
    """What opens these engines one after another."""
    left = iter(engines)
    return lambda: next(left)


class Dying(ScriptedEngine):
    """Dies at its third batch."""

    batches = 0

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """The answers, twice."""
        self.batches += 1
        if self.batches > 2:
            raise EngineError("it has died")
        return super().complete(requests)


class Slow(ScriptedEngine):
    """Answers once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = Event()

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """The answers."""
        self.let.wait(20)
        return super().complete(requests)


def test_a_trial_that_waits_for_its_turn_can_be_stopped_and_one_that_runs(tmp_path: Path) -> None:
    engine = Slow()
    trials = Trials(lambda: engine)
    first, second = (
        trials.start(nullcontext(TASK), RECORDS, tmp_path, what="live", rows=rows, author="ann") for rows in ("a", "b")
    )
    assert [trial for _, trial in trials.under_way()] == [first, second]

    trials.stop(second)
    assert (second.state, [trial for _, trial in trials.under_way()]) == ("stopped", [first])
    trials.stop(first)
    engine.let.set()
    for trial in (first, second):
        trials.wait(tmp_path, trial.name)

    assert (first.state, second.state, second.taggings) == ("stopped", "stopped", [])
    assert 0 < len(first.taggings) < len(RECORDS)
    assert [read_trial(tmp_path / f"{one.name}.jsonl").state for one in (first, second)] == ["stopped"] * 2
    assert list(heads(tmp_path, 9)) == [second.name, first.name]
    assert earlier(tmp_path, second).name == first.name  # type: ignore[union-attr]
    assert earlier(tmp_path, first) is None


def test_all_records_are_tagged_in_order_and_kept(tmp_path: Path) -> None:
    trials = Trials(ScriptedEngine)
    name = started(trials, tmp_path)
    kept = read_trial(tmp_path / f"{name}.jsonl")
    assert [tagging.id for tagging in kept.taggings] == [record.id for record in RECORDS]
    assert (kept.state, kept.what, kept.rows, kept.author) == ("done", "live", "some", "ann")
    assert kept.taggings[0].value("kind") == "Tea"


def test_an_engine_that_dies_is_opened_again_and_no_record_is_lost(tmp_path: Path) -> None:
    name = started(Trials(opened(Dying(), ScriptedEngine())), tmp_path)
    kept = read_trial(tmp_path / f"{name}.jsonl")
    assert [tagging.id for tagging in kept.taggings] == [record.id for record in RECORDS]
    assert kept.state == "done"


def test_an_engine_that_does_not_come_back_is_told_and_what_is_there_stays(tmp_path: Path) -> None:
    def refuse() -> Engine:
        raise EngineError("no memory", hint="take a smaller model")

    engines = iter([Dying, refuse])
    name = started(Trials(lambda: next(engines)()), tmp_path)
    kept = read_trial(tmp_path / f"{name}.jsonl")
    assert kept.state == "failed"
    assert "no memory" in kept.reason
    assert 0 < len(kept.taggings) < len(RECORDS)


def test_a_stop_is_heeded_between_two_batches(tmp_path: Path) -> None:
    asked, go = Event(), Event()

    def slow(prompt: object) -> str:
        asked.set()
        assert go.wait(10)
        return "Tea"

    trials = Trials(lambda: ScriptedEngine(slow))
    trial = trials.start(nullcontext(TASK), RECORDS, tmp_path, what="live", rows="some", author="ann")
    assert asked.wait(10)
    trial.halt.set()
    go.set()
    trials.wait(tmp_path, trial.name)
    assert trial.state == "stopped"
    assert len(trial.taggings) == 4
    assert latest(trials, tmp_path) is trial


def test_a_trial_whose_process_has_died_is_told_as_stopped(tmp_path: Path) -> None:
    name = started(Trials(ScriptedEngine), tmp_path)
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:9]), "utf-8")
    kept = read_trial(path)
    assert (kept.state, len(kept.taggings)) == ("stopped", 8)


def test_trials_are_numbered_and_the_last_is_shown_first(tmp_path: Path) -> None:
    trials = Trials(ScriptedEngine)
    assert latest(trials, tmp_path) is None
    assert [started(trials, tmp_path, RECORDS[:2]) for _ in range(3)] == ["0001", "0002", "0003"]
    found = latest(Trials(ScriptedEngine), tmp_path)
    assert found
    assert found.name == "0003"
    assert latest(trials, tmp_path, "0099") is None


@pytest.mark.parametrize("close_first", [True, False])
def test_closing_ends_what_runs_and_gives_back_the_engine(tmp_path: Path, close_first: bool) -> None:
    closed = Event()

    class Closing(ScriptedEngine):
        def close(self) -> None:
            """Say so."""
            closed.set()

    trials = Trials(Closing)
    if not close_first:
        started(trials, tmp_path)
    trials.close()
    assert closed.is_set() is not close_first
