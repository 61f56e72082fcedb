"""Options that several commands share, and where they write."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tagger.errors import SettingsError

out = Console()
err = Console(stderr=True)


class OutputFormat(StrEnum):
    """Kinds of output file."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


TaskName = Annotated[str, typer.Option("--task", help="A shipped task (`tagger check` lists them) or a folder.")]
EngineName = Annotated[str, typer.Option("--engine", help="auto, transformers, vllm, http or scripted.")]
ModelName = Annotated[
    str | None, typer.Option("--model", help="A bundle, a folder, a hub id; for http NAME@URL[,URL...].")
]
ShotsFile = Annotated[
    Path | None, typer.Option("--shots", help="JSONL of labelled rows; the nearest are shown to the model.")
]
BlocklistFile = Annotated[
    Path | None,
    typer.Option("--blocklist", help="Words and texts that must not go out: one a line, # for comments."),
]
Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", help="COLUMN=NAME: the task's COLUMN is NAME in the file; id=NAME: so is the id."),
]


def mapped(pairs: list[str] | None) -> dict[str, str]:
    """What --map says: column of the task -> column of the file."""
    found = {}
    for pair in pairs or []:
        column, equals, name = pair.partition("=")
        if not equals or not column or not name:
            raise SettingsError(f"expected COLUMN=NAME, found {pair!r}", where="--map")
        found[column] = name
    return found
