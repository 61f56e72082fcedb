"""Commands of label trees: propose, import, review, hold two against each other, apply a new one to old tags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tagger.cli_options import EngineName, Mapping, ModelName, OutputFormat, err, mapped, out
from tagger.cli_running import STOPPED, asked_to_stop, bars_of_steps
from tagger.engines import open_engine
from tagger.engines.embedder import Embedder
from tagger.errors import SourceError
from tagger.pipeline import Tagger
from tagger.record import Column
from tagger.sources import catalogue
from tagger.taxonomy.carry import carry, touched
from tagger.taxonomy.changes import changes, in_words, read_version
from tagger.taxonomy.decisions import decided, moved_rows, read_decisions
from tagger.taxonomy.folder import NAMES, REVIEW, read_folder, write_folder
from tagger.taxonomy.proposal import Proposal
from tagger.taxonomy.propose import drawn
from tagger.taxonomy.propose import propose as propose_tree
from tagger.taxonomy.review import as_markdown, concerns
from tagger.taxonomy.trees import read_tree

FIRST = 10
"""Concerns that are shown on the screen; review.md has all."""

taxonomy = typer.Typer(no_args_is_help=True, help="Build a label tree, and bring tags from one version to the next.")

OutFolder = Annotated[Path, typer.Option("--out", help="A folder for the task.")]
Field = Annotated[str | None, typer.Option("--field", help="Which field is the tree, if there are several.")]


@taxonomy.command()
def propose(
    source: Annotated[Path, typer.Argument(help="JSONL, CSV or Parquet, or a folder of such files.")],
    folder: OutFolder,
    engine: EngineName = "auto",
    model: ModelName = None,
    mapping: Mapping = None,
    sample: Annotated[int, typer.Option("--sample", min=10, max=5000, help="Rows to make it from.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the draw.")] = 0,
    embedder: Annotated[
        str | None, typer.Option("--embedder", help="A sentence-embedding model: folder or hub id.")
    ] = None,
) -> None:
    """Propose a label tree for untagged products, as a task folder to review."""
    _refuse_taken(folder)
    columns, named = {"title": Column(names=NAMES)}, mapped(mapping)
    records, refused = drawn(catalogue(source, columns, named), sample, seed)
    if refused:
        err.print(f"{refused:,} rows cannot be read and are left out")
    err.print(f"opening engine {engine} ...")
    opened, vectors = open_engine(engine, model), Embedder(embedder) if embedder else None
    with bars_of_steps() as told:
        found = propose_tree(records, opened, embedder=vectors, told=told)
    facts = {**(found.facts or {}), "source": source.name, "sample": sample, "seed": seed, "mapping": named}
    _write(Proposal(found.labels, found.rows, facts), folder)


@taxonomy.command(name="import")
def import_tree(
    tree: Annotated[Path, typer.Argument(help="A .txt in Google's format, or a .csv of paths.")], folder: OutFolder
) -> None:
    """Make a task folder of a label tree that exists already."""
    _refuse_taken(folder)
    _write(read_tree(tree), folder)


@taxonomy.command()
def review(
    folder: Annotated[Path, typer.Argument(help="What propose or import has written.")],
    new: Annotated[Path | None, typer.Option("--out", help="Write the tree as decided into this folder.")] = None,
) -> None:
    """Say what to look at first; with --out, carry out what was decided in labels.csv and rows.csv."""
    found, decisions, moved = read_folder(folder), read_decisions(folder), moved_rows(folder)
    if new:
        _refuse_taken(new)
        out.print(f"{len(decisions)} labels decided on, {moved} rows moved")
        _write(decided(found, decisions), new)
        return
    table = Table("label", "why", "rows", "what")
    for one in (first := concerns(found)[:FIRST]):
        told = "\n".join([one.told, *(f"- {row.text[:70]}" for row in one.rows[:3])])
        table.add_row(escape(one.label or "(none)"), one.kind, str(one.weight), escape(told))
    out.print(table if first else "nothing stands out")
    out.print(f"decided so far: {len(decisions)} labels, {moved} rows; all of it: {folder / REVIEW}", soft_wrap=True)


@taxonomy.command()
def diff(
    old: Annotated[str, typer.Argument(help="The task as it was: a folder or a shipped one.")],
    new: Annotated[str, typer.Argument(help="The task as it is.")],
    field: Field = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say which labels were added, removed, split, merged and renamed, and which products moved."""
    found = changes(read_version(old, field)[2], read_version(new, field)[2])
    if as_json:
        out.print_json(json.dumps(found.as_json(), ensure_ascii=False))
        return
    for line in in_words(found):
        out.print(escape(line), soft_wrap=True, highlight=False)


@taxonomy.command()
def apply(
    old: Annotated[str, typer.Argument(help="The task that the tags were made with.")],
    new: Annotated[str, typer.Argument(help="The task as it is now.")],
    source: Annotated[Path, typer.Option("--source", help="The catalogue that was tagged.")],
    tags: Annotated[Path, typer.Option("--tags", help="The --out of tagger tag, by the old task.")],
    folder: Annotated[Path, typer.Option("--out", help="A folder for the new tags.")],
    engine: EngineName = "auto",
    model: ModelName = None,
    mapping: Mapping = None,
    form: Annotated[OutputFormat, typer.Option("--format")] = OutputFormat.jsonl,
    field: Field = None,
) -> None:
    """Carry old tags over to a new tree; only rows that the change can touch are asked again."""
    before, name, was = read_version(old, field)
    _, _, now = read_version(new, field)
    found = changes(was, now)
    affected = touched(found, was, now)
    for line in in_words(found):
        out.print(escape(line), soft_wrap=True, highlight=False)
    err.print(f"opening engine {engine} ...")
    tagger = Tagger(new, engine=engine, model=model)
    with asked_to_stop() as stop, err.status("tagging"):
        done = carry(
            tagger, name, before, found, affected, source=source, tags=tags, out=folder, form=form.value,
            mapping=mapped(mapping), stop=stop,
        )  # fmt: skip
    out.print(
        f"{done.kept:,} of {done.rows:,} rows keep their tag ({done.saved:.1%} saved); "
        f"{done.progress.asked:,} records asked", highlight=False,
    )  # fmt: skip
    if done.kept and done.mixed:
        told = "kept tags and those of rows asked now were calibrated in different ways, or some not at all"
        err.print(f"[bold]{told}[/]: their probabilities cannot be held against each other", soft_wrap=True)
    if not done.progress.finished:
        out.print("stopped; the same command goes on")
        raise typer.Exit(STOPPED)


def _write(proposal: Proposal, folder: Path) -> None:
    write_folder(proposal, folder, as_markdown(proposal))
    told = f"{len(proposal.labels):,} labels"
    if proposal.rows:
        told += f" from {len(proposal.rows):,} rows, {proposal.coverage:.1%} of which have one"
    out.print(f"{told}: {folder} (begin with {folder / REVIEW})", soft_wrap=True, highlight=False)


def _refuse_taken(folder: Path) -> None:
    """Raise SourceError before the work is done, not after it."""
    if (folder / "task.toml").exists():
        raise SourceError("a task lies there already", where=str(folder), hint="choose another --out")
