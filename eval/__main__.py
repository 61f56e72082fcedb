"""python -m eval run | bench"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.run import Share, refuse_leaks, sample
from eval.run import run as run_examples
from tagger.cli import run_app
from tagger.engines import open_engine
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.task import Task, load_task

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out = Console()

Data = Annotated[list[Path], typer.Option("--data", help="JSONL of labelled rows to judge on; may be repeated.")]
Shots = Annotated[list[Path] | None, typer.Option("--shots", help="JSONL of labelled rows to show; may be repeated.")]
Sample = Annotated[int | None, typer.Option("--sample", min=1, help="How many rows to draw; all without it.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the draw.")]
Model = Annotated[str | None, typer.Option("--model", help="A bundle, a folder, a hub id, or NAME@URL for http.")]


@app.command()
def run(
    task: str,
    data: Data,
    shots: Shots = None,
    count: Sample = None,
    seed: Seed = 0,
    engine: Annotated[str, typer.Option("--engine")] = "auto",
    model: Model = None,
    record: Annotated[Path | None, typer.Option("--record", help="Write figures and predictions as JSON.")] = None,
) -> None:
    """Judge a task on labelled rows."""
    loaded = load_task(task)
    judged, pool = sample(_examples(loaded, data), count, seed), _examples(loaded, shots or [])
    refuse_leaks(judged, pool)
    tagger = Tagger(loaded, engine=open_engine(engine, model), shots=pool or None)
    figures, taggings = run_examples(tagger, judged)
    tokens = [sum(getattr(t.tokens, kind) for t in taggings) / len(taggings) for kind in ("read", "cached", "written")]
    out.print(f"task {loaded.id} {loaded.version}, plan {tagger.provenance.plan}, model {tagger.provenance.model}")
    out.print("right: " + str(figures.accuracy), highlight=False)
    out.print(", ".join(f"{n} {what}" for what, n in sorted(figures.outcomes.items())))
    precision, recall = Share(figures.found, figures.predicted), Share(figures.found, figures.labelled)
    out.print(
        f"values: F1 {100 * figures.f1:.1f}; precision {precision}; recall {recall}", highlight=False, soft_wrap=True
    )
    read, cached, written = tokens
    rate = f"{len(judged) / figures.seconds:.2f} rows/s"
    out.print(f"{rate}; tokens a row: {read:.0f} read, {cached:.0f} of them cached, {written:.1f} written")
    if record:
        facts = asdict(tagger.provenance) | {"versions": dict(tagger.engine.info.versions), "seed": seed}
        rows = [{"id": t.id, "outcome": t.outcome, "values": {n: g.value for n, g in t.tags.items()}} for t in taggings]
        text = {**facts, "outcomes": dict(figures.outcomes), "seconds": round(figures.seconds, 1), "rows": rows}
        record.write_text(json.dumps(text, ensure_ascii=False, indent=1) + "\n", "utf-8")


@app.command()
def bench(
    data: Data,
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


def _examples(task: Task, files: list[Path]) -> list[Example]:
    return [example for file in files for example in task.read_examples(file)]


if __name__ == "__main__":
    run_app(app)
