"""Commands of a whole catalogue: tag it, see how far it is, ask again for what was refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.markup import escape
from rich.table import Table

from tagger.answers import ANSWERS, Answers, claimed
from tagger.asking import Asker
from tagger.blocklist import load_blocklist
from tagger.cli_options import (
    BlocklistFile,
    EngineName,
    Mapping,
    ModelName,
    OutputFormat,
    ShotsFile,
    TaskName,
    err,
    mapped,
    out,
)
from tagger.cli_running import STOPPED, asked_to_stop, bar_of, loaded_for_good
from tagger.errors import SettingsError, SourceError
from tagger.formats import rows as rows_of
from tagger.made import refuse_other
from tagger.pipeline import Tagger
from tagger.run import Progress, tag_file
from tagger.schema import LabelField, PathField
from tagger.sinks import MANIFEST, read_manifest, shards, tag_lines
from tagger.sources import catalogue, count, left_out
from tagger.task import Task, load_task

RUNNING = "running"

REASONS = 3
"""For which rows were rejected, or failed, that are told."""
UNLIKELY, MANY = 0.5, 0.2
"""Below this probability a label is held to be wrong rather than right; the share of such labels that is told."""
PLACE, VARYING, END = (
    re.compile(r"^(?:.*?, )?row \d+(?:, column .*?)?: "),
    re.compile(r"'[^']*'|\d[\d,]*"),
    re.compile("[;:(]"),
)
"""Of a reason: which row it is about, what differs from row to row, and where details begin."""

Folder = Annotated[Path, typer.Argument(help="The --out of a run.")]


class Job(BaseModel):
    """A run as a person asked for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Path
    task: str
    engine: str
    model: str | None
    shots: Path | None
    mapping: dict[str, str]
    form: OutputFormat
    limit: int | None
    promise: float | None
    near: float | None
    on: str | None
    rows: int
    """In the source, roughly."""
    blocklist: Path | None = None


def tag(
    source: Annotated[Path, typer.Argument(help="JSONL, CSV or Parquet, or a folder of such files.")],
    task: TaskName,
    folder: Annotated[Path, typer.Option("--out", help="A folder for tags and manifest.")],
    engine: EngineName = "auto",
    model: ModelName = None,
    shots: ShotsFile = None,
    mapping: Mapping = None,
    form: Annotated[OutputFormat, typer.Option("--format", help="Of the output.")] = OutputFormat.jsonl,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first rows.")] = None,
    promise: Annotated[
        float | None,
        typer.Option(
            "--promise", min=0.01, max=0.999, help="Say only what a calibration knows to be right so often: 0.95."
        ),
    ] = None,
    near: Annotated[
        float | None,
        typer.Option("--near", min=0.01, max=1, help="Likeness, 0.9 for instance, from which records share an answer."),
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", help="A Ray cluster: ray://HOST:10001, auto, or local; --out is shared.")
    ] = None,
    blocklist: BlocklistFile = None,
) -> None:
    """Tag every row of a file or a folder. Stopped or killed, the same command goes on."""
    loaded, named = load_task(task), mapped(mapping)
    next(catalogue(source, loaded.columns, named))  # what does not fit is found before a model loads
    if shots:
        loaded.read_examples(shots)
    if blocklist:
        load_blocklist(blocklist)
    refuse_other(folder, {"task": loaded.id, "task_version": loaded.version})
    if others := left_out(source):
        err.print(f"[bold]not read, for their format:[/] {_first(others)}", soft_wrap=True)
    rows = count(source)
    job = Job(
        source=source.absolute(), task=_absolute(task), engine=engine, model=model and _absolute(model),
        shots=shots and shots.absolute(), mapping=named, form=form,
        limit=limit, promise=promise, near=near, on=on, rows=min(rows, limit or rows),
        blocklist=blocklist and blocklist.absolute(),
    )  # fmt: skip
    _do(job, folder)


def _absolute(name: str) -> str:
    """The name of a task or a model; a folder's so that it is found from anywhere."""
    return str(Path(name).absolute()) if Path(name).is_dir() else name


def status(folder: Folder) -> None:
    """Say how far a run is, and what came of it."""
    if not (folder / ANSWERS).is_file():
        raise SourceError("no run was begun there", where=str(folder))
    with Answers(folder) as answers:
        facts = {name: answers.fact(name) for name in ("command", "made", "rows", "at", "asked", "begun")}
    table = Table(show_header=False)
    job = _job(facts["command"])
    for name, value in (facts["made"] or {}).items():
        table.add_row(name.replace("_", " "), escape(str(value or "none")))
    if job:
        table.add_row("source", escape(str(job.source)))
    seen = f"{datetime.fromtimestamp(facts['at']):%Y-%m-%d %H:%M:%S}" if facts["at"] else "never"
    state = _state(folder)
    about = f" of about {job.rows:,}" if job and state["state"] != "finished" else ""
    table.add_row("rows", f"{facts['rows'] or 0:,}{about}, last seen {seen}")
    for name, value in state.items():
        table.add_row(name, escape(value))
    if facts["asked"] and facts["at"] > facts["begun"]:
        rate = facts["asked"] / (facts["at"] - facts["begun"])
        left = timedelta(seconds=round(max(0, job.rows - facts["rows"]) / rate)) if job else None
        ahead = f", about {left} left" if left and state["state"] == RUNNING else ""
        table.add_row("rate", f"{rate:,.1f} records asked a second{ahead}")
    out.print(table)


def retry(
    folder: Folder,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Ask also for what the model was asked and gave no answer to.")
    ] = False,
) -> None:
    """Give a run again: what failed is asked again."""
    if not (folder / ANSWERS).is_file():
        raise SourceError("no run was begun there", where=str(folder))
    with claimed(folder), Answers(folder) as answers:
        job = _job(answers.fact("command"))
    if job is None:
        raise SourceError("the run does not say how it was begun", where=str(folder), hint="give its command again")
    _do(job, folder, forget="rejected" if rejected else None)


def _job(command: Any) -> Job | None:
    """How a run was begun; None where that cannot be known (any more)."""
    try:
        return Job.model_validate(command)
    except ValidationError:
        return None


def _do(job: Job, folder: Path, forget: str | None = None) -> None:
    """Run a job; the answers with the outcome `forget` are dropped once everything is there to get new ones."""
    with claimed(folder):
        pass  # another run is found before a model loads
    tagger, asker = _opened(job, folder)
    with claimed(folder), Answers(folder) as answers:
        if (before := _job(answers.fact("command"))) and before.source != job.source:
            err.print(f"the folder held the tags of {escape(str(before.source))}: they are replaced", soft_wrap=True)
    if forget:
        with claimed(folder), Answers(folder) as answers:
            err.print(f"{answers.forget(forget)} {forget} answers are asked again")
    with loaded_for_good(), asked_to_stop() as stop, bar_of(job.rows) as show:
        done = tag_file(
            tagger, job.source, folder, form=job.form.value, mapping=job.mapping, limit=job.limit, near=job.near,
            asker=asker, command=job.model_dump(mode="json"), progress=show, stop=stop,
        )  # fmt: skip
    out.print(_told(done), soft_wrap=True, highlight=False)
    if not done.finished:
        out.print(f"stopped after {done.rows + done.partly:,} rows; the same command goes on", soft_wrap=True)
        raise typer.Exit(STOPPED)
    out.print(f"manifest: {escape(str(folder / MANIFEST))}", soft_wrap=True)
    if done.removed:
        err.print(f"removed, of an earlier run into this folder: {_first(done.removed)}", soft_wrap=True)
    for outcome in ("rejected", "failed"):
        for number, first in _reasons(folder, outcome) if done.outcomes[outcome] else ():
            err.print(f"{number:,} {outcome}, the first: {escape(first)}", soft_wrap=True, highlight=False)
    for name, unlikely, labels in _doubtful(folder, tagger.task):
        told = f"{escape(name)}: {unlikely:,} of {labels:,} labels have a probability below {UNLIKELY}"
        hint = "does the task fit these rows? With `abstain_below` in its task.toml it keeps silent there"
        err.print(f"[bold]{told}[/]; {hint}", soft_wrap=True, highlight=False)
    if done.withheld:
        err.print(f"[bold]withheld, on the blocklist:[/] {escape(_counted(done.withheld))}", soft_wrap=True)
    if done.unread:
        unread = escape(", ".join(done.unread))
        err.print(f"[red bold]not read to the end:[/] {unread} (the output says why)", soft_wrap=True)
    if failed := done.outcomes["failed"]:
        err.print(f"[red bold]{failed:,} failed:[/] the same command asks them again")
    if nothing := not set(done.outcomes) - {"rejected", "failed"}:
        err.print("[red bold]no row was tagged[/]")
    if done.unread or failed or nothing:
        raise typer.Exit(1)


def _doubtful(folder: Path, task: Task) -> list[tuple[str, int, int]]:
    """The fields with one label, many of which are UNLIKELY: how many of them, of how many that are said."""
    said, unlikely = Counter[str](), Counter[str]()
    asked = {name for name, field in task.fields.items() if isinstance(field, LabelField | PathField)}
    for line in tag_lines(folder, task) if asked else ():
        for name, tag in line["tags"].items():
            if name in asked and tag["value"] is not None:
                said[name] += 1
                unlikely[name] += tag["probability"] < UNLIKELY
    return [(name, unlikely[name], labels) for name, labels in said.items() if unlikely[name] >= MANY * labels]


def _reasons(folder: Path, outcome: str) -> list[tuple[int, str]]:
    """The most frequent reasons of rows with an outcome: how many rows each has, and what the first says."""
    counts, first = Counter[str](), dict[str, str]()
    for path in shards(folder):
        for line in rows_of(path, lambda _: ["outcome", "reason"]):
            if line["outcome"] == outcome:
                reason = str(line["reason"])
                kind = END.split(VARYING.sub("_", PLACE.sub("", reason)))[0]
                counts[kind] += 1
                first.setdefault(kind, reason)
    return [(number, first[kind]) for kind, number in counts.most_common(REASONS)]


def _first(names: Sequence[object]) -> str:
    """The first of some names."""
    return escape(", ".join(map(str, names[:5])) + (", ..." if len(names) > 5 else ""))


def _counted(numbers: dict[str, int]) -> str:
    """Names with how often each was counted."""
    return ", ".join(f"{number:,} {name}" for name, number in sorted(numbers.items()))


def _opened(job: Job, folder: Path) -> tuple[Tagger, Asker | None]:
    """The Tagger of this process, or one that stands for those of a cluster, with who asks these."""
    listed = load_blocklist(job.blocklist) if job.blocklist else None
    if job.on is None:
        err.print(f"opening engine {job.engine} ...")
        tagger = Tagger(
            job.task, engine=job.engine, model=job.model, shots=job.shots, promise=job.promise, blocklist=listed
        )
        return tagger, None
    from tagger.cluster import Elsewhere, OnRay

    if job.near is not None:
        told = "--near compares records one after another, --on asks them all at once"
        raise SettingsError(told, hint="leave one of them out")
    err.print(f"opening Ray {job.on} ...")
    elsewhere = Elsewhere(job.engine, job.model)
    tagger = Tagger(job.task, engine=elsewhere, shots=job.shots, promise=job.promise, blocklist=listed)
    made_with = job.model_dump(include={"task", "engine", "model", "shots", "promise"})
    return tagger, OnRay(job.on, made_with, folder.absolute())


def _state(folder: Path) -> dict[str, str]:
    """Whether a run is going on or finished, and what came of it."""
    try:
        with claimed(folder):
            pass
    except SourceError:
        return {"state": RUNNING}
    if not (folder / MANIFEST).is_file():
        return {"state": "stopped: the same command goes on"}
    facts = read_manifest(folder)
    outcomes = ", ".join(f"{n:,} {outcome}" for outcome, n in facts["outcomes"].items())
    withheld = facts.get("blocklist", {}).get("withheld")
    kept_back = {"withheld": f"{_counted(withheld)} (on the blocklist)"} if withheld else {}
    unread = {"not read to the end": ", ".join(facts["unread"])} if facts["unread"] else {}
    return {"state": "finished", "outcomes": outcomes, "asked": f"{facts['asked']:,} records", **kept_back, **unread}


def _told(done: Progress) -> str:
    """Outcomes and cost of a run, in a line."""
    counts = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(done.outcomes.items()))
    tokens = ", ".join(f"{n:,} {what}" for what, n in done.tokens.items()) or "none"
    return f"{counts or 'nothing finished yet'}; {done.asked:,} records asked, tokens: {tokens}"
