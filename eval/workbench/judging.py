"""Two states of a task and reviewed rows in, what the second changed out: the verdict of `eval compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eval.compare import Comparison, Judged, compare
from eval.record import Run, run_row
from eval.run import header_of
from eval.score import judge
from eval.workbench.chosen import chosen_task
from eval.workbench.pictures import worded
from eval.workbench.reviews import content
from tagger.engines.base import Engine
from tagger.errors import SourceError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.result import Tagging
from tagger.task import Task

LEAST = 10
"""Reviewed rows under which nothing is compared."""


def fair(rows: Sequence[Example], *tasks: Task) -> list[Example]:
    """The rows that none of the tasks shows as an example: a task may not be judged on what it is told.

    Raises SourceError for fewer than LEAST.
    """
    told = [(task, {content(example.record) for example in task.examples}) for task in tasks]
    left = [row for row in rows if not any(_contents(row, task) & shown for task, shown in told)]
    if len(left) < LEAST:
        hint = f"review at least {LEAST} rows that are no examples, on the page Review"
        raise SourceError(f"{len(left)} reviewed rows are too few to compare on", hint=hint)
    return left


def _contents(row: Example, task: Task) -> set[str]:
    """What the row would be as an example, with its pictures and without."""
    return {content(row.record), content(worded(row.record, task.columns))}


def judged(task: Task, engine: Engine, rows: Sequence[Example], taggings: Sequence[Tagging]) -> Judged:
    """What a task has made of the rows, value by value; without a calibration, which the live state alone has."""
    tagger = Tagger(task, engine=engine, calibrated=False)
    head = header_of(tagger, rows, set_name=task.id, split="dev", sample=None, seed=0, shots=0)
    run = Run(head, [run_row(tagging) for tagging in taggings])
    return Judged(run, judge(run, task, rows))


def held_against(
    folder: Path, person: str, choices: tuple[str, str], engine: Engine, rows: Sequence[Example],
    taggings: tuple[Sequence[Tagging], Sequence[Tagging]],
) -> Comparison:  # fmt: skip
    """Hold the second of two states of a task (chosen.py) against the first, over the same reviewed rows."""
    with chosen_task(folder, person, choices[0]) as first, chosen_task(folder, person, choices[1]) as second:
        a, b = (judged(task, engine, rows, said) for task, said in zip((first, second), taggings, strict=True))
        return compare(a, b, rows, second, [])
