"""A task and records in, taggings out while they come: in the background, whoever looks, kept in a file as they come.

A trial goes on when a page is closed, and what it has is there when the page is opened again. One at a time asks the
engine, in turn.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from time import perf_counter
from typing import Any, Literal

from eval.workbench.files import add_line, now, read_lines
from eval.workbench.pictures import opened
from tagger.engines import blind
from tagger.engines.base import Engine
from tagger.errors import EngineError, TaggerError
from tagger.pipeline import Tagger
from tagger.record import Record, Rejected
from tagger.result import Tagging, tagging_of
from tagger.sinks import write_whole
from tagger.task import Task

_LOG = logging.getLogger(__name__)
FIRST, MOST, MOST_PICTURES = 4, 256, 16
"""Records of the first batch, so that something is seen soon, of the largest, and of the largest with pictures."""
SHORT = 1.0
"""Seconds: after a batch that took less the next is twice as large."""

HEAD = ("task_version", "what", "rows", "author", "at")
"""What the first line of a trial's file says of it."""
State = Literal["waiting", "running", "done", "stopped", "failed"]


@dataclass
class Trial:
    """Records on their way through a task. What is here may grow while one looks."""

    name: str
    task_version: str
    what: str
    """Whose task it is: "version 3", "draft"."""
    rows: str
    """Where the records are from."""
    author: str
    at: str
    records: Sequence[Record | Rejected]
    beside: Path | None = None
    """The folder from which the names of their pictures lead."""
    state: State = "waiting"
    reason: str = ""
    """Why it failed."""
    seconds: float = 0.0
    taggings: list[Tagging] = field(default_factory=list)
    halt: Event = field(default_factory=Event, repr=False)

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.state in ("done", "stopped", "failed")

    @property
    def left(self) -> float | None:
        """Seconds to go, as far as it can be told."""
        done = len(self.taggings)
        return self.seconds / done * (len(self.records) - done) if done and not self.over else None


class Trials:
    """Runs trials on one engine, which is opened when the first needs it and again if it has died."""

    def __init__(self, opening: Callable[[], Engine]) -> None:
        self._opening = opening
        self._engine: Engine | None = None
        self._blind: tuple[Engine, str] | None = None
        self._lock, self._numbering, self._worker = Lock(), Lock(), ThreadPoolExecutor(1)
        self._under_way: dict[str, tuple[Trial, Future[None]]] = {}

    @property
    def engine(self) -> Engine:
        """The engine; opened if it is not yet. Raises what opening raises."""
        with self._lock:
            if self._engine is None:
                self._engine = self._opening()
            return self._engine

    @property
    def opened(self) -> Engine | None:
        """The engine if it is open."""
        return self._engine

    def blind(self) -> str:
        """Why the engine cannot be shown pictures; empty if it can. It is asked once, when no trial runs. Raises what
        asking raises."""
        return self._worker.submit(self._look).result()

    def _look(self) -> str:
        engine = self.engine
        if self._blind is None or self._blind[0] is not engine:
            self._blind = engine, blind(engine)
        return self._blind[1]

    def start(
        self, asked: AbstractContextManager[Task], records: Sequence[Record | Rejected], folder: Path, *,
        what: str, rows: str, author: str, beside: Path | None = None, calibrated: bool = True,
    ) -> Trial:  # fmt: skip
        """Have records tagged by the task that `asked` gives, and which is there for as long as its block lasts; the
        file with what comes of it lies in `folder`, the pictures that the records name below `beside`. Not
        `calibrated`: a live state is asked like one that is not. Raises what `asked` raises."""
        held = ExitStack()
        task = held.enter_context(asked)
        with self._numbering:
            number = max((int(path.stem) for path in folder.glob("*.jsonl") if path.stem.isdecimal()), default=0) + 1
            trial = Trial(f"{number:04}", task.version, what, rows, author, now(), tuple(records), beside)
            write_whole(folder / f"{trial.name}.jsonl", json.dumps(_facts(trial), ensure_ascii=False) + "\n")
        future = self._worker.submit(self._run, trial, held, task, folder / f"{trial.name}.jsonl", calibrated)
        self._under_way[f"{folder}/{trial.name}"] = trial, future
        return trial

    def of(self, folder: Path, name: str) -> Trial | None:
        """A trial of this process."""
        found = self._under_way.get(f"{folder}/{name}")
        return found[0] if found else None

    def under_way(self) -> list[tuple[Path, Trial]]:
        """Trials of this process that are not over, in the order in which they are asked, with their folders."""
        return [(Path(place).parent, trial) for place, (trial, _) in list(self._under_way.items()) if not trial.over]

    def stop(self, trial: Trial) -> None:
        """Ask nothing more of a trial; one that still waits for its turn is over at once."""
        trial.halt.set()
        if trial.state == "waiting":
            trial.state = "stopped"

    def wait(self, folder: Path, name: str) -> None:
        """Return when a trial is over."""
        self._under_way[f"{folder}/{name}"][1].result()

    def close(self) -> None:
        """Stop what runs, and give back the engine."""
        for trial, _ in self._under_way.values():
            trial.halt.set()
        self._worker.shutdown()
        if self._engine is not None:
            self._engine.close()

    def _run(self, trial: Trial, held: ExitStack, task: Task, path: Path, calibrated: bool) -> None:
        try:
            with held:
                if not trial.halt.is_set():
                    self._tag(trial, task, path, calibrated)
        except TaggerError as error:
            trial.state, trial.reason = "failed", str(error)
        except Exception as error:  # whoever waits has to hear of it, and the next trial has to run
            trial.state, trial.reason = "failed", f"a mistake of the program: {type(error).__name__}: {error}"
            _LOG.exception("trial %s has failed", path)
        add_line(path, {"state": trial.state, "reason": trial.reason, "seconds": round(trial.seconds, 2)})

    def _tag(self, trial: Trial, task: Task, path: Path, calibrated: bool) -> None:
        tagger, size, done = Tagger(task, engine=self.engine, calibrated=calibrated), FIRST, 0
        most = MOST_PICTURES if task.picture_columns else MOST
        trial.state = "running"
        while done < len(trial.records) and not trial.halt.is_set():
            begun = perf_counter()
            batch = [opened(one, task.columns, trial.beside) for one in trial.records[done : done + size]]
            try:
                found = tagger.tag_records(batch)
            except EngineError:
                self._drop()
                tagger = Tagger(task, engine=self.engine, calibrated=calibrated)
                found = tagger.tag_records(batch)
            taken = perf_counter() - begun
            trial.seconds += taken
            trial.taggings += found
            add_line(path, *({"tagging": tagging.to_dict()} for tagging in found))
            done += len(batch)
            size = min(2 * size, most) if taken < SHORT else size
        trial.state = "done" if done == len(trial.records) else "stopped"

    def _drop(self) -> None:
        """Leave an engine that has died; the next who needs one opens another."""
        with self._lock:
            engine, self._engine = self._engine, None
        with suppress(Exception):  # it is dead: how it takes being closed is all one
            if engine:
                engine.close()


def read_trial(path: Path) -> Trial:
    """A trial from its file, without its records; one whose process has died is "stopped"."""
    head, *lines = read_lines(path)
    trial = Trial(path.stem, **{name: head[name] for name in HEAD}, records=())
    trial.state = "stopped"
    for line in lines:
        if "tagging" in line:
            trial.taggings.append(tagging_of(line["tagging"]))
        else:
            trial.state, trial.reason, trial.seconds = line["state"], line["reason"], line["seconds"]
    return trial


def earlier(folder: Path, trial: Trial) -> Trial | None:
    """The last trial in a folder before this one that was over other rows; None if there was none."""
    before = sorted(path for path in folder.glob("*.jsonl") if path.stem.isdecimal() and path.stem < trial.name)
    return next((found for path in reversed(before) if (found := read_trial(path)).rows != trial.rows), None)


def _facts(trial: Trial) -> dict[str, Any]:
    return {name: getattr(trial, name) for name in HEAD}


def heads(folder: Path, most: int) -> dict[str, str]:
    """The last trials in a folder by name, the latest first, and what each was over, for people."""
    names = sorted((path.stem for path in folder.glob("*.jsonl") if path.stem.isdecimal()), reverse=True)[:most]
    found = {}
    for name in names:
        with (folder / f"{name}.jsonl").open("rb") as lines:  # thousands of taggings, of which only the number is told
            head = json.loads(lines.readline())
            count = sum(line.startswith(b'{"tagging"') for line in lines)
        found[name] = f"{head['rows']}: {count:,} rows by {head['what']}, {head['at'][:16].replace('T', ' ')}"
    return found


def latest(trials: Trials, folder: Path, name: str = "") -> Trial | None:
    """The trial of that name in a folder, or the last one there; that of this process if it is one."""
    names = [name] if name else sorted(path.stem for path in folder.glob("*.jsonl") if path.stem.isdecimal())
    if not names or not (folder / f"{names[-1]}.jsonl").is_file():
        return None
    return trials.of(folder, names[-1]) or read_trial(folder / f"{names[-1]}.jsonl")
