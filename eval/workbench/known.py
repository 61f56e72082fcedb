"""Rows that were brought with right answers in; reviews out, some to judge on, the others to train on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from eval.workbench.pictures import named
from eval.workbench.records import read_mapping, rows_file
from eval.workbench.reviews import Review, add, checked, content, test_contents
from tagger.errors import SettingsError, TaskError
from tagger.formats import rows
from tagger.record import Record, read_record
from tagger.task import load_task

JUDGE = 200
"""So many rows judge; all others train."""


def take_known(folder: Path, name: str, column: str, author: str) -> str:
    """Take the answers in a column of a file of rows as right ones, for a task with one field; what came of it.

    The rows that judge are drawn from all of the file at random, the same ones whenever it is the same: files are often
    sorted by category, and the first rows would judge a single one.

    Raises SettingsError for a task with several fields: a column would answer only one of them.
    """
    task = load_task(folder)
    if len(task.fields) != 1:
        hint = "bring the rows without answers, or as JSONL with all of them through Import on the page Review"
        raise SettingsError(f"the task has {len(task.fields)} fields, a column answers one", hint=hint)
    ((field_name, field),) = task.fields.items()
    found: dict[str, Review] = {}
    wrong: Counter[str] = Counter()
    test = test_contents(folder)
    for record, answer in _answered(folder, name, column):
        given = {field_name: (field.closed or {}).get(answer, answer)}
        try:
            checked(task, dict(record.values), given, record.id)
        except TaskError:
            wrong[answer] += 1
            continue
        if content(record) not in test:
            found.setdefault(content(record), Review(author, record, given, "train", rows=name))
    judge = min(JUDGE, len(found))
    drawn = set(Random(0).sample(range(len(found)), judge))
    add(folder, task, *(replace(one, use="dev") if n in drawn else one for n, one in enumerate(found.values())))
    told = f"{judge:,} known answers judge" + (f", {len(found) - judge:,} may train" if len(found) > judge else "")
    if wrong:
        some = ", ".join(f"{label!r} ({n:,})" for label, n in wrong.most_common(3))
        told += f"; {wrong.total():,} rows have answers that are none of the task's: {some}"
    return told


def _answered(folder: Path, name: str, column: str) -> Iterator[tuple[Record, str]]:
    """The records of a file of rows with what stands in that column, where something does."""
    columns, mapping = named(load_task(folder).columns), read_mapping(folder, name)
    for number, row in enumerate(rows(rows_file(folder, name)), start=1):
        record = read_record(row, columns, str(number), mapping)
        if isinstance(record, Record) and (answer := str(row.get(column) or "").strip()):
            yield record, answer
