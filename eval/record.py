"""Taggings in, a run file out, and back: what a run predicted, with all that made it.

A run file is gzipped JSON lines: first the header, then a row for each record, in members of a batch each, so
that a killed run keeps every batch but its last and goes on from there. Rows hold ids, values and raw scores,
never the text of a record; figures are always computed from them again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagger.confidence import Scores
from tagger.errors import SourceError
from tagger.plan import validation_text
from tagger.record import Record
from tagger.result import Outcome, Tag, Tagging

LEAST_KEPT = 1e-4
"""Probabilities below this are left out of a run file and read back as this."""


class Header(BaseModel):
    """What made a run. Two runs with one `key` would predict the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    set: str
    split: str
    sample: int | None
    seed: int
    rows: int
    rows_id: str
    """Twelve hex digits over the ids and texts of the rows, in order and as they were before any change (`variant`)."""
    task: str
    task_version: str
    plan: str
    plan_text: Mapping[str, Any]
    shots: int
    """Labelled rows in the pool; 0: none."""
    model: str
    adapter: str | None
    engine: str
    variant: str = ""
    """How records were changed (robust.py, given.py); "" as they are."""
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        """Twelve hex digits over everything but the versions of libraries."""
        return hashlib.sha256(self.model_dump_json(exclude={"versions"}).encode()).hexdigest()[:12]


def rows_id(records: Iterable[Record]) -> str:
    """The `rows_id` of these records."""
    told = json.dumps([_told(record) for record in records], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _told(record: Record) -> list[Any]:
    pictures = {name: picture.digest.hex() for name, picture in record.pictures.items()}
    return [record.id, dict(record.values), *([pictures] if pictures else [])]


class RunTag(BaseModel):
    """One predicted value with the scores that its probability is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    value: Any
    """What was answered; the best guess where the tagger abstained."""
    p: float = Field(ge=0, le=1)
    model: Mapping[str, float]
    rows: Mapping[str, float] = {}
    least: float = 1.0
    shares: Mapping[str, float] = {}
    usual: float = 0.5
    span: tuple[int, int] | None = None
    inferred: bool = False
    """Whether the record does not hold the value that the model wrote."""
    abstained: bool = False
    each: Mapping[str, float] = {}
    """For a list the probability of every candidate by its JSON text, said or not."""

    def scores(self) -> Scores:
        """The raw scores, as the tagger had them; of an open value nothing was left out."""
        if self.shares:
            return Scores(self.model, self.rows, self.least, self.shares, self.usual, self.inferred)
        texts = {**self.model, **self.rows} if len(self.model) > 1 or len(self.rows) > 1 else self.model
        full = {text: self.model.get(text, LEAST_KEPT / 2) for text in texts}
        rows = {text: self.rows.get(text, LEAST_KEPT / 2) for text in texts} if self.rows else {}
        return Scores(full, rows, self.least, inferred=self.inferred)


class RunRow(BaseModel):
    """What became of one record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    outcome: Outcome
    reason: str | None = None
    tags: Mapping[str, RunTag]
    tokens: tuple[int, int, int]
    """Read, of those cached, written."""


@dataclass(slots=True)
class Run:
    """A run as far as it went."""

    header: Header
    rows: list[RunRow] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether every row has its prediction."""
        return len(self.rows) == self.header.rows


def run_row(tagging: Tagging) -> RunRow:
    """A tagging as a row of a run file."""
    tokens = tagging.tokens
    return RunRow(
        id=tagging.id,
        outcome=tagging.outcome,
        reason=None if tagging.outcome == "abstained" else tagging.reason,  # its probabilities may be decided on anew
        tags={name: run_tag(tag) for name, tag in tagging.tags.items()},
        tokens=(tokens.read, tokens.cached, tokens.written),
    )


def read_run(path: Path) -> Run:
    """A run file; a last batch that was cut off is left out. SourceError for anything else that is wrong."""
    lines = _whole_lines(path)
    if not lines:
        raise SourceError("not a run file: it is empty", where=str(path))
    try:
        run = Run(Header.model_validate_json(lines[0]))
        for line in lines[1:]:
            found = json.loads(line)
            if isinstance(found, dict) and found.keys() == {"seconds"}:
                run.seconds += float(found["seconds"])
            else:
                run.rows.append(RunRow.model_validate(found))
    except ValidationError as error:
        raise SourceError(validation_text(error), where=str(path)) from None
    except (TypeError, ValueError) as error:
        raise SourceError(f"not a run file: {error}", where=str(path)) from None
    return run


def based_on(path: Path, header: Header) -> Run:
    """The run in `path`, which may differ from `header` in its variant alone; SourceError if it is another."""
    found = read_run(path)
    # The id of the plan says what it is; its text has the names that settings had when it was written down.
    same = set(Header.model_fields) - {"variant", "versions", "plan_text"}
    if differing := sorted(name for name in same if getattr(found.header, name) != getattr(header, name)):
        raise SourceError(f"the runs differ in more than the change: {', '.join(differing)}", where=str(path))
    return found


def open_run(path: Path, header: Header) -> Run:
    """The run in `path` as far as it went, or a new one there.

    Raises SourceError if the file holds another run: it is not overwritten.
    """
    if not path.exists() or not _whole_lines(path):  # killed before the header was down
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        _append(path, [header.model_dump_json()])
        return Run(header)
    found = read_run(path)
    if found.header.key != header.key:
        differing = [name for name in Header.model_fields if getattr(found.header, name) != getattr(header, name)]
        hint = "name another file with --record, or remove this one"
        raise SourceError(f"the file holds another run (other {', '.join(differing)})", where=str(path), hint=hint)
    if not found.whole:
        write_run(path, found)  # without what was cut off, so that new batches follow whole ones
    return found


def append(path: Path, rows: Iterable[RunRow], seconds: float) -> None:
    """Add a batch of rows, and the seconds that it took, to a run file."""
    lines = [row.model_dump_json(exclude_defaults=True) for row in rows]
    _append(path, [*lines, json.dumps({"seconds": round(seconds, 2)})])


def write_run(path: Path, run: Run) -> None:
    """Write all of a run; whatever the file held is replaced in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    _append(part, [run.header.model_dump_json()])
    append(part, run.rows, run.seconds)
    part.replace(path)


def _append(path: Path, lines: Iterable[str]) -> None:
    with path.open("ab") as file:
        file.write(gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0))


def _whole_lines(path: Path) -> list[str]:
    """The lines of all members that are whole."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read: {error.strerror}", where=str(path)) from None
    text = b""
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            found = member.decompress(data)
        except zlib.error as error:
            raise SourceError(f"not a run file: {error}", where=str(path)) from None
        if not member.eof:
            break
        text += found
        data = member.unused_data
    try:
        return text.decode().removesuffix("\n").split("\n") if text else []  # not splitlines: values have others
    except UnicodeDecodeError as error:
        raise SourceError(f"not a run file: {error}", where=str(path)) from None


def run_tag(tag: Tag) -> RunTag:
    """A tag as a run file keeps it."""
    scores = tag.scores or Scores({}, {})
    return RunTag(
        value=tag.alternatives[0].value if tag.abstained and tag.alternatives else tag.value,
        p=round(tag.probability, 6),
        model=_kept(scores.model),
        rows=_rounded(scores.rows) if scores.shares else _kept(scores.rows),
        least=round(scores.least, 6),
        shares=_rounded(scores.shares),
        usual=round(scores.usual, 6),
        span=(tag.evidence.start, tag.evidence.end) if tag.evidence else None,
        inferred=scores.inferred,
        abstained=tag.abstained,
        each=_rounded(tag.each),
    )


def _kept(shares: Mapping[str, float]) -> dict[str, float]:
    if len(shares) == 1:
        return _rounded(shares)
    return _rounded({text: share for text, share in shares.items() if share >= LEAST_KEPT})


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    return {text: round(share, 6) for text, share in shares.items()}
