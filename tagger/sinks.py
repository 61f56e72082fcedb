"""Lines of tags in, a file out: whole under its name, or not there; and back.

A run writes its output in shards of so many rows, and a manifest last: a folder with a manifest is a finished run.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tagger.errors import SourceError
from tagger.formats import rows
from tagger.record import Rejected
from tagger.schema import ClaimsField, FieldBase, LabelField, PathField, TextField, takes_several, takes_spans
from tagger.tables import OUTPUT_COLUMNS, RULE_COLUMNS, columns_of, untraced_column
from tagger.task import Task

Format = Literal["jsonl", "csv", "parquet"]
_Cell = Literal["text", "number", "place", "places", "proofs"]
"""What stands in a column: `places` are those of the items of a list, `proofs` several for each item."""
MANIFEST = "_manifest.json"
SHARD_NAME = re.compile(r"tags-\d{5,}\.(jsonl|csv|parquet)")


def shard_name(number: int, form: Format) -> str:
    """The name of a run's shard, counted from 0."""
    return f"tags-{number:05d}.{form}"


def shards(folder: Path) -> list[Path]:
    """The shards that lie in a folder, in order."""
    return sorted(path for path in folder.glob("tags-*") if SHARD_NAME.fullmatch(path.name))


def write_shard(
    path: Path,
    form: Format,
    lines: Iterable[Mapping[str, Any]],
    fields: Mapping[str, FieldBase],
    *,
    ruled: bool = False,
) -> None:
    """Write lines of tags (result.py: line_of) as one file; SourceError where it cannot be written.

    `ruled`: they are of a task with rules, whose tables have RULE_COLUMNS besides, with JSON in them.
    """
    write = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}[form]
    with _whole(path) as unfinished:
        write(unfinished, lines, fields, ruled)


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what a finished run came to."""
    write_whole(folder / MANIFEST, json.dumps(facts, ensure_ascii=False, indent=2) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a finished run came to; SourceError where there is none."""
    path = folder / MANIFEST
    if not path.is_file():
        raise SourceError(
            "the folder holds no finished run", where=str(folder), hint="tagger status says how far it is"
        )
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def tag_lines(folder: Path, task: Task) -> Iterator[Mapping[str, Any]]:
    """The lines of a finished run in any of its formats: id, outcome, and of each tag value and probability.

    Raises SourceError for an unfinished run, one of another task or version of it, and for broken files.
    """
    facts = read_manifest(folder)
    if (facts["task"], facts["task_version"]) != (task.id, task.version):
        told = f"tags of task {facts['task']} {facts['task_version']}, this is {task.id} {task.version}"
        raise SourceError(told, where=str(folder), hint="tag again with the task as it is now")
    for name in facts["output"]:
        try:
            for line in _read(folder / name, task.fields):
                yield {"id": line["id"], "outcome": line["outcome"], "tags": _values(line["tags"], task.fields)}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SourceError(f"not a file of tags: {error!r}", where=str(folder / name)) from None


def write_whole(path: Path, text: str) -> None:
    """Write a text as a file. SourceError where it cannot be written."""
    with _whole(path) as unfinished:
        unfinished.write_text(text, "utf-8")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Another name to write a file under; it gets its own once it is written and on the disk."""
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        hint = "free some space, and give the same command again: what is answered is kept"
        raise SourceError(f"cannot write: {error.strerror or error}", where=str(path), hint=hint) from None


def _jsonl(path: Path, lines: Iterable[Mapping[str, Any]], fields: Mapping[str, FieldBase], ruled: bool) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _csv(path: Path, lines: Iterable[Mapping[str, Any]], fields: Mapping[str, FieldBase], ruled: bool) -> None:
    with path.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        table = csv.DictWriter(file, list(_columns(fields, ruled)))
        table.writeheader()
        for line in lines:
            row = _flat(line, fields)
            table.writerow({name: json.dumps(cell) if isinstance(cell, list) else cell for name, cell in row.items()})


def _parquet(path: Path, lines: Iterable[Mapping[str, Any]], fields: Mapping[str, FieldBase], ruled: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = pa.list_(pa.int64())
    kinds = {"text": pa.string(), "number": pa.float64(), "place": pa.int64(), "places": places}
    kinds |= {"proofs": pa.list_(places)}
    schema = pa.schema([(name, kinds[kind]) for name, kind in _columns(fields, ruled).items()])
    flat = [_flat(line, fields) for line in lines]
    columns = [
        pa.array([row.get(name) for row in flat], kind) for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path)


def _columns(fields: Mapping[str, FieldBase], ruled: bool) -> dict[str, _Cell]:
    """The columns of a table of tags, and what stands in them."""
    columns: dict[str, _Cell] = dict.fromkeys(OUTPUT_COLUMNS, "text")
    for name, field in fields.items():
        value, probability, *ends = columns_of(name)
        columns |= {value: "text", probability: "number"}
        if isinstance(field, ClaimsField):
            columns |= {**dict.fromkeys(ends, "proofs"), untraced_column(name): "text"}
            continue
        columns |= dict.fromkeys(ends, "places" if takes_spans(field) and takes_several(field) else "place")
    return columns | dict.fromkeys(RULE_COLUMNS if ruled else (), "text")


def _flat(line: Mapping[str, Any], fields: Mapping[str, FieldBase]) -> dict[str, Any]:
    """A line as one row of a table; values that are not text are written as JSON, places of a list as lists."""
    row = {key: value for key, value in line.items() if key in OUTPUT_COLUMNS}
    made = {name: tag["corrections"] for name, tag in line["tags"].items() if "corrections" in tag}
    for column, told in zip(RULE_COLUMNS, (made, line.get("conflicts")), strict=True):
        row |= {column: json.dumps(told, ensure_ascii=False)} if told else {}
    for name, tag in line["tags"].items():
        value, proof = tag["value"], tag.get("evidence")
        text = value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if value is None:
            ends: list[Any] = [None, None]  # what proves a value that is withheld stands in JSON lines alone
        elif isinstance(proof, list):
            ends = [[_end(place, end) for place in proof] for end in ("start", "end")]
        else:
            ends = [proof and proof[end] for end in ("start", "end")]
        row.update(zip(columns_of(name), (text, tag["probability"], *ends), strict=True))
        if isinstance(fields[name], ClaimsField):
            row[untraced_column(name)] = json.dumps(tag["untraced"], ensure_ascii=False) if "untraced" in tag else None
    return row


def _end(place: Any, end: str) -> Any:
    """Start or end of the evidence of an item of a list: none, one, or a list of several."""
    return [_end(one, end) for one in place] if isinstance(place, list) else place and place[end]


def _read(path: Path, fields: Mapping[str, FieldBase]) -> Iterator[Mapping[str, Any]]:
    """The lines of a shard, those of a table with values as they were before they became text."""
    columns = {name: columns_of(name)[:2] for name in fields}
    wanted = ["id", "outcome", *(column for pair in columns.values() for column in pair)]
    for row in rows(path, lambda _: wanted):
        if isinstance(row, Rejected):
            raise ValueError(row.reason)
        if path.suffix == ".jsonl":
            yield row
            continue
        tags = {}
        for name, (value, probability) in columns.items():
            if row[probability] not in (None, ""):
                cell, plain = row[value] or None, isinstance(fields[name], LabelField | PathField | TextField)
                said = cell if cell is None or plain else json.loads(cell)
                tags[name] = {"value": said, "probability": float(row[probability])}
        yield {"id": row["id"], "outcome": row["outcome"], "tags": tags}


def _values(tags: Mapping[str, Any], fields: Mapping[str, FieldBase]) -> dict[str, dict[str, Any]]:
    """Value and probability of each tag; ValueError for one of no field."""
    if unknown := set(tags) - set(fields):
        raise ValueError(f"tags of no field: {sorted(unknown)}")
    return {name: {"value": tag["value"], "probability": tag["probability"]} for name, tag in tags.items()}
