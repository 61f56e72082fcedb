"""Commands that measure speed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.cli_options import EngineName, Model, Root
from tagger.engines import open_engine
from tagger.errors import SettingsError
from tagger.weights import DEFAULT_CPU

out = Console()


def bench(
    root: Annotated[Path, typer.Option("--root", help="Folder of the public sets.")],
    model: Model = None,
    quick: Annotated[bool, typer.Option("--quick", help="A quarter of the rows: under ten minutes.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Everything that was measured, as JSON.")] = False,
) -> None:
    """Compare our rates with what a competent user would write: same rows, model, threads, in one run."""
    from eval import bench as benchmark
    from tagger.engines.transformers import TransformersEngine
    from tagger.engines.vllm import VllmEngine

    here, served = open_engine("transformers", model), open_engine("vllm", model)
    assert isinstance(here, TransformersEngine)
    assert isinstance(served, VllmEngine)
    err = Console(stderr=True)
    found, limit = benchmark.bench(root, here, served, quick=quick, told=err.print)
    served.close()
    made = {
        "model": here.info.model,
        "dtype": here.info.dtype,
        "versions": {**here.info.versions, **served.info.versions},
    }
    if json:
        out.print_json(data=made | benchmark.as_json(found, limit))
        return
    benchmark.show(found, limit, out)
    out.print(escape(str(made)), soft_wrap=True, highlight=False)


def growth(
    root: Root = None,
    shots: Annotated[int, typer.Option("--shots", min=0, help="Examples to retrieve for each row; needs --root.")] = 0,
    most: Annotated[int, typer.Option("--most", min=1000, help="Rows of the largest catalogue.")] = 1_000_000,
    model: Annotated[str | None, typer.Option("--model", help="Whose tokenizer.")] = None,
    served: Annotated[
        float | None, typer.Option("--served", min=1, help="Rows a second that the engine answers; none: at once.")
    ] = None,
) -> None:
    """Time and memory of a run by the size of its catalogue, everything but the model."""
    from eval.growth import grow

    if shots and not root:
        raise SettingsError("shots are retrieved from train rows", hint="say where they lie: --root")
    table = Table("rows", "shots", "seconds", "rows/s", "MiB at most")
    for cost in grow([n for n in (1_000, 10_000, 100_000, 1_000_000) if n <= most], shots, root, model, served):
        table.add_row(
            f"{cost.rows:,}", str(cost.shots), f"{cost.seconds:.1f}", f"{cost.rate:,.0f}", f"{cost.mebibytes:,.0f}"
        )
    out.print(table)


def soak(
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the load.")] = False,
) -> None:
    """Put a service under load and under faults, and print what came of it as JSON; exit code 1 if anything failed."""
    from eval.soak import soaked

    found = soaked(10 if quick else 1, Console(stderr=True).print)
    out.print_json(data=found)
    if not found["passed"]:
        raise typer.Exit(1)


def callers(
    engine: EngineName = "transformers",
    model: Model = None,
    rows: Annotated[int, typer.Option("--rows", min=32, help="Asked in each round by each of the two.")] = 160,
) -> None:
    """Print the rates of a bulk run and of 32 callers at once over the same rows, as JSON."""
    from eval.callers import shared

    out.print_json(data=shared(open_engine(engine, model), rows))


def int8(
    root: Annotated[Path, typer.Option("--root", help="Folder of the public sets.")],
    name: Annotated[str, typer.Option("--set", help="Whose dev rows.")] = "category",
    model: Annotated[str, typer.Option("--model", help="A bundle, a folder or a hub id.")] = DEFAULT_CPU,
    rows: Annotated[int, typer.Option("--rows", min=8)] = 100,
) -> None:
    """Say what eight-bit weights cost and gain on processor cores."""
    from eval.int8 import forms

    table = Table("weights", "rows/s", "right", "same as float32")
    for form in forms(name, root, model, rows):
        table.add_row(form.name, f"{form.rate:.1f}", str(form.right), str(form.same))
    out.print(table)


def repeats(
    rows: Annotated[int, typer.Option("--rows", min=100)] = 10_000,
    served: Annotated[float, typer.Option("--served", min=1, help="Rows a second that the engine answers.")] = 1000,
    model: Annotated[str | None, typer.Option("--model", help="Whose tokenizer.")] = None,
) -> None:
    """Say what copies, near copies and a second run save, everything but the model."""
    from eval.repeats import repeated

    table = Table("catalogue", "seconds", "time", "fresh tokens")
    for cost in repeated(rows, served, model):
        table.add_row(cost.name, f"{cost.seconds:.1f}", f"{cost.share:.0%}", f"{cost.tokens:.1%}")
    out.print(table)
