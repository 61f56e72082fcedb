"""python -m finetune run|rows: train an adapter on labelled rows, or write what it would be trained on"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from eval.record import rows_id
from eval.sets import load, planned, refuse_leaks, sample
from finetune.rows import training_rows
from tagger.cli import run_app
from tagger.errors import SettingsError
from tagger.plan import validation_text
from tagger.task import load_task

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out = Console()


@app.callback()
def about() -> None:
    """Adapters for a task."""


@app.command()
def run(
    task: Annotated[str, typer.Argument(help="A task with --data and --dev, or with --root the name of a public set.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the adapter; a killed training there goes on.")],
    data: Annotated[list[Path] | None, typer.Option("--data", help="JSONL of rows to train on; repeatable.")] = None,
    dev: Annotated[list[Path] | None, typer.Option("--dev", help="JSONL of rows that choose; repeatable.")] = None,
    root: Annotated[Path | None, typer.Option("--root", help="Folder of the public sets: train and dev rows.")] = None,
    count: Annotated[int | None, typer.Option("--sample", min=1, help="How many train rows to draw.")] = None,
    looks: Annotated[int, typer.Option("--dev-sample", min=1, help="How many dev rows to draw at most.")] = 200,
    shots: Annotated[
        bool, typer.Option("--shots", help="Train with the nearest rows in the prompt, as --shots serves.")
    ] = False,
    plan: Annotated[Path | None, typer.Option("--plan", help="A plan.toml to ask by, instead of the task's.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="A bundle, a folder or a hub id.")] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="TOML with settings of finetune/train.py.")] = None,
) -> None:
    """Train a LoRA adapter on labelled rows; dev rows say when to stop."""
    from finetune.packs import encode
    from finetune.train import Recipe, train, versions
    from tagger.adapter import Card
    from tagger.engines import chat_tokenizer, has_gpu, model_folder
    from tagger.weights import default_model

    try:
        settings = Recipe.model_validate(tomllib.loads(recipe.read_text("utf-8")) if recipe else {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"not a recipe: {error}", where=str(recipe)) from None
    except ValidationError as error:
        raise SettingsError(validation_text(error), where=str(recipe)) from None
    if root:
        loaded, judged, known = load(task, None, None, root, "dev", no_shots=False)
    else:
        loaded, judged, known = load(task, dev, data, None, None, no_shots=False)
    loaded = planned(loaded, plan)
    known, judged = sample(known, count, settings.seed), sample(judged, looks, settings.seed)
    if not known:
        raise SettingsError("no rows to train on", hint="give them with --data")
    refuse_leaks(judged, known)
    chosen = model or default_model(has_gpu())
    chat = chat_tokenizer(chosen)
    pool = known if shots else None
    rows, held = (encode(training_rows(loaded, part, pool), chat) for part in (known, judged))
    card = Card(
        task=loaded.id, task_version=loaded.version, plan=loaded.plan.id, model=chosen, rank=settings.rank,
        rows=len(known), rows_id=rows_id(example.record for example in known),
        settings=settings.model_dump(), versions=versions(),
    )  # fmt: skip
    found = train(model_folder(chosen), rows, held, settings, card, folder)
    out.print(f"dev loss {found.before:.3f} -> {found.after:.3f}: {found.folder}", highlight=False, soft_wrap=True)


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
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), "utf-8")
    out.print(f"{len(made)} training rows: {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_app(app)
