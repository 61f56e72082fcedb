"""python -m finetune rows TASK --data labelled.jsonl --out rows.jsonl"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from finetune.rows import training_rows
from tagger.cli import run_app
from tagger.task import load_task

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Training material for a task."""


@app.command()
def rows(
    task: str,
    data: Annotated[Path, typer.Option(help="JSONL of labelled rows.")],
    out: Annotated[Path, typer.Option(help="Where the training rows go, as JSONL.")],
) -> None:
    """Write labelled rows as conversations with the exact bytes that the model should answer."""
    loaded = load_task(task)
    examples = loaded.read_examples(data)
    made = list(training_rows(loaded, examples))
    out.write_text("".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in made), "utf-8")
    Console().print(f"{len(made)} training rows: {out}", soft_wrap=True)


if __name__ == "__main__":
    run_app(app)
