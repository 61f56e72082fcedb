"""Commands that write pages about tags and runs: trends, gaps, card. No model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from eval.baseline import calibration_of
from eval.calibrate import redo
from eval.cli_options import Bands, By, Data, Record, Root, Shots, TaskOrSet
from eval.gaps import gaps as gaps_of
from eval.groups import Groups, by_period, by_value, cells
from eval.judged import columns_of, rows_of
from eval.pages import as_json, write_pages
from eval.record import Run, read_run
from eval.report import made_of
from eval.score import judge
from eval.sets import labelled_set, splits_of
from eval.trends import Counted, counted
from eval.trends import trends as trends_of
from tagger.calibration import Calibration
from tagger.cli_options import Mapping, mapped
from tagger.errors import SettingsError, SourceError, TaskError
from tagger.example import Example
from tagger.sinks import read_manifest, tag_lines, write_whole
from tagger.task import Task, load_task

MOST_PERIODS = 400
out = Console()


class Period(StrEnum):
    """How long a period is."""

    day = "day"
    week = "week"
    month = "month"
    quarter = "quarter"


def trends(
    task: Annotated[str, typer.Argument(help="A shipped task or a folder.")],
    folder: Annotated[Path, typer.Argument(help="The --out of a finished `tagger tag`.")],
    data: Annotated[Path, typer.Option("--data", help="The catalogue that was tagged, a file or a folder.")],
    by: Annotated[str, typer.Option("--by", help="Its column with the date, or with what rows are grouped by.")],
    every: Annotated[
        Period | None, typer.Option("--every", help="The column is a date: group by this; without it by its values.")
    ] = None,
    mapping: Mapping = None,
    report: Annotated[Path, typer.Option("--out", help="Folder for trends.html, trends.json, trends.md.")] = Path("."),
) -> None:
    """Say how the shares of values differ over time or by a column, and which moved: a page with charts."""
    from eval.trends_page import as_html, as_markdown, facts

    loaded, made = load_task(task), read_manifest(folder)
    lines = tag_lines(folder, loaded)
    stand = cells(data, by, mapped(mapping))
    groups = by_period(stand, every.value) if every else by_value(stand)
    if every and len(periods := set(groups.of.values())) > MOST_PERIODS:
        told = f"{len(periods):,} periods from {min(periods)} to {max(periods)} are more than a page holds"
        raise SettingsError(told, where="--every", hint="choose longer ones, or mend dates that are wrong")
    found = counted(lines, groups.of, stand)
    if not found.rows:
        hint = "give the catalogue that was tagged, and --map id=COLUMN as `tagger tag` had it"
        first = f"; the first is {found.unknown[0]!r}" if found.unknown else ""
        raise SourceError(f"no tag has the id of a row in a group{first}", where=str(data), hint=hint)
    notes = _left_out(found, groups, by, made)
    told_of = {
        "tags": f"{made['task']}, {made['source']}",
        "by": f"{by}, every {every.value}" if every else by,
        "rows": f"{sum(found.rows.values()):,} in {len(found.rows)} groups",
        **{name.replace("_", " "): str(made[name]) for name in ("task_version", "plan", "model")},
    }
    known = facts(trends_of(found, ordered=bool(every)), found, told_of, notes, ordered=bool(every))
    _say([*notes, *(one["sentence"] for one in known["movers"])])
    _say([write_pages(report, "trends", html=as_html(known), json=as_json(known), md=as_markdown(known))])


def gaps(
    task: TaskOrSet,
    record: Record,
    data: Data = None,
    root: Root = None,
    by: By = None,
    bands: Bands = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for gaps.html, gaps.json, gaps.md.")] = Path("."),
) -> None:
    """Say which slices of the rows a run serves worse than the rest, surely or not: a page with charts.

    The run is judged as it is served: with the calibration beside the task, where there is one.
    """
    from eval.gaps_page import as_html, as_markdown, facts, summary

    found, loaded, judged, calibration, notes = _as_served(read_run(record), task, data, root)
    more, unread = columns_of(found, task, data, root, by, bands)
    seen = gaps_of(judge(found, loaded, judged), judged, loaded, more)
    calibrated = f"calibrated on {calibration.rows:,} dev rows" if calibration else "as the run has them"
    known = facts(seen, {**made_of(found.header), "probabilities": calibrated}, [*notes, *unread])
    _say([*known["notes"], *known["told"], summary(seen)])
    _say([write_pages(folder, "gaps", html=as_html(known), json=as_json(known), md=as_markdown(known))])


def card(
    task: TaskOrSet,
    records: Annotated[list[Path], typer.Argument(help="Run files of the task.")],
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    by: By = None,
    bands: Bands = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for model-card.md, data-sheet.md.")] = Path("."),
) -> None:
    """Write a model card and a data sheet of a task from what is recorded; what is not is said to be not recorded."""
    from eval.card import data_sheet, measured, model_card
    from eval.datasheet import composition

    found = []
    for record in records:
        run, loaded, rows, calibration, notes = _as_served(read_run(record), task, data, root)
        more, unread = columns_of(run, task, data, root, by, bands)
        verdicts = judge(run, loaded, rows)
        known = [*notes, *unread]
        found.append(measured(run, loaded, rows, verdicts, calibration=calibration, more=more, notes=known))
    own = labelled_set(task, root)[0] if root else load_task(task)
    splits = splits_of(task, own, data, shots, root)
    write_whole(folder / "model-card.md", model_card(own, found))
    write_whole(folder / "data-sheet.md", data_sheet(own, composition(own, splits), found))
    _say([folder / "model-card.md", folder / "data-sheet.md"])


def _as_served(
    run: Run, task: str, data: list[Path] | None, root: Path | None
) -> tuple[Run, Task, list[Example], Calibration | None, list[str]]:
    """A run decided as it is served, its task and rows, the calibration that did so, and what a reader has to know."""
    loaded, rows, _ = rows_of(run, task, data, None, root, with_pool=False)
    notes = []
    if not run.whole:
        notes.append(f"The run is not finished: {len(run.rows):,} of {run.header.rows:,} rows are judged.")
    if "~" in run.header.plan:
        return run, loaded, rows, None, notes
    try:
        calibration = calibration_of(run, loaded, None)
    except TaskError as error:
        return run, loaded, rows, None, [*notes, f"The calibration of the task is not of this run: {error.message}."]
    return (redo(run, loaded.fields, calibration) if calibration else run), loaded, rows, calibration, notes


def _left_out(found: Counted, groups: Groups, by: str, made: dict[str, Any]) -> list[str]:
    """What a reader of trends has to know: which rows are not in them."""
    notes = groups.told(by, "date that can be read")
    if found.unknown:
        number = f"{len(found.unknown):,} line{'s' if len(found.unknown) > 1 else ''} of tags"
        notes.append(
            f"{number} without a row of that id in the data, left out here; the first is {found.unknown[0]!r}."
        )
    if (untagged := len(groups.of) - sum(found.rows.values())) > 0:
        notes.append(f"{untagged:,} rows of the data without a line of tags.")
    if made["unread"]:
        notes.append(f"The run could not read all of {', '.join(made['unread'])}.")
    return notes


def _say(lines: Sequence[object]) -> None:
    for line in lines:
        out.print(str(line), highlight=False, markup=False, soft_wrap=True)
