"""Options that several commands of python -m eval take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eval.robust import KINDS

TaskOrSet = Annotated[str, typer.Argument(help="A task with --data, or with --root the name of a set.")]
Data = Annotated[list[Path] | None, typer.Option("--data", help="JSONL of labelled rows to judge on; may be repeated.")]
Shots = Annotated[list[Path] | None, typer.Option("--shots", help="JSONL of labelled rows to show; may be repeated.")]
Root = Annotated[Path | None, typer.Option("--root", help="Folder of the public sets; prompts for TASK.sample.")]
Split = Annotated[
    str | None, typer.Option("--split", help="Which rows of a public set are judged: dev, or test (default).")
]
NoShots = Annotated[bool, typer.Option("--no-shots", help="Show no train rows of a public set.")]
Sample = Annotated[int | None, typer.Option("--sample", min=1, help="How many rows to draw at random; all without it.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the draw.")]
Model = Annotated[str | None, typer.Option("--model", help="A bundle, a folder, a hub id; for http NAME@URL[,URL...].")]
EngineName = Annotated[str, typer.Option("--engine")]
Record = Annotated[Path, typer.Argument(help="A run file that `run --record` wrote.")]
By = Annotated[
    list[str] | None, typer.Option("--by", help="A column of the labelled rows to slice by; may be repeated.")
]
Bands = Annotated[
    list[str] | None, typer.Option("--bands", help="A column of numbers to slice by in four bands; may be repeated.")
]
Change = Annotated[str, typer.Option("--change", help=f"Change the judged records: {', '.join(KINDS)}.")]
Dev = Annotated[list[Path] | None, typer.Option("--dev", help="JSONL of labelled rows to choose on; may be repeated.")]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="A plan.toml to ask by, instead of the task's own.")]
