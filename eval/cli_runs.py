"""Commands that take run files: no model is asked."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sklearn.metrics import log_loss

from eval.calibrate import calibrate as fit
from eval.cli_options import Bands, By, Data, Record, Root, Shots, TaskOrSet
from eval.compare import Judged, refuse_other_rows
from eval.compare import compare as compare_runs
from eval.figures import auroc, expected_calibration_error
from eval.judged import columns_of, rows_of, tagger_of
from eval.pages import as_json, write_pages
from eval.record import based_on, read_run, write_run
from eval.robust import flips
from eval.run import prompts_of
from eval.score import judge, one_value
from eval.sets import (
    labelled_set,
    spans_of,
)
from eval.show import print_comparison, print_flips
from eval.slices import confusions, print_slices, write_suspects
from eval.slices import slices as slices_of
from eval.slices import suspects as suspects_of
from tagger.calibration import calibration_file, save_calibration
from tagger.errors import SettingsError, SourceError
from tagger.task import load_task

out = Console()


def calibrate(
    task: TaskOrSet,
    record: Record,
    data: Data = None,
    root: Root = None,
    published: Annotated[
        bool,
        typer.Option("--published", help="Aim at the F1 that leaves unannotated attributes aside, not the strict."),
    ] = False,
    path: Annotated[
        Path | None, typer.Option("--out", help="Write the calibration here, where it serves nobody.")
    ] = None,
) -> None:
    """Fit probabilities on a raw run over dev rows, and write them beside the task."""
    found = read_run(record)
    loaded, judged, _ = rows_of(found, task, data, None, root, with_pool=False)
    if loaded.folder is None:
        raise SettingsError("the task has no folder to write a calibration to")
    if found.header.task_version != loaded.version:
        hint = "run it again with the task as it is now"
        raise SourceError(f"the run is of version {found.header.task_version}, the task is {loaded.version}", hint=hint)
    before = judge(found, loaded, judged)
    calibration, after = fit(found, lambda run: judge(run, loaded, judged), loaded.fields, published=published)
    table, losses = Table("", "ECE", "AUROC", "log-loss"), []
    for name, verdicts_of in (("raw", before), ("calibrated, out of fold", after)):
        told = [v for v in verdicts_of if v.tag]
        p, right = [v.p for v in told], [v.correct for v in told]
        figures = expected_calibration_error(p, right), auroc(p, right), log_loss(right, p, labels=[False, True])
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
        losses.append(figures[-1])
    out.print(table)
    if losses[1] >= losses[0]:
        out.print("out of fold it is no better than raw probabilities: they would do, but for promises")
    if not calibration.promises:
        out.print("it can promise nothing: more dev rows, or a task that is more often right, would be needed")
    for level, kept in calibration.promises.items():
        out.print(f"can promise {float(level):.0%}: answers from {kept.threshold:.3f} on, {kept.precision:.1%} of them "
                  f"right; {kept.coverage:.1%} of the labelled values are answered", highlight=False)  # fmt: skip
    own = labelled_set(task, root)[0] if root else load_task(task)
    if not path and own.plan.id != calibration.plan:
        hint = "make its plan the task's own first, or write elsewhere with --out"
        raise SettingsError(f"the run was asked by plan {calibration.plan}, the task by {own.plan.id}", hint=hint)
    path = path or calibration_file(loaded.folder, calibration.model, calibration.adapter)
    save_calibration(path, calibration)
    out.print(f"written: {path} (without the file probabilities are raw again)", highlight=False, soft_wrap=True)


def slices(
    task: TaskOrSet,
    record: Record,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    suspects: Annotated[
        Path | None, typer.Option("--suspects", help="Write labels that sure answers contradict here (.csv, .jsonl).")
    ] = None,
    by: By = None,
    bands: Bands = None,
) -> None:
    """Show where a run is right and where it is not: slices of its rows, and the values that it confuses."""
    found = read_run(record)
    loaded, judged, train = rows_of(found, task, data, shots, root)
    told = judge(found, loaded, judged)
    more, notes = columns_of(found, task, data, root, by, bands)
    print_slices(slices_of(told, judged, loaded, train, more), confusions(told), out)
    for note in notes:
        out.print(note, highlight=False, markup=False, soft_wrap=True)
    if suspects:
        doubtful = suspects_of(told, judged, loaded)
        write_suspects(suspects, doubtful)
        out.print(f"{len(doubtful)} labels to look at again: {suspects}", highlight=False, markup=False, soft_wrap=True)


def compare(
    task: TaskOrSet,
    a: Annotated[Path, typer.Argument(help="Run file of what there is.")],
    b: Annotated[Path, typer.Argument(help="Run file of what might take its place.")],
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
) -> None:
    """Say whether run B is better than run A over the same rows, or how many more labelled rows would tell."""
    runs = read_run(a), read_run(b)
    refuse_other_rows(*runs)
    loaded, judged, train = rows_of(runs[0], task, data, shots, root)
    left, right = (Judged(found, judge(found, loaded, judged)) for found in runs)
    print_comparison(compare_runs(left, right, judged, loaded, train), out)


def report(
    task: TaskOrSet,
    record: Record,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for report.html, report.json, report.md.")] = Path("."),
    by: By = None,
    bands: Bands = None,
) -> None:
    """Make a page of a recorded run: figures, curves, confusions, slices and the surest errors with their prompts.

    Rows and shots have to be those of the run.
    """
    from eval.report import as_html, as_markdown, facts, worst

    found = read_run(record)
    loaded, judged, pool = rows_of(found, task, data, shots, root)
    given = judge(found, loaded, judged)
    more, unread = columns_of(found, task, data, root, by, bands)
    parts = [(part.name, part.figure) for part in slices_of(given, judged, loaded, pool, more)]
    shown = {v.id for v in worst(given)}
    records = [example.record for example in judged if example.record.id in shown]
    prompts = prompts_of(tagger_of(found, loaded, pool), records)
    spans = spans_of(task, root, found.header.split)
    known = facts(found, loaded, judged, given, slices=parts, prompts=prompts, spans=spans)
    known["notes"] += unread
    written = write_pages(folder, "report", html=as_html(known), json=as_json(known), md=as_markdown(known))
    out.print(str(written), highlight=False, soft_wrap=True)


def robust(
    task: TaskOrSet,
    plain: Annotated[Path, typer.Argument(help="Run file of the records as they are.")],
    changed: Annotated[Path, typer.Argument(help="Run file of the same with --change.")],
    data: Data = None,
    root: Root = None,
) -> None:
    """Say what a change of the records' surface did to the answers."""
    after = read_run(changed)
    before, head = based_on(plain, after.header), after.header
    loaded, judged, _ = rows_of(before, task, data, None, root, with_pool=False)
    _, again, _ = rows_of(after, task, data, None, root, with_pool=False)
    found = flips(judge(before, loaded, judged), judge(after, loaded, again), judged, head.variant, head.seed, loaded)
    print_flips(found, head.variant, one_value(loaded), out)


def again(task: TaskOrSet, record: Record, data: Data = None, shots: Shots = None, root: Root = None) -> None:
    """Work out anew what labelled rows say in a raw run, in place; the model's part stays as it was recorded."""
    from eval.again import again as heard_again

    found = read_run(record)
    loaded, judged, pool = rows_of(found, task, data, shots, root)
    write_run(record, heard_again(found, loaded, judged, pool))
    out.print(f"{len(found.rows)} rows: {record}", highlight=False, markup=False, soft_wrap=True)


def table(
    root: Root = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    save: Annotated[bool, typer.Option("--save", help="Keep the figures in eval/results/table.json.")] = False,
) -> None:
    """Score the committed runs again; without the labelled rows (--root), show what they scored."""
    from eval.table import SCORED, as_markdown, rescored, stored

    found = rescored(root) if root else stored()
    plain = [{name: None if value != value else value for name, value in asdict(row).items()} for row in found]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in plain)
    if save:
        SCORED.write_text(f"[\n{lines}\n]\n", "utf-8")
    print(f"[\n{lines}\n]" if as_json else as_markdown(found))


def gains(
    root: Root = None,
    save: Annotated[bool, typer.Option("--save", help="Keep the figures in eval/results/gains.json.")] = False,
) -> None:
    """Say what each part is worth in pairs of committed runs; without the labelled rows (--root), what it was worth."""
    from eval.gains import WORKED_OUT, as_markdown, gain, pairs, stored

    found = [gain(pair, root) for pair in pairs()] if root else stored()
    if save:
        lines = ",\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in found)
        WORKED_OUT.write_text(f"[\n{lines}\n]\n", "utf-8")
    print(as_markdown(found))
