"""python -m eval run|plan|calibrate|compare|slices|report|robust|floor|recall|again|table|gains|bench"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.calibrate import calibrate as fit
from eval.compare import Judged, refuse_other_rows
from eval.compare import compare as compare_runs
from eval.figures import auroc, expected_calibration_error
from eval.given import unchanged, with_predicted
from eval.judged import rows_of, tagger_of
from eval.record import based_on, read_run, write_run
from eval.robust import KINDS, flips, perturbed
from eval.run import header_of, prompts_of
from eval.run import run as run_examples
from eval.score import judge, one_value
from eval.sets import (
    DEFAULT_SPLIT,
    OWN,
    labelled_set,
    load,
    planned,
    read_all,
    refuse_leaks,
    rows,
    sample,
    spans_of,
)
from eval.show import print_comparison, print_figures, print_flips, print_run
from eval.slices import confusions, print_slices, write_suspects
from eval.slices import slices as slices_of
from eval.slices import suspects as suspects_of
from tagger.calibration import calibration_file, save_calibration
from tagger.cli import run_app
from tagger.engines import open_engine
from tagger.errors import SettingsError, SourceError
from tagger.pipeline import Tagger
from tagger.task import load_task

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out = Console()

TaskOrSet = Annotated[str, typer.Argument(help="A task with --data, or with --root the name of a public set.")]
Data = Annotated[list[Path] | None, typer.Option("--data", help="JSONL of labelled rows to judge on; may be repeated.")]
Shots = Annotated[list[Path] | None, typer.Option("--shots", help="JSONL of labelled rows to show; may be repeated.")]
Root = Annotated[Path | None, typer.Option("--root", help="Folder of the public sets.")]
Split = Annotated[
    str | None, typer.Option("--split", help="Which rows of a public set are judged: dev, or test (default).")
]
NoShots = Annotated[bool, typer.Option("--no-shots", help="Show no train rows of a public set.")]
Sample = Annotated[int | None, typer.Option("--sample", min=1, help="How many rows to draw; all without it.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the draw.")]
Model = Annotated[str | None, typer.Option("--model", help="A bundle, a folder, a hub id, or NAME@URL for http.")]
EngineName = Annotated[str, typer.Option("--engine")]
Record = Annotated[Path, typer.Argument(help="A run file that `run --record` wrote.")]
Change = Annotated[str, typer.Option("--change", help=f"Change the judged records: {', '.join(KINDS)}.")]
Dev = Annotated[list[Path] | None, typer.Option("--dev", help="JSONL of labelled rows to choose on; may be repeated.")]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="A plan.toml to ask by, instead of the task's own.")]


@app.command()
def run(
    task: TaskOrSet,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    split: Split = None,
    no_shots: NoShots = False,
    count: Sample = None,
    seed: Seed = 0,
    engine: EngineName = "auto",
    model: Model = None,
    plan: PlanFile = None,
    change: Change = "",
    given: Annotated[str, typer.Option("--given", help="COLUMN=RUN: take a column from a run's predictions.")] = "",
    base: Annotated[
        Path | None, typer.Option("--base", help="A run of the unchanged rows; what is the same is not asked again.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave the task's calibration aside.")] = False,
    record: Annotated[Path | None, typer.Option("--record", help="Run file (.jsonl.gz); a begun one goes on.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Stop after so long; run again to go on.")] = None,
) -> None:
    """Judge a task on labelled rows."""
    loaded, judged, pool = load(task, data, shots, root, split, no_shots)
    loaded = planned(loaded, plan)
    judged = sample(judged, count, seed)
    refuse_leaks(judged, pool or loaded.examples)
    plain, variant = judged, change
    if change:
        judged = [perturbed(example, change, seed, loaded) for example in judged]
    gold = judged  # a perturbed label is right too, a predicted column changes no label
    if given:
        column, _, predictions = given.partition("=")
        if column not in loaded.columns or not predictions:
            raise SettingsError(f"expected COLUMN=RUN, found {given!r}", where="--given")
        earlier = read_run(Path(predictions))
        judged = with_predicted(judged, column, earlier, loaded.columns[column])
        variant = f"{change} {column} from {earlier.header.key}"
    tagger = Tagger(loaded, engine=open_engine(engine, model), shots=pool or None, calibrated=not raw)
    header = header_of(
        tagger, plain, set_name=task if root else loaded.id, split=(split or DEFAULT_SPLIT) if root else OWN,
        sample=count, seed=seed, shots=len(pool), variant=variant.strip(),
    )  # fmt: skip
    if tagger.calibration and tagger.calibration.rows_id == header.rows_id:
        out.print("these are the rows that the calibration was fitted on: figures on them are too good")
    with out.status("") as status:
        done = [0]

        def progress(added: int) -> None:
            done[0] += added
            status.update(f"{done[0]} of {len(judged)} rows")

        known = unchanged(plain, judged, based_on(base, header)) if base else {}
        found = run_examples(tagger, judged, header, path=record, minutes=minutes, progress=progress, known=known)
    print_run(found, loaded, judge(found, loaded, gold), gold, spans_of(task, root, found.header.split), out)


@app.command()
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
    table = Table("", "ECE", "AUROC")
    for name, verdicts_of in (("raw", before), ("calibrated, out of fold", after)):
        told = [v for v in verdicts_of if v.tag]
        p, right = [v.p for v in told], [v.correct for v in told]
        table.add_row(name, f"{expected_calibration_error(p, right):.3f}", f"{auroc(p, right):.3f}")
    out.print(table)
    for level, kept in calibration.promises.items():
        out.print(f"can promise {float(level):.0%}: answers from {kept.threshold:.3f} on, {kept.precision:.1%} of them "
                  f"right; {kept.coverage:.1%} of the labelled values are answered", highlight=False)  # fmt: skip
    own = labelled_set(task, root)[0] if root else load_task(task)
    if not path and own.plan.id != calibration.plan:
        hint = "make its plan the task's own first, or write elsewhere with --out"
        raise SettingsError(f"the run was asked by plan {calibration.plan}, the task by {own.plan.id}", hint=hint)
    path = path or calibration_file(loaded.folder, calibration.model)
    save_calibration(path, calibration)
    out.print(f"written: {path}", highlight=False, soft_wrap=True)


@app.command()
def slices(
    task: TaskOrSet,
    record: Record,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    suspects: Annotated[
        Path | None, typer.Option("--suspects", help="Write labels that sure answers contradict here (.csv, .jsonl).")
    ] = None,
) -> None:
    """Show where a run is right and where it is not: slices of its rows, and the values that it confuses."""
    found = read_run(record)
    loaded, judged, train = rows_of(found, task, data, shots, root)
    told = judge(found, loaded, judged)
    print_slices(slices_of(told, judged, loaded, train), confusions(told), out)
    if suspects:
        doubtful = suspects_of(told, judged, loaded)
        write_suspects(suspects, doubtful)
        out.print(f"{len(doubtful)} labels to look at again: {suspects}", highlight=False, markup=False, soft_wrap=True)


@app.command()
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


@app.command()
def report(
    task: TaskOrSet,
    record: Record,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for report.html, report.json, report.md.")] = Path("."),
) -> None:
    """Make a page of a recorded run: figures, curves, confusions, slices and the surest errors with their prompts.

    Rows and shots have to be those of the run.
    """
    from eval.report import as_html, as_json, as_markdown, facts, worst

    found = read_run(record)
    loaded, judged, pool = rows_of(found, task, data, shots, root)
    given = judge(found, loaded, judged)
    parts = [(part.name, part.figure) for part in slices_of(given, judged, loaded, pool)]
    shown = {v.id for v in worst(given)}
    records = [example.record for example in judged if example.record.id in shown]
    prompts = prompts_of(tagger_of(found, loaded, pool), records)
    spans = spans_of(task, root, found.header.split)
    known = facts(found, loaded, judged, given, slices=parts, prompts=prompts, spans=spans)
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in (("html", as_html), ("json", as_json), ("md", as_markdown)):
        (folder / f"report.{name}").write_text(write(known), "utf-8")
    out.print(str(folder / "report.html"), highlight=False, soft_wrap=True)


@app.command()
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


@app.command()
def floor(
    task: TaskOrSet,
    data: Data = None,
    shots: Shots = None,
    dev: Dev = None,
    root: Root = None,
    split: Split = None,
    count: Sample = None,
    seed: Seed = 0,
    record: Annotated[
        Path | None, typer.Option("--record", help="Write a run file of its answers (.jsonl.gz).")
    ] = None,
) -> None:
    """Say what a linear classifier, a random field or a look-up makes of the same labelled rows."""
    from eval.floor import as_run
    from eval.floor import floor as floor_of

    loaded, judged, train = load(task, data, shots, root, split, False)
    chosen_on = rows(loaded, labelled_set(task, root)[1], root, "dev") if root else read_all(loaded, dev or [])
    judged = sample(judged, count, seed)
    refuse_leaks(judged, [*train, *chosen_on])
    found = floor_of(loaded, train, chosen_on, judged)
    out.print(f"{task}: {found.method}, from {len(train)} rows and {len(chosen_on)} dev rows", highlight=False)
    for name, figure in found.tried.items():
        out.print(f"  {name}: {figure} % of the dev rows", highlight=False)
    print_figures(loaded, found.verdicts, judged, spans_of(task, root, split or DEFAULT_SPLIT), out)
    if record:
        chosen = (split or DEFAULT_SPLIT) if root else OWN
        made = as_run(found, loaded, judged, set_name=task, split=chosen, sample=count, seed=seed, shots=len(train))
        write_run(record, made)


@app.command()
def plan(
    task: TaskOrSet,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    no_shots: NoShots = False,
    count: Sample = 100,
    seed: Seed = 0,
    engine: EngineName = "auto",
    model: Model = None,
    larger: Annotated[
        str | None, typer.Option("--confirm", help="A larger model that decides between the two best plans.")
    ] = None,
) -> None:
    """Choose on dev rows how a task is asked, and write the plan beside the task."""
    from eval.plan import Trial, confirm, in_words, search, write_plan

    loaded, dev, pool = load(task, data, shots, root, "dev" if root else None, no_shots)
    dev = sample(dev, count, seed)
    refuse_leaks(dev, pool)
    if loaded.folder is None:
        raise SettingsError("the task has no folder to write a plan to")
    opened = open_engine(engine, model)

    def heard(trial: Trial) -> None:
        out.print(f"{trial.rows:4} rows  F1 {100 * trial.f1:5.1f}  {trial.tokens:5.0f} tokens a record  "
                  f"{in_words(trial.plan, bool(pool))}", highlight=False)  # fmt: skip

    best, *others = search(loaded, opened, dev, pool, heard)
    if larger:
        opened.close()
        opened = open_engine(engine, larger)
        best = confirm(loaded, opened, dev, pool, [trial.plan for trial in (best, *others)], heard)
    path = loaded.folder / "plan.toml"
    write_plan(path, best, opened.info.model)
    out.print(f"chosen: {in_words(best.plan, bool(pool))}\nwritten: {path}", highlight=False, soft_wrap=True)


@app.command()
def recall(
    task: TaskOrSet,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    split: Split = None,
    no_shots: NoShots = False,
) -> None:
    """Say how often a shortlist of a large label set holds the right value; no model is asked."""
    from eval.recall import recall as recall_of

    loaded, judged, pool = load(task, data, shots, root, split, no_shots)
    refuse_leaks(judged, pool)
    for length, figure in recall_of(loaded, judged, pool).items():
        out.print(f"recall@{length}: {figure} % of {figure.n} rows", highlight=False)


@app.command()
def again(task: TaskOrSet, record: Record, data: Data = None, shots: Shots = None, root: Root = None) -> None:
    """Work out anew what labelled rows say in a raw run, in place; the model's part stays as it was recorded."""
    from eval.again import again as heard_again

    found = read_run(record)
    loaded, judged, pool = rows_of(found, task, data, shots, root)
    write_run(record, heard_again(found, loaded, judged, pool))
    out.print(f"{len(found.rows)} rows: {record}", highlight=False, markup=False, soft_wrap=True)


@app.command()
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


@app.command()
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


@app.command()
def bench(
    data: Annotated[list[Path], typer.Option("--data", help="JSONL of labelled rows; may be repeated.")],
    task: Annotated[str, typer.Option("--task")] = "category",
    shots: Shots = None,
    count: Sample = 24,
    seed: Seed = 0,
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 3,
    model: Model = None,
) -> None:
    """Compare our rate with one Outlines call per product: same rows, model, threads and prompts."""
    from eval.bench import bench as compare
    from tagger.engines.transformers import TransformersEngine

    loaded = load_task(task)
    judged, pool = sample(read_all(loaded, data), count, seed), read_all(loaded, shots or [])
    refuse_leaks(judged, pool)
    opened = open_engine("transformers", model)
    if not isinstance(opened, TransformersEngine):
        raise SettingsError("the benchmark runs on the transformers engine")
    table = Table("setting", "prompt tokens", "ours rows/s", "loop rows/s", "times faster", "ours right", "loop right")
    for row in compare(loaded, opened, judged, pool, rounds):
        table.add_row(
            row.setting, f"{row.prompt_tokens:.0f}", f"{row.ours:.2f}", f"{row.theirs:.2f}",
            f"{row.ratio:.1f} ({row.spread[0]:.1f} to {row.spread[1]:.1f})",
            f"{row.ours_right} of {row.rows}", f"{row.theirs_right} of {row.rows}",
        )  # fmt: skip
    out.print(table)
    info = opened.info
    out.print(escape(f"{info.model}, {info.dtype}, {dict(info.versions)}"), soft_wrap=True)


if __name__ == "__main__":
    run_app(app)
