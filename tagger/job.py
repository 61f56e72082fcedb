"""One job in: what was asked for, how far it is, and whether its file is what it is said to be, out.

A job is a folder: what was asked for (job.json), the file, and the output of a bulk run (run.py).
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tagger.faults import RefusedError
from tagger.pipeline import Tagger
from tagger.plan import validation_text
from tagger.sinks import MANIFEST, read_manifest
from tagger.sources import ColumnError, catalogue, count

_LOG = logging.getLogger(__name__)
FACTS, TAGS = "job.json", "tags"
NOBODY = ""
"""The caller of a job of which cannot be read whose it is: who knows its id is told."""
FORMS = {"jsonl": "JSON lines", "csv": "CSV", "parquet": "a Parquet file"}
HEAD = 4096
"""Bytes of a file by which its form is told."""
State = Literal["waiting", "running", "finished", "failed"]


class Wanted(BaseModel):
    """What was asked for: `digest` is that of the file, `key` the caller's Idempotency-Key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    caller: str
    task: str
    format: str
    made: datetime
    digest: str
    key: str | None = None


class Told(BaseModel):
    """How far a job is."""

    id: str
    task: str
    state: State
    made: datetime
    rows: int = 0
    total: int | None = None
    """Rows of the file, where its form says it at once: Parquet's does."""
    outcomes: dict[str, int] = {}
    reason: str | None = None
    """Why it failed; it is tried again when the service is started again."""


@dataclass(slots=True)
class Job:
    """A job as this process knows it."""

    wanted: Wanted
    folder: Path
    state: State = "waiting"
    rows: int = 0
    total: int | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    dropped: Event = field(default_factory=Event)

    @property
    def source(self) -> Path:
        """The file that was handed in."""
        return self.folder / f"catalogue.{self.wanted.format}"

    def look(self) -> None:
        """Take note of how many rows there are, or were."""
        if (self.folder / TAGS / MANIFEST).is_file():
            facts = read_manifest(self.folder / TAGS)
            self.state, self.rows, self.outcomes = "finished", facts["rows"], facts["outcomes"]
            self.total = self.rows
        elif self.wanted.format == "parquet":
            self.total = count(self.source) or None

    def told(self) -> Told:
        """How far it is."""
        wanted, outcomes = self.wanted, dict(self.outcomes)
        return Told(
            id=wanted.id, task=wanted.task, state=self.state, made=wanted.made, rows=self.rows, total=self.total,
            outcomes=outcomes, reason=self.reason,
        )  # fmt: skip


def left(folder: Path) -> Job:
    """A job as an earlier process has left it; one that cannot be read has failed."""
    text = b""
    try:
        text = (folder / FACTS).read_bytes()
        job = Job(Wanted.model_validate_json(text), folder)
        job.look()
        return job
    except (OSError, KeyError, ValueError) as error:
        told = validation_text(error) if isinstance(error, ValidationError) else repr(error)
    try:
        wanted = Wanted.model_validate_json(text, extra="ignore")  # a later version's still says whose it is
    except ValidationError:
        made = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        wanted = Wanted(id=folder.name, caller=NOBODY, task="", format="", made=made, digest="")
    _LOG.error("job %s cannot be read: %s", folder.name, told)
    return Job(wanted, folder, "failed", reason=f"what is written down of it cannot be read: {told}")


def check(job: Job, tagger: Tagger) -> None:
    """Raise RefusedError or SourceError for a file that is of another form, or does not fit the task."""
    form, looks = job.wanted.format, _looks(job.source)
    if looks in FORMS and looks != form:
        raise RefusedError(422, f"not {FORMS[form]}: it looks like {FORMS[looks]}", f"send it with form={looks}")
    if looks == "bytes" and form != "parquet":
        raise RefusedError(422, f"not {FORMS[form]}: it is no text", "send JSON lines, CSV or Parquet")
    try:
        next(catalogue(job.source, tagger.task.columns, paths=False))
    except ColumnError as error:
        hint = "call the column so in the file, or list its name in the task's task.toml, names"
        raise RefusedError(422, error.message, hint) from None
    job.look()


def _looks(source: Path) -> str:
    """The form that a file has by its beginning; "bytes" for no text, "" for nothing but blank lines."""
    with source.open("rb") as file:
        head = file.read(HEAD).removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith((b"PAR1", b"{")):
        return "jsonl" if head.startswith(b"{") else "parquet"
    return "bytes" if b"\0" in head else "csv" if head else ""
