"""Rows with pictures that were brought to a task, tried and reviewed, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eval.workbench.records import rows_file, rows_of
from eval.workbench.reviews import Review, add, labelled, reviews
from eval.workbench.trial import Trial, Trials
from eval.workbench.uploads import bring
from tagger.engines.scripted import ScriptedEngine
from tagger.example import Example
from tagger.record import Record
from tagger.task import load_task
from tests.tagger.test_picture import BLUE, RED

HTML = b"<html><script>alert(1)</script></html>"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
ROWS = [
    {"sku": "p1", "title": "a pot", "photo": RED},
    {"sku": "p2", "title": "a pot", "photo": BLUE},
    {"sku": "p3", "title": "a cup", "photo": RED},
    {"sku": "p4", "title": "a page", "photo": HTML},
]


def brought(folder: Path, rows: Sequence[dict[str, Any]] = ROWS) -> list[Record]:
    """The rows of a Parquet file that was brought to the task."""
    path = folder.parent / "goods.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    bring(path, path.name, rows_file(folder, "goods"), pictures=folder)
    return [row for row in rows_of(folder, "goods") if isinstance(row, Record)]


def tried(folder: Path, records: Sequence[Record], engine: ScriptedEngine) -> Trial:
    trials = Trials(lambda: engine)
    trial = trials.start(nullcontext(load_task(folder)), records, folder / "runs", what="live", rows="goods",
                         author="ann", beside=folder)  # fmt: skip
    trials.wait(folder / "runs", trial.name)
    return trial


def reviewed(folder: Path, records: Sequence[Record]) -> list[Example]:
    task = load_task(folder)
    add(folder, task, *(Review("ann", record, {"colour": "red"}) for record in records))
    return labelled(reviews(folder, task).valid, "dev")
