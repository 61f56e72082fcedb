"""python -m eval run | score | calibrate | plan | compare | report | slices | table | bench"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.figures import bootstrap, share
from eval.record import Run
from eval.run import header_of
from eval.run import run as run_examples
from eval.score import Verdict, counts, outcomes, verdicts
from eval.sets import labelled_set, refuse_leaks, rows, sample
from tagger.cli import run_app
from tagger.engines import open_engine
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.plan import load_plan
from tagger.task import Task, load_task

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out = Console()

TaskOrSet = Annotated[str, typer.Argument(help="A task with --data, or with --root the name of a public set.")]
Data = Annotated[list[Path] | None, typer.Option("--data", help="JSONL of labelled rows to judge on; may be repeated.")]
Shots = Annotated[list[Path] | None, typer.Option("--shots", help="JSONL of labelled rows to show; may be repeated.")]
Root = Annotated[Path | None, typer.Option("--root", help="Folder of the public sets.")]
Split = Annotated[str, typer.Option("--split", help="Which rows of a public set are judged: dev or test.")]
NoShots = Annotated[bool, typer.Option("--no-shots", help="Show no train rows of a public set.")]
Sample = Annotated[int | None, typer.Option("--sample", min=1, help="How many rows to draw; all without it.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the draw.")]
Model = Annotated[str | None, typer.Option("--model", help="A bundle, a folder, a hub id, or NAME@URL for http.")]
EngineName = Annotated[str, typer.Option("--engine")]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="A plan.toml to ask by, instead of the task's own.")]


@app.command()
def run(
    task: TaskOrSet,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    split: Split = "test",
    no_shots: NoShots = False,
    count: Sample = None,
    seed: Seed = 0,
    engine: EngineName = "auto",
    model: Model = None,
    plan: PlanFile = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave the task's calibration aside.")] = False,
    record: Annotated[Path | None, typer.Option("--record", help="Run file (.jsonl.gz); a begun one goes on.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Stop after so long; run again to go on.")] = None,
) -> None:
    """Judge a task on labelled rows."""
    loaded, judged, pool = _load(task, data, shots, root, split, no_shots)
    if plan:
        loaded = replace(loaded, plan=load_plan(plan, loaded.fields))
    judged = sample(judged, count, seed)
    refuse_leaks(judged, pool)
    tagger = Tagger(loaded, engine=open_engine(engine, model), shots=pool or None, calibrated=not raw)
    header = header_of(
        tagger, len(judged), set_name=task if root else loaded.id, split=split, sample=count, seed=seed, shots=len(pool)
    )
    with out.status("") as status:
        done = [0]

        def progress(added: int) -> None:
            done[0] += added
            status.update(f"{done[0]} of {len(judged)} rows")

        found = run_examples(tagger, judged, header, path=record, minutes=minutes, progress=progress)
    _print_run(found, loaded, judged)


def _load(
    task: str, data: list[Path] | None, shots: list[Path] | None, root: Path | None, split: str, no_shots: bool
) -> tuple[Task, list[Example], list[Example]]:
    """The task, the rows to judge and the pool of shots."""
    if root:
        loaded, found = labelled_set(task, root)
        return loaded, rows(loaded, found, root, split), [] if no_shots else rows(loaded, found, root, "train")
    if not data:
        raise SettingsError("no labelled rows to judge on", hint="give them with --data, or a public set with --root")
    loaded = load_task(task)
    return loaded, _examples(loaded, data), _examples(loaded, shots or [])


def _examples(task: Task, files: list[Path]) -> list[Example]:
    return [example for file in files for example in task.read_examples(file)]


def judge(found: Run, task: Task, examples: list[Example]) -> list[Verdict]:
    """Verdicts on the fields that the task asks of each record."""
    return verdicts(found, examples, {e.record.id: tuple(task.asked(e.record)) for e in examples})


def _print_run(found: Run, task: Task, examples: list[Example]) -> None:
    head, judged = found.header, judge(found, task, examples)
    out.print(f"{head.set} {head.split}: task {head.task} {head.task_version}, plan {head.plan}, model {head.model}, "
              f"{head.engine}", highlight=False, soft_wrap=True)  # fmt: skip
    said = ", ".join(f"{n} {what}" for what, n in sorted(outcomes(judged).items()))
    out.print(f"values: {said}", highlight=False, soft_wrap=True)
    if len(task.fields) == 1:
        out.print(f"right: {share(sum(v.kind == 'right' for v in judged), len(judged))} %", highlight=False)
    for name, published in (("strict", False), ("published scoring", True)) if len(task.fields) > 1 else ():
        c = counts(judged, published=published)
        figure = bootstrap(judged, lambda c: c.f1, published=published)
        out.print(f"micro F1, {name}: {figure}; precision {100 * c.precision:.1f}, recall {100 * c.recall:.1f}",
                  highlight=False)  # fmt: skip
    tokens = [sum(row.tokens[i] for row in found.rows) / len(found.rows) for i in range(3)]
    rate = f"{len(found.rows) / found.seconds:.2f} rows/s" if found.seconds else "from the record"
    out.print(f"{rate}; tokens a row: {tokens[0]:.0f} read, {tokens[1]:.0f} of them cached, {tokens[2]:.1f} written")
    if not found.whole:
        out.print(f"{len(found.rows)} of {head.rows} rows: run the same command again to go on")


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
    judged, pool = sample(_examples(loaded, data), count, seed), _examples(loaded, shots or [])
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
