"""A run file in, the labelled rows that it has read out, as it read them; never other ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eval.groups import by_band, by_value, labelled_cells
from eval.record import Run, rows_id
from eval.robust import KINDS, perturbed
from eval.sets import OWN, SETS, files_of, load, sample
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SourceError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.plan import Plan
from tagger.task import Task


def rows_of(
    run: Run,
    task: str,
    data: list[Path] | None,
    shots: list[Path] | None,
    root: Path | None,
    *,
    with_pool: bool = True,
) -> tuple[Task, list[Example], list[Example]]:
    """The task of a run with the plan that it had, the rows that it judged and, `with_pool`, the pool, if any is given.

    Changed rows are changed in the same way again. Raises SourceError for another task or other rows.
    """
    head = run.header
    split = None if head.split == OWN else head.split
    loaded, plain, pool = load(task, data, shots, root, split, no_shots=not (with_pool and head.shots))
    if loaded.id != head.task:
        raise SourceError(f"the run is one of task {head.task!r}, not of {loaded.id!r}")
    plain = sample(plain, head.sample, head.seed)
    if rows_id(example.record for example in plain) != head.rows_id:
        hint = f"give the {head.rows} rows of {head.set!r}, {head.split}, with the texts and in the order of the run"
        raise SourceError("the labelled rows are not those that the run has read", hint=hint)
    loaded = replace(loaded, plan=Plan.model_validate(head.plan_text))
    change = head.variant.split(" ")[0]
    if change in KINDS:
        plain = [perturbed(example, change, head.seed, loaded) for example in plain]
    return loaded, plain, pool


def columns_of(
    run: Run, task: str, data: list[Path] | None, root: Path | None, by: list[str] | None, bands: list[str] | None
) -> tuple[dict[str, Mapping[str, str]], list[str]]:
    """The groups of the rows of a run by columns of their files, values (`by`) and bands of numbers (`bands`), and what
    a reader has to know of rows in none. SourceError for a column that is not there."""
    files = files_of(SETS[task], root, run.header.split) if root else data or []
    found: dict[str, Mapping[str, str]] = {name: by_value(labelled_cells(files, name)).of for name in by or ()}
    notes: list[str] = []
    for name in bands or ():
        banded = by_band(labelled_cells(files, name))
        found[name], notes = banded.of, [*notes, *banded.told(name, "number")]
    return found, notes


def tagger_of(run: Run, task: Task, pool: Sequence[Example]) -> Tagger:
    """A tagger that asks as the run has asked, on no model.

    Raises SourceError for a pool that is not the run's, and for a task, plan or calibration that it cannot know.
    """
    tagger = Tagger(task, engine=ScriptedEngine(), shots=pool or None, calibrated=False)
    made, head = tagger.provenance, run.header
    if (made.task_version, made.plan) != (head.task_version, head.plan.partition("~")[0]):
        hint = "give the shots of the run, and the task as it was then"
        found = f"task {made.task_version}, plan {made.plan}"
        raise SourceError(f"the run has task {head.task_version}, plan {head.plan}; here are {found}", hint=hint)
    return tagger
