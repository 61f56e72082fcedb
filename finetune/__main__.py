"""python -m finetune run|gate|rollback|active|pseudo|export|rows"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from eval.sets import DEFAULT_SPLIT, OWN, labelled_set, planned, read_all, sample
from eval.sets import rows as rows_of_set
from finetune.rows import training_rows
from tagger.cli import run_app
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.likeness import plain_text
from tagger.sources import records
from tagger.task import Task, load_task

if TYPE_CHECKING:
    from finetune.gate import Decision

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out = Console()

TaskOrSet = Annotated[str, typer.Argument(help="A task, or with --root the name of a public set.")]
Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="JSONL of rows to train on, with --root instead of the set's; repeatable."),
]
New = Annotated[list[Path] | None, typer.Option("--new", help="Newly reviewed rows: all of them train; repeatable.")]
Dev = Annotated[list[Path] | None, typer.Option("--dev", help="JSONL of rows that choose; repeatable.")]
Root = Annotated[Path | None, typer.Option("--root", help="Folder of the public sets.")]
Sample = Annotated[
    int | None, typer.Option("--sample", min=1, help="How many rows of --data to draw: of old ones, those replayed.")
]
Looks = Annotated[int, typer.Option("--dev-sample", min=1, help="How many dev rows to draw at most.")]
Shots = Annotated[
    bool, typer.Option("--shots", help="The train rows are the pool: shown where the plan says so, speaking beside.")
]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", help="A plan.toml to ask the adapter by, instead of the task's.")
]
Model = Annotated[str | None, typer.Option("--model", help="A bundle, a folder or a hub id.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the draws; a recipe has its own for training.")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="TOML with settings of finetune/train.py.")]


@app.callback()
def about() -> None:
    """Adapters for a task."""


@app.command()
def run(
    task: TaskOrSet,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the adapter; a killed training there goes on.")],
    data: Data = None,
    new: New = None,
    dev: Dev = None,
    root: Root = None,
    count: Sample = None,
    looks: Looks = 200,
    shots: Shots = False,
    plan: PlanFile = None,
    model: Model = None,
    recipe: RecipeFile = None,
    seed: Seed = 0,
) -> None:
    """Train a LoRA adapter on labelled rows; dev rows say when to stop."""
    from finetune.adapt import adapt, read_recipe

    settings = read_recipe(recipe)
    loaded, known, held = _rows(task, data, new, dev, root, count, looks, seed)
    found = adapt(planned(loaded, plan), known, held, settings, _model(model), folder, shots=shots)
    out.print(f"dev loss {found.before:.3f} -> {found.after:.3f}: {found.folder}", highlight=False, soft_wrap=True)


@app.command()
def gate(
    task: TaskOrSet,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder of adapter, runs and decision; a killed trial goes on.")
    ],
    data: Data = None,
    new: New = None,
    dev: Dev = None,
    held: Annotated[
        list[Path] | None, typer.Option("--test", help="JSONL of rows that judge, seen by neither side; repeatable.")
    ] = None,
    root: Root = None,
    count: Sample = None,
    looks: Looks = 200,
    judges: Annotated[
        int | None, typer.Option("--test-sample", min=1, help="How many of the rows that judge to draw.")
    ] = None,
    shots: Shots = False,
    before: Annotated[
        Path | None, typer.Option("--against", help="A plan.toml of the side without the adapter.")
    ] = None,
    plan: PlanFile = None,
    model: Model = None,
    engine: Annotated[str, typer.Option("--engine", help="The engine that serves.")] = "auto",
    recipe: RecipeFile = None,
    seed: Seed = 0,
    adapter: Annotated[Path | None, typer.Option("--adapter", help="Judge this adapter; none is trained.")] = None,
    target: Annotated[
        float | None, typer.Option("--target", min=0, max=1, help="The figure to reach, instead of the task's own.")
    ] = None,
    try_only: Annotated[bool, typer.Option("--try", help="Decide, but leave the task as it is.")] = False,
) -> None:
    """Train an adapter if the task needs one, and let it take over only if it is proved better."""
    from finetune.adapt import read_recipe
    from finetune.promote import Record, has_folder, keep, promote
    from finetune.trial import Trial, hold

    settings = read_recipe(recipe)
    own, known, chosen_on = _rows(task, data, new, dev, root, count, looks, seed)
    loaded = planned(own, before)
    if root and held:
        raise SettingsError("--root brings the rows that judge; --test is for your own")
    judged = rows_of_set(own, labelled_set(task, root)[1], root, DEFAULT_SPLIT) if root else read_all(own, held or [])
    judged = sample(judged, judges, seed)
    if not judged:
        raise SettingsError("no rows that judge", hint="give them with --test: neither train nor dev rows")
    aim = own.definition.target if target is None else target
    if aim is None:
        raise SettingsError("the task has no target", hint="write `target = 0.9` into task.toml, or give --target")
    folder.mkdir(parents=True, exist_ok=True)
    trial = Trial(
        task=loaded, plan=planned(own, plan).plan, train=known, dev=chosen_on, judged=judged, target=aim,
        model=_model(model), folder=folder, pooled=shots, engine=engine, recipe=settings,
        names=(task, "dev", DEFAULT_SPLIT) if root else (loaded.id, OWN, OWN), drawn=(looks, judges), seed=seed,
        told=lambda line: out.print(line, highlight=False),
    )  # fmt: skip
    found = hold(trial, adapter)
    _show(found.decision)
    if found.decision.verdict == "accepted" and not try_only and has_folder(own):
        record = promote(own, trial.plan, found.adapter, found.calibration, found.decision)
        out.print(f"task.toml names the adapter ({record}); to go back: python -m finetune rollback {task}",
                  highlight=False, soft_wrap=True)  # fmt: skip
    else:
        record = keep(folder if root or own.folder is None else own.folder, Record(decision=found.decision))
        out.print(f"the task stays as it is ({record})", highlight=False, soft_wrap=True)


@app.command()
def rollback(task: Annotated[str, typer.Argument(help="A task.")]) -> None:
    """Bring back what stood in the task before the last promotion."""
    from finetune.promote import rollback as back

    out.print(f"as before: {back(load_task(task))}", highlight=False, soft_wrap=True)


@app.command()
def active(
    file: Annotated[Path, typer.Argument(help="The catalogue: JSONL, CSV or Parquet.")],
    task: Annotated[str, typer.Option("--task")],
    tags: Annotated[Path, typer.Option("--tags", help="What `tagger tag` made of it.")],
    path: Annotated[Path, typer.Option("--out", help="Where the rows to label go, as JSONL.")],
    count: Annotated[int, typer.Option("--count", min=1, help="How many rows.")] = 50,
    other: Annotated[
        Path | None, typer.Option("--other", help="Tags of a second tagger, such as the adapter's.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
) -> None:
    """Pick the rows that are worth labelling next: doubtful, disputed, and unlike each other."""
    from finetune.active import read_tags, worth_labelling

    loaded = load_task(task)
    first, second = read_tags(tags, loaded.id), read_tags(other, loaded.id) if other else None
    found = worth_labelling(records(file, loaded.columns), first, count, other=second, seed=seed)
    lines = [
        {"record": {"id": w.record.id, **w.record.values}, "guess": w.guess, "doubt": round(w.doubt, 4),
         "differs": round(w.differs, 4)}
        for w in found
    ]  # fmt: skip
    _write_lines(path, lines)
    out.print(f"{len(lines)} rows to label: {path}", highlight=False, soft_wrap=True)


@app.command()
def pseudo(
    file: Annotated[Path, typer.Argument(help="The catalogue: JSONL, CSV or Parquet.")],
    task: Annotated[str, typer.Option("--task")],
    tags: Annotated[Path, typer.Option("--tags", help="What `tagger tag` made of it, calibrated.")],
    path: Annotated[Path, typer.Option("--out", help="Where the train rows go, as JSONL.")],
    least: Annotated[float, typer.Option("--least", min=0, max=1, help="Probability that every answer needs.")] = 0.95,
) -> None:
    """Take sure answers as train rows: for --data or --new, refused where rows judge."""
    from finetune.active import read_tags
    from finetune.pseudo import pseudo_rows, refuse_unfit

    loaded = load_task(task)
    refuse_unfit(tags, loaded)
    lines = list(pseudo_rows(records(file, loaded.columns), read_tags(tags, loaded.id), least))
    _write_lines(path, lines)
    out.print(f"{len(lines)} pseudo-labelled rows: {path}", highlight=False, soft_wrap=True)


@app.command()
def export(
    adapter: Annotated[Path, typer.Argument(help="Folder of an adapter.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the merged model.")],
    form: Annotated[str, typer.Option("--form", help="bfloat16, float32 or int8.")] = "bfloat16",
) -> None:
    """Merge an adapter into its model, for servers that serve no adapters."""
    from finetune.export import FORMS, merge
    from tagger.adapter import read_card
    from tagger.engines import model_folder

    if form not in FORMS:
        raise SettingsError(f"no form {form!r}", hint=f"there are: {', '.join(FORMS)}")
    merge(model_folder(read_card(adapter).model), adapter, folder, form)
    out.print(f"a model for --model: {folder}", highlight=False, soft_wrap=True)


@app.command()
def rows(
    task: str,
    data: Annotated[Path, typer.Option(help="JSONL of labelled rows.")],
    path: Annotated[Path, typer.Option("--out", help="Where the training rows go, as JSONL.")],
) -> None:
    """Write labelled rows as conversations with the exact bytes that the model should answer."""
    loaded = load_task(task)
    examples = loaded.read_examples(data)
    made = [
        {"id": row.id, "messages": row.prompt.messages, "completion": row.completion}
        for row in training_rows(loaded, examples)
    ]
    _write_lines(path, made)
    out.print(f"{len(made)} training rows: {path}", highlight=False, soft_wrap=True)


def _rows(
    task: str,
    data: list[Path] | None,
    new: list[Path] | None,
    dev: list[Path] | None,
    root: Path | None,
    count: int | None,
    looks: int,
    seed: int,
) -> tuple[Task, list[Example], list[Example]]:
    """The task, its train rows (old ones drawn, new ones all) and the dev rows that choose."""
    if root and (new or dev):
        raise SettingsError("--root brings dev rows; --new and --dev are your own")
    if root:
        loaded, found = labelled_set(task, root)
        known = read_all(loaded, data) if data else rows_of_set(loaded, found, root, "train")
        held = rows_of_set(loaded, found, root, "dev")
    else:
        loaded = load_task(task)
        known, held = read_all(loaded, data or []), read_all(loaded, dev or [])
    later = read_all(loaded, new or [])
    again = {plain_text(row.record) for row in later}  # a row that was reviewed anew has its new label alone
    known = [*(row for row in sample(known, count, seed) if plain_text(row.record) not in again), *later]
    return loaded, known, sample(held, looks, seed)


def _model(name: str | None) -> str:
    from tagger.engines import has_gpu
    from tagger.weights import default_model

    return name or default_model(has_gpu())


def _show(decision: Decision) -> None:
    table = Table("", "before", "with the adapter")
    for name, values in decision.figures.items():
        table.add_row(name, *("" if value is None else f"{value:.3f}" for value in values))
    out.print(table)
    for check in decision.checks:
        out.print(f"{'yes' if check.passed else 'NO '}  {check.name}: {check.told}", highlight=False, soft_wrap=True)
    out.print(f"{decision.verdict}: {decision.reason}", style="bold", highlight=False, soft_wrap=True)


def _write_lines(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")


if __name__ == "__main__":
    run_app(app)
