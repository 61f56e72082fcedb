"""A raw run over dev rows in, the task's baseline out; tags and the baseline in, what has drifted out.

The baseline counts answers as they are served: decided anew with the task's calibration, where it has one. Labels have
no say in it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eval.calibrate import redo
from eval.cli_options import Record
from eval.record import Run, read_run
from eval.slices import print_table
from tagger.baseline import Baseline, Window, baseline_file, bulk_window, load_baseline, save_baseline
from tagger.calibration import Calibration, calibration_file, load_calibration
from tagger.drift import Drift, compare
from tagger.errors import SettingsError, SourceError
from tagger.sinks import read_manifest, write_whole
from tagger.task import Task, load_task

LEAST_ROWS = 100
"""Answered rows of a baseline: with fewer, only very large drift could be told."""
COLUMNS = ("field", "what", "drift", "PSI", "G", "p", "adjusted p", "moved most", "baseline", "now")

out = Console()

TaskName = Annotated[str, typer.Argument(help="A shipped task or a folder.")]


def fit(run: Run, task: Task, promise: float | None = None) -> Baseline:
    """The baseline of a task in a folder from a raw run: of the answers that a tagger gives which has that `promise`.

    Raises SourceError for a run of another task, version or plan, one that is unfinished, calibrated already or over
    changed rows, and for fewer than LEAST_ROWS answered rows; TaskError for a calibration of another version, and
    SettingsError for a promise that cannot be made.
    """
    _refuse(run, task)
    head, calibration = run.header, calibration_of(run, task, promise)
    window = Window(task.fields, most=None)
    for row in (redo(run, task.fields, calibration) if calibration else run).rows:
        tags = {n: {"value": None if tag.abstained else tag.value, "probability": tag.p} for n, tag in row.tags.items()}
        window.add({"outcome": row.outcome, "tags": tags})
    if (rows := window.outcomes["tagged"] + window.outcomes["abstained"]) < LEAST_ROWS:
        raise SourceError(f"{rows} answered rows are too few for a baseline; at least {LEAST_ROWS} are needed")
    return Baseline(
        task=task.id,
        task_version=task.version,
        plan=head.plan + (f"~{calibration.id}" if calibration else ""),
        model=head.model,
        adapter=head.adapter,
        rows_id=head.rows_id,
        outcomes=window.outcomes,
        fields=window.counts(),
    )


def _refuse(run: Run, task: Task) -> None:
    """Raise SourceError for a run that is no baseline of the task."""
    head = run.header
    if not run.whole:
        raise SourceError("the run is not finished", hint="run the same command again to finish it")
    if "~" in head.plan or head.variant:
        raise SourceError("the run is calibrated already, or its rows were changed", hint="run --raw on plain rows")
    made = {"task": task.id, "task_version": task.version, "plan": task.plan.id}
    for name, own in made.items():
        if (found := getattr(head, name).partition("+")[0]) != own:
            hint = "run it again with the task and its plan as they are now"
            raise SourceError(f"the run is of {name} {found}, here it is {own}", hint=hint)


def calibration_of(run: Run, task: Task, promise: float | None) -> Calibration | None:
    """What decides the answers of a tagger that asks as the run has."""
    head, (plan, _, pool) = run.header, run.header.plan.partition("+")
    made = {"task_version": head.task_version, "plan": plan, "model": head.model, "adapter": head.adapter, "pool": pool}
    place = calibration_file(task.folder, head.model, head.adapter) if task.folder else None
    found = load_calibration(place, made) if place else None
    if promise is None:
        return found
    if found is None:
        raise SettingsError("without a calibration nothing can be promised", hint="python -m eval calibrate")
    return found.promising(promise, pool)


def baseline(
    task: TaskName,
    record: Record,
    promise: Annotated[
        float | None, typer.Option("--promise", min=0.01, max=0.999, help="The promise that the tagger is held to.")
    ] = None,
    path: Annotated[
        Path | None, typer.Option("--out", help="Write the baseline here, where no service finds it.")
    ] = None,
) -> None:
    """Count what a raw run over dev rows has answered, and write it beside the task: what drift is told by."""
    loaded = load_task(task)
    fitted = fit(read_run(record), loaded, promise)
    assert loaded.folder is not None  # it was loaded from there
    path = path or baseline_file(loaded.folder, fitted.model, fitted.adapter)
    save_baseline(path, fitted)
    out.print(f"{fitted.rows:,} rows, plan {fitted.plan}: {path}", highlight=False, markup=False, soft_wrap=True)


def drift(
    task: TaskName,
    folder: Annotated[Path, typer.Argument(help="The --out of a finished `tagger tag`.")],
    path: Annotated[Path | None, typer.Option("--out", help="Write a report here (.md, .json).")] = None,
    against: Annotated[
        Path | None, typer.Option("--baseline", help="A baseline that lies elsewhere than beside the task.")
    ] = None,
) -> None:
    """Say whether the tags of a catalogue still look like those that were evaluated. Exit code 1: they do not."""
    if path and path.suffix not in (".md", ".json"):
        raise SettingsError(f"expected a name in .md or .json, found {path.name!r}", where="--out")
    loaded, made = load_task(task), read_manifest(folder)
    assert loaded.folder is not None  # it was loaded from there
    if made["task"] != loaded.id:
        hint = f"python -m eval drift {made['task']} {folder}"
        raise SettingsError(f"the tags are of task {made['task']!r}, not {loaded.id!r}", where=str(folder), hint=hint)
    place = against or baseline_file(loaded.folder, made["model"], made["adapter"])
    window = bulk_window(folder, loaded)
    known = load_baseline(place, made)
    if known is None:
        raise SettingsError("no baseline", where=str(place), hint="python -m eval baseline makes one of a run")
    found = compare(known, window)
    shown = sorted(cells(found), key=lambda row: (not row[2], -float(row[3])))
    print_table("the largest drift first", COLUMNS, shown, out)
    out.print(found.sentence, style="bold", highlight=False, markup=False, soft_wrap=True)
    if path:
        write_whole(path, (as_json if path.suffix == ".json" else as_markdown)(found, known))
        out.print(f"written: {path}", highlight=False, markup=False, soft_wrap=True)
    if found.found:
        raise typer.Exit(1)


def cells(found: Drift) -> list[tuple[str, ...]]:
    """A row of COLUMNS for each finding."""
    return [
        (
            one.field, one.kind, one.level, f"{one.psi:.3f}", f"{one.statistic:.1f}", f"{one.p:.2g}",
            f"{one.adjusted:.2g}", one.moved, f"{one.before:.1%}", f"{one.now:.1%}",
        )
        for one in found.findings
    ]  # fmt: skip


def as_markdown(found: Drift, baseline: Baseline) -> str:
    """The report as a page."""
    head = f"task {baseline.task} {baseline.task_version}, plan {baseline.plan}, model {baseline.model}"
    adapter = f", adapter {baseline.adapter}" if baseline.adapter else ""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *cells(found)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    told = f"{found.rows:,} answered rows against a baseline of {baseline.rows:,} rows: {head}{adapter}."
    return "\n".join([f"# {found.sentence}", "", told, "", *(lines if found.findings else [])]).rstrip() + "\n"


def as_json(found: Drift, baseline: Baseline) -> str:
    """The report for other programs."""
    facts = {
        **baseline.model_dump(mode="json", exclude={"fields", "outcomes"}),
        "baseline_rows": baseline.rows,
        "rows": found.rows,
        "more_rows": found.more_rows,
        "sentence": found.sentence,
        "findings": [{**asdict(one), "level": one.level} for one in found.findings],
    }
    return json.dumps(facts, ensure_ascii=False, indent=1) + "\n"
