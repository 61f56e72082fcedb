"""The rows that were brought to a task in, records out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from eval.workbench.files import safe_name
from eval.workbench.pictures import PICTURES, apart, named
from tagger.errors import SourceError
from tagger.record import Record, Rejected
from tagger.sinks import write_whole
from tagger.sources import records
from tagger.task import load_task

ROWS = "rows"


def row_files(folder: Path) -> list[str]:
    """The names of the files of rows that were brought to a task."""
    return sorted(path.stem for path in (folder / ROWS).glob("*.jsonl"))


def rows_file(folder: Path, name: str) -> Path:
    """Where a file of rows lies."""
    return folder / ROWS / f"{safe_name(name, 'file of rows')}.jsonl"


def write_mapping(folder: Path, name: str, mapping: Mapping[str, str]) -> None:
    """Put down which columns of a file are read as which of the task."""
    if mapping:
        write_whole(
            rows_file(folder, name).with_suffix(".columns.json"), json.dumps(mapping, ensure_ascii=False) + "\n"
        )


def read_mapping(folder: Path, name: str) -> dict[str, str]:
    """Which columns of a file are read as which of the task, where their names differ."""
    path = rows_file(folder, name).with_suffix(".columns.json")
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def read_rows(folder: Path, name: str) -> Iterator[Record | Rejected]:
    """Its rows as the task reads them, pictures by their names; SourceError if there is no such file."""
    path = rows_file(folder, name)
    if not path.is_file():
        raise SourceError("no such file of rows", where=name, hint="bring one on the page Try")
    return records(path, named(load_task(folder).columns), read_mapping(folder, name))


def picture_notes(folder: Path, name: str) -> list[str]:
    """What to know about pictures that the rows name, but that did not come with them."""
    columns = load_task(folder).columns
    called = (apart(columns, row)[1].values() for row in read_rows(folder, name) if isinstance(row, Record))
    strange = [text for texts in called for text in texts if not text.startswith((f"{PICTURES}/", "data:"))]
    addresses = sum(text.startswith(("http:", "https:", "//")) for text in strange)
    found = []
    if addresses:
        found.append(f"pictures that are addresses: {addresses:,}; none is fetched, so these rows will be rejected")
    if paths := len(strange) - addresses:
        told = f"pictures that are names of files: {paths:,}; they are looked for in the task's folder, where whoever"
        found.append(f"{told} runs the workbench may put them; a Parquet file can hold them itself")
    return found


def rows_of(folder: Path, name: str, most: int | None = None) -> list[Record | Rejected]:
    """Its first `most` rows, or all."""
    return list(islice(read_rows(folder, name), most))
