"""The command line: reads options, calls one function, shows what came of it."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from tagger import demo as demo_catalogue
from tagger import engines, weights
from tagger.blocklist import hits, load_blocklist
from tagger.cli_bulk import retry, status, tag
from tagger.cli_options import BlocklistFile, EngineName, Mapping, ModelName, ShotsFile, TaskName, err, mapped, out
from tagger.cli_serve import key, serve
from tagger.cli_taxonomy import taxonomy
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SourceError, TaggerError
from tagger.fitted import unfit
from tagger.pipeline import Tagger
from tagger.record import Rejected
from tagger.settings import prepare_process
from tagger.sources import records
from tagger.task import load_task, task_names

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (tag, status, retry, serve, key):
    app.command()(command)
app.add_typer(taxonomy, name="taxonomy")
for point in entry_points(group="tagger.commands"):  # what the packages beside this one add
    app.command(point.name)(point.load())


@app.command()
def render(
    file: Annotated[Path, typer.Argument(help="JSONL, CSV or Parquet.")],
    task: TaskName,
    row: Annotated[int, typer.Option("--row", min=1, help="Which row to show.")] = 1,
    model: ModelName = None,
    shots: ShotsFile = None,
    mapping: Mapping = None,
) -> None:
    """Show the exact prompt of a record, its token counts and the part that is cached."""
    loaded = load_task(task)
    record = next(islice(records(file, loaded.columns, mapped(mapping)), row - 1, None), None)
    if record is None or isinstance(record, Rejected):
        reason = "there is no such row" if record is None else record.reason
        raise SourceError(reason, where=f"{file}, row {row}")
    tagger = Tagger(loaded, engine=ScriptedEngine(), shots=shots)
    chat = engines.chat_tokenizer(model)
    for ask in loaded.plan.ask:
        prompt = tagger.prompts(ask, [record])[0]
        head, body = chat.head_ids(prompt.head), chat.bodies([prompt])[0]
        out.rule(f"cached part: {len(head)} tokens, the same for every record with these fields")
        out.print(escape(chat.text(head)), style="dim", highlight=False, soft_wrap=True)
        out.rule(f"this record: {chat.count(prompt)[1]} tokens")
        for name, picture in record.pictures.items():
            counted = "" if chat.sight else " (not counted: this model sees no pictures)"
            out.print(f"picture in {escape(name)}: {picture}{counted}", style="dim", highlight=False, soft_wrap=True)
        out.print(escape(chat.text(body)), highlight=False, soft_wrap=True)
        out.rule(f"{ask.form}: {', '.join(ask.fields[:6])}")


@app.command()
def check(
    task: Annotated[str | None, typer.Argument(help="A task folder or name; none: list the tasks.")] = None,
    blocklist: BlocklistFile = None,
) -> None:
    """Check a task folder: every mistake is named with its place. Exit code 1: it holds what is on the blocklist."""
    listed, found_on_it = load_blocklist(blocklist) if blocklist else None, []
    strange: list[Path] = []
    table = Table("task", "version", "fields", "examples", "asked as", "about")
    for name in [task] if task else task_names():
        found = load_task(name)
        shown = Tagger(found, engine=ScriptedEngine())  # a template that cannot be rendered is found here
        for ask in found.plan.ask if found.examples else ():
            shown.prompts(ask, [found.examples[0].record])
        forms = ", ".join(ask.form for ask in found.plan.ask)
        about = found.definition.about
        found_on_it += hits(found, listed) if listed else []
        table.add_row(found.id, found.version, str(len(found.fields)), str(len(found.examples)), forms, escape(about))
        strange += unfit(found)
    out.print(table)
    for path in strange:
        told = f"{path}: fitted for another version of the task, or another plan; runs with that model will refuse it"
        out.print(f"{told} (fit it anew, or remove it)", highlight=False, markup=False, soft_wrap=True)
    for hit in found_on_it:
        told = f"{hit.where}: {hit.text!r} is on the blocklist ({blocklist}, line {hit.line})"
        out.print(told, highlight=False, markup=False, soft_wrap=True)
    if found_on_it:
        raise typer.Exit(1)


@app.command(name="models")
def list_models() -> None:
    """List the models that come without a hub, and the defaults."""
    table = Table(Column("bundle", no_wrap=True), Column("download", no_wrap=True), "licence", "about")
    for name, bundle in weights.bundles().items():
        table.add_row(name, f"{bundle.size / 1e6:,.0f} MB", bundle.licence, escape(bundle.about))
    out.print(table)
    out.print(f"default on a CPU: {weights.DEFAULT_CPU}; on a GPU: {weights.DEFAULT_GPU} (hub id)")
    out.print("any other Hugging Face instruct model: --model FOLDER or --model OWNER/NAME")


@app.command(name="engines")
def list_engines() -> None:
    """Say which engines can run here, and what to install for the others."""
    table = Table("engine", "here", "what it is", "to install")
    for name, remedy in engines.availability().items():
        about = escape(engines.KINDS[name].about)
        table.add_row(name, "[red]no[/]" if remedy else "[green]yes[/]", about, escape(remedy))
    out.print(table)


@app.command()
def demo(
    engine: EngineName = "auto",
    model: ModelName = None,
    folder: Annotated[Path, typer.Option("--out", help="A folder for the full output.")] = Path("tags/demo"),
) -> None:
    """Tag the sample catalogue that comes with the project and show what came of it."""
    err.print(f"opening engine {engine} ...")
    opened = engines.open_engine(engine, model)
    with _progress("tagging") as progress:
        bar = progress.add_task("", total=demo_catalogue.steps())
        shown = demo_catalogue.run(opened, folder, lambda done: progress.advance(bar, done))
    out.print(demo_catalogue.table(shown))
    out.print(demo_catalogue.summary(shown), soft_wrap=True)
    out.print(f"full output: {folder / demo_catalogue.OUTPUT}", soft_wrap=True)


def main() -> None:
    """The command `tagger`."""
    run_app(app)


def run_app(commands: typer.Typer) -> None:
    """Run a command line; a person's mistake ends in one message and exit code 2, never in a stack trace."""
    try:
        prepare_process()
        commands()
    except (TaggerError, OSError) as error:  # OSError: a full disk or a folder that may not be written
        err.print(f"[red bold]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _progress(what: str) -> Progress:
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, console=err)
