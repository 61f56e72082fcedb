"""A catalogue and a Tagger in, a folder of tags out: `tagger tag`, of which no kill loses or repeats anything.

The catalogue is read shard by shard. What a shard's records have no answer to yet is asked, each content once, in
batches that are kept as they come (answers.py); then the shard is written whole. Given again, a run passes over the
shards that hold what they would hold, so it goes on where it was, and after a change it asks for what is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from time import time
from typing import Any

from tagger.answers import TOKENS, Answers, claimed, content_key
from tagger.asking import Answered, Asker, Here
from tagger.blocklist import screened
from tagger.errors import SourceError
from tagger.made import claim
from tagger.near import Near, inherited
from tagger.pipeline import Tagger
from tagger.record import Record, Rejected, printable
from tagger.result import Outcome, Tagging, line_of
from tagger.shard import Part, by_content, digest, keys_of, sealed
from tagger.sinks import MANIFEST, Format, read_manifest, shard_name, shards, write_manifest, write_shard
from tagger.sources import Seen, Unread, batches, catalogue, one_ahead

SHARD = 10_000
"""Rows of a file of output."""
SHARD_PICTURES = 256
"""The same where records have pictures: two shards lie in memory at once, and a picture may take 5 MiB."""

Answer = Mapping[str, Any]
"""What `Tagging.answer` gives, with `same_as` where it is that of a record which is nearly the same."""


@dataclass
class Progress:
    """What a run has come to so far; answers and tokens are those that this process has got."""

    rows: int = 0
    """In shards that are written, or need not be."""
    partly: int = 0
    """Records of the shard at hand that have their answers."""
    asked: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)
    """Files of a folder that could not be read to their end."""
    withheld: Counter[str] = field(default_factory=Counter)
    """Values that a blocklist has kept back, by field."""
    removed: list[str] = field(default_factory=list)
    """Files of an earlier run into the folder that are not of this one: of more rows, or in another format."""
    finished: bool = False
    """Whether all rows are in the output; False after a stop."""


class _StoppedError(Exception):
    """Somebody wants the run to stop; what is answered is kept."""


def tag_file(
    tagger: Tagger,
    source: Path,
    out: Path,
    *,
    form: Format = "jsonl",
    mapping: Mapping[str, str] | None = None,
    limit: int | None = None,
    near: float | None = None,
    asker: Asker | None = None,
    shard: int | None = None,
    paths: bool = True,
    command: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Tag every row of `source`, a file or a folder (or the first `limit`), into `out`.

    `near` is a likeness, above 0 to 1, from which a record takes the answer of an earlier one (near.py). Values on the
    tagger's blocklist do not go out; the answers that are kept still have them. `paths`: whether pictures may be named
    by their paths beside the file. `command` is kept for whoever gives it again. `progress` hears how far it is, after
    every batch; once `stop` says so, nothing more is asked. Raises SourceError for a source that does not fit the task,
    for an `out` of another run and for what cannot be written, EngineError for an engine that cannot be brought back.
    """
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        hint = "choose an --out beside it"
        raise SourceError("the output would lie among the files that are read", where=str(out), hint=hint)
    collapse = Near(near) if near is not None else None
    with claimed(out), Answers(out) as answers:
        claim(answers, tagger, out)
        if command is not None:
            answers.note(command=command)
        settings = f"{form} {near}" + (f" {tagger.blocklist.id}" if tagger.blocklist else "")
        run = _Run(tagger, answers, out, form, collapse, asker or Here(tagger), progress, stop, settings)
        task = tagger.task
        rows = islice(catalogue(source, task.columns, mapping, paths=paths), limit)
        size = shard or (SHARD_PICTURES if task.picture_columns else SHARD)
        with suppress(_StoppedError):
            if run.ask.whole:
                run.ahead(islice(catalogue(source, task.columns, mapping, paths=paths), limit))
            run.through(batches(rows, size), printable(source.name))
        return run.done


@dataclass
class _Run:
    """One pass over a catalogue."""

    tagger: Tagger
    answers: Answers
    out: Path
    form: Format
    near: Near | None
    ask: Asker
    progress: Callable[[Progress], None]
    stop: Callable[[], bool]
    settings: str
    done: Progress = field(default_factory=Progress)
    failed: dict[bytes, Answer] = field(default_factory=dict)
    """What a cluster could not answer, and why."""
    unsure: bool = False
    """Whether a record that stands for others has no answer yet: what they get is not the last word."""

    def __post_init__(self) -> None:
        self.begun, self.blocklist = time(), self.tagger.blocklist
        finished = (self.out / MANIFEST).is_file()
        self.number = read_manifest(self.out)["run"] + 1 if finished else self.answers.fact("run") or 1

    def ahead(self, rows: Iterable[Record | Rejected]) -> None:
        """Get the answers of all rows that have none, by an asker that is to be given them at once."""
        seen = Seen()
        new = (record for part in batches(rows, SHARD) for record in self._new(part, seen))
        for batch in self.ask(new, self.stop):
            self._keep(batch)
        self._heed()
        self.done.partly = 0

    def _new(self, part: Sequence[Record | Rejected], seen: Seen) -> list[Record]:
        records = by_content(part, keys_of(part))
        known = self.answers.get(records)
        return [record for key, record in records.items() if key not in known and seen.add(key.hex())]

    def through(self, parts: Iterable[Sequence[Record | Rejected]], source: str) -> None:
        """Bring the folder to hold the tags of all parts, a shard each, and the manifest."""
        names: list[str] = []
        with closing(one_ahead(map(self._read, parts))) as pieces:
            for piece in pieces:
                self._shard(len(names), piece)
                names.append(shard_name(len(names), self.form))
        for stale in (path for path in shards(self.out) if path.name not in names):
            self._begin()
            stale.unlink()
            self.done.removed.append(stale.name)
        self.answers.drop_shards(len(names))
        if not (self.out / MANIFEST).is_file():
            write_manifest(self.out, self._facts(source, names))
        self.done.finished = True

    def _read(self, rows: Sequence[Record | Rejected]) -> Part:
        """A shard's rows, ready to be asked."""
        keys = keys_of(rows)
        records = by_content(rows, keys)
        likes = {}
        if self.near is not None:
            task = self.tagger.task
            likes = {key: self.near.like(key, record, task.apart(record)) for key, record in records.items()}
        return Part(rows, keys, records, likes)

    def _begin(self) -> None:
        """From here on the output changes: it is no longer that of the last finished run."""
        self.answers.note(run=self.number)
        (self.out / MANIFEST).unlink(missing_ok=True)

    def _shard(self, number: int, piece: Part) -> None:
        """Bring one shard to hold the tags of its records."""
        self._heed()
        part, keys = piece.rows, piece.keys
        made_of, noted = digest(piece, self.settings), self.answers.shard(number)
        path = self.out / shard_name(number, self.form)
        same = noted is not None and noted[0] == sealed(made_of, path)
        if noted and same and self.near is None and self.blocklist is None:
            self._count(len(part), *noted[1:])
            return
        found = self._found(piece.records, piece.likes)
        made = self.tagger.provenance
        answers = [
            self._screened(found[key] if key else self._refused(one)) for key, one in zip(keys, part, strict=True)
        ]
        outcomes = dict(sorted(Counter(str(answer["outcome"]) for answer in answers).items()))
        unread = [one.where for one in part if isinstance(one, Unread)]
        if not same:
            self._begin()
            lines = (line_of(one.id, answer, made) for one, answer in zip(part, answers, strict=True))
            task = self.tagger.task
            write_shard(path, self.form, lines, task.fields, ruled=task.rules is not None)
            if "failed" not in outcomes and not self.unsure:  # else it is written anew when the run is given again
                self.answers.put_shard(number, sealed(made_of, path), outcomes, unread)
        self._count(len(part), outcomes, unread)

    def _screened(self, answer: Answer) -> Answer:
        """An answer without what the blocklist keeps back."""
        if self.blocklist is None:
            return answer
        kept, withheld = screened(answer, self.blocklist)
        self.done.withheld.update(withheld)
        return kept

    def _kept_back(self) -> dict[str, Any]:
        """What the manifest says of a blocklist; nothing without one."""
        if self.blocklist is None:
            return {}
        used = {"file": self.blocklist.name, "id": self.blocklist.id, "entries": len(self.blocklist.entries)}
        return {"blocklist": {**used, "withheld": dict(sorted(self.done.withheld.items()))}}

    def _found(self, records: Mapping[bytes, Record], likes: Mapping[bytes, Record | None]) -> dict[bytes, Answer]:
        """The answers of a shard's records by their content; those that stand for others are asked before them."""
        found = self._answered({key: record for key, record in records.items() if likes.get(key) is None})
        self.unsure = False
        task = self.tagger.task
        models = {key: content_key(like) for key, like in likes.items() if like}
        known = found | self.answers.get(models.values())
        for key, model in models.items():
            self.unsure |= model not in known or known[model]["outcome"] == "failed"
            handed = inherited(known[model], task.fields, records[key]) if model in known else None
            if handed and (like := likes[key]):
                found[key] = handed | {"same_as": like.id}
        return found | self._answered({key: record for key, record in records.items() if key not in found})

    def _answered(self, records: Mapping[bytes, Record]) -> dict[bytes, Answer]:
        """The answers of records, asked for where there are none yet."""
        found: dict[bytes, Answer] = dict(self.answers.get(records))
        self.done.partly += len(found)
        missing = [record for key, record in records.items() if key not in found]
        if self.ask.whole:  # it was asked for all of them before
            lost = self._without("failed", "the cluster gave no answer")
            return found | {key: self.failed.get(key, lost) for key in map(content_key, missing)}
        for batch in self.ask(missing, self.stop):
            found |= self._keep(batch)
        if len(found) < len(records):
            raise _StoppedError
        return found

    def _keep(self, batch: Answered) -> dict[bytes, Answer]:
        """Keep answers, those apart that only the engine is to blame for."""
        got = {content_key(record): answer for record, answer in batch}
        failed = {key: answer for key, answer in got.items() if answer["outcome"] == "failed"}
        self.answers.add({key: answer for key, answer in got.items() if key not in failed}, self.number)
        if self.ask.whole:
            self.failed |= failed
        self.done.asked += len(got)
        self.done.partly += len(got)
        for answer in got.values():
            self.done.tokens.update(answer["tokens"])
        self._tell()
        return got

    def _count(self, rows: int, outcomes: Mapping[str, int], unread: Sequence[str]) -> None:
        self.done.rows, self.done.partly = self.done.rows + rows, 0
        self.done.outcomes.update(outcomes)
        self.done.unread += unread
        self._tell()

    def _tell(self) -> None:
        cost: dict[str, Any] = {}
        if self.done.asked or not self.answers.fact("asked"):  # else what the run before has cost stays
            cost = {"asked": self.done.asked, "begun": self.begun, "at": time()}
        self.answers.note(rows=self.done.rows + self.done.partly, **cost)
        self.progress(self.done)

    def _heed(self) -> None:
        if self.stop():
            raise _StoppedError

    def _refused(self, row: Record | Rejected) -> Answer:
        assert isinstance(row, Rejected)
        return self._without("rejected", f"{row.where}: {row.reason}")

    def _without(self, outcome: Outcome, reason: str) -> Answer:
        """The answer of a record that was not asked: no engine made it."""
        return Tagging("", outcome, {}, self.tagger.provenance, reason).answer() | {"engine": None}

    def _facts(self, source: str, names: Sequence[str]) -> dict[str, Any]:
        """What stands in the manifest; the cost is that of the latest run that asked anything."""
        made = asdict(self.tagger.provenance) | {"engine": asdict(self.tagger.engine.info)}
        runs = map(self.answers.asked, range(self.number, 0, -1))
        asked = next((asked for asked in runs if asked["answers"]), dict.fromkeys(("answers", *TOKENS), 0))
        return {
            "source": source,
            "run": self.number,
            **made,
            "rows": self.done.rows,
            "outcomes": dict(sorted(self.done.outcomes.items())),
            "asked": asked.pop("answers"),
            "tokens": asked,
            "unread": self.done.unread,
            **self._kept_back(),
            "output": names,
        }
