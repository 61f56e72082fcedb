"""How time and memory grow with the catalogue: everything but the model, Parquet to Parquet, tokenizing included.

The rows are the titles of the shipped catalogue with a number behind, so no two are the same. Each size runs in a
process of its own, whose peak memory is what the system says (Linux).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from time import perf_counter, sleep

import pyarrow as pa
import pyarrow.parquet as pq

from eval.sets import labelled_set, rows
from tagger.cli_running import loaded_for_good
from tagger.demo import catalogue
from tagger.engines import chat_tokenizer
from tagger.engines.base import Completion, Request
from tagger.engines.scripted import ScriptedEngine
from tagger.pipeline import Tagger
from tagger.plan import Shots
from tagger.run import tag_file
from tagger.settings import prepare_process
from tagger.task import load_task

PIECE = 10_000
"""Rows written at once to the catalogue."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of tagging so many rows without a model."""

    rows: int
    shots: int
    """Retrieved for each."""
    seconds: float
    mebibytes: float
    """Of memory at the most, the program's own 300 or so included."""

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


class Tokenizing(ScriptedEngine):
    """Answers with the first label after tokenizing the prompt, as an engine does, and at its `rate` of rows a second,
    one batch at a time."""

    def __init__(self, model: str | None, rate: float | None) -> None:
        super().__init__()
        self._chat, self._rate, self._turn = chat_tokenizer(model), rate, Lock()

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Labels with all the probability on the first."""
        with self._turn:
            bodies = self._chat.bodies([request.prompt for request in requests])
            if self._rate:
                sleep(len(requests) / self._rate)
        found = []
        for request, body in zip(requests, bodies, strict=True):
            head, (first, *others) = len(self._chat.head_ids(request.prompt.head)), request.constraint.choices
            masses = {first: 1.0, **dict.fromkeys(others, 0.0)}
            found.append(Completion(first, "stop", (), (), masses, head + len(body), head, 1))
        return found


def grow(
    sizes: Sequence[int], shots: int, root: Path | None, model: str | None, served: float | None
) -> Iterator[Cost]:
    """The cost of each size, with `shots` examples retrieved for each row from the train rows in `root`, and an engine
    that answers `served` rows a second (None: at once)."""
    for size in sizes:
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            yield alone.submit(_cost, size, shots, root, model, served).result()


def _cost(size: int, shots: int, root: Path | None, model: str | None, served: float | None) -> Cost:
    prepare_process()
    task = load_task("category")
    task = replace(task, plan=task.plan.model_copy(update={"shots": Shots(retrieved=shots)}))
    pool = rows(task, labelled_set("category", root)[1], root, "train") if shots and root else None
    tagger = Tagger(task, engine=Tokenizing(model, served), shots=pool)
    with loaded_for_good(), tempfile.TemporaryDirectory() as place:
        source = Path(place) / "catalogue.parquet"
        _write(source, size)
        begun = perf_counter()
        tag_file(tagger, source, Path(place) / "tags", form="parquet")
        seconds = perf_counter() - begun
    return Cost(size, shots, seconds, _peak())


def _peak() -> float:
    """Mebibytes that this process held at the most. (getrusage would count what its parent held before.)"""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def _write(path: Path, size: int) -> None:
    titles = [product["title"] for product in catalogue("en")]
    schema = pa.schema([("id", pa.string()), ("title", pa.string())])
    with pq.ParquetWriter(path, schema) as file:
        for start in range(0, size, PIECE):
            numbers = range(start, min(start + PIECE, size))
            columns = [f"p{n}" for n in numbers], [f"{titles[n % len(titles)]}, no {n}" for n in numbers]
            file.write_table(pa.table(list(columns), schema=schema))
