"""Files that callers hand in, in; folders of tags out, one after another, in the background.

A job is a folder: what was asked for (job.json), the file, and the output of a bulk run (run.py). A service that is
started again goes on with those that have no manifest yet, so nothing that was accepted is lost. Records are asked
through the queue that all callers share, so a large job does not make a product page wait.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from threading import Event
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from tagger.asking import Answered, Stop
from tagger.batching import ClosedError
from tagger.errors import EngineError, TaggerError
from tagger.pipeline import Tagger
from tagger.record import Record
from tagger.result import Tagging
from tagger.run import Progress, tag_file
from tagger.sinks import MANIFEST, read_manifest, shards, write_whole
from tagger.sources import catalogue

_LOG = logging.getLogger(__name__)
FACTS, TAGS = "job.json", "tags"
WINDOW = 512
"""Records of a job that wait at once."""
State = Literal["waiting", "running", "finished", "failed"]
Ask = Callable[[str, str, Record], Awaitable[Tagging]]
"""Caller, task and record -> its tagging, however long it takes."""


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
    outcomes: dict[str, int] = {}
    reason: str | None = None
    """Why it failed; it is tried again when the service is started again."""


@dataclass(slots=True)
class _Job:
    wanted: Wanted
    folder: Path
    state: State = "waiting"
    progress: Progress = field(default_factory=Progress)
    reason: str | None = None
    dropped: Event = field(default_factory=Event)


class Jobs:
    """The jobs in a folder. `taggers` are those of the service, `ask` its queue."""

    def __init__(self, folder: Path, taggers: Mapping[str, Tagger], ask: Ask) -> None:
        self._folder, self._taggers, self._ask = folder, taggers, ask
        self._jobs: dict[str, _Job] = {}
        self._closing = Event()
        self._some = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob(f"*/{FACTS}")):
            wanted = Wanted.model_validate_json(path.read_text("utf-8"))
            done = (path.parent / TAGS / MANIFEST).is_file()
            self._jobs[wanted.id] = _Job(wanted, path.parent, "finished" if done else "waiting")

    async def start(self) -> None:
        """Begin to work, first on what an earlier process has left."""
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop at once; what is answered is kept, and the next start goes on there."""
        self._closing.set()
        self._some.set()
        if self._worker:
            await self._worker

    async def add(
        self, caller: str, task: str, form: str, content: AsyncIterator[bytes], key: str | None = None
    ) -> Told:
        """Take a file in. A file that came under the same `key` of the same caller is the same job.

        Raises SourceError for a file that does not fit the task, ValueError where the key came with another file.
        """
        wanted = Wanted(
            id=uuid4().hex, caller=caller, task=task, format=form, made=datetime.now(UTC), digest="", key=key
        )
        folder = self._folder / wanted.id
        source = folder / f"catalogue.{form}"
        folder.mkdir()
        try:
            digest = blake2b(digest_size=16)
            with source.open("wb") as file:
                async for part in content:
                    digest.update(part)
                    await asyncio.to_thread(file.write, part)
            wanted = wanted.model_copy(update={"digest": digest.hexdigest()})
            await asyncio.to_thread(lambda: next(catalogue(source, self._taggers[task].task.columns)))
            if key and (before := self._of_key(caller, key)):
                if (before.wanted.digest, before.wanted.task) != (wanted.digest, task):
                    raise ValueError("this Idempotency-Key came with another file before")
                shutil.rmtree(folder)
                return self._told(before)
            write_whole(folder / FACTS, wanted.model_dump_json(indent=1) + "\n")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._jobs[wanted.id] = job = _Job(wanted, folder)
        self._some.set()
        return self._told(job)

    def of(self, caller: str) -> list[Told]:
        """A caller's jobs, the oldest first."""
        mine = (job for job in self._jobs.values() if job.wanted.caller == caller)
        return [self._told(job) for job in sorted(mine, key=lambda job: job.wanted.made)]

    def told(self, caller: str, name: str) -> Told | None:
        """How far a job is; None for one that the caller has not got."""
        return self._told(job) if (job := self._mine(caller, name)) else None

    def tags(self, caller: str, name: str) -> list[Path]:
        """The files of JSON lines that a finished job has made, in order; none before it is finished."""
        job = self._mine(caller, name)
        return shards(job.folder / TAGS) if job and job.state == "finished" else []

    async def drop(self, caller: str, name: str) -> bool:
        """Stop a job and forget it with all its files; False for one that the caller has not got."""
        if (job := self._mine(caller, name)) is None:
            return False
        job.dropped.set()
        del self._jobs[name]
        if job.state != "running":  # else it goes when the work on it ends
            await asyncio.to_thread(shutil.rmtree, job.folder)
        return True

    @property
    def unfinished(self) -> int:
        """Jobs that wait or run."""
        return sum(job.state in ("waiting", "running") for job in self._jobs.values())

    def _mine(self, caller: str, name: str) -> _Job | None:
        job = self._jobs.get(name)
        return job if job and job.wanted.caller == caller else None

    def _of_key(self, caller: str, key: str) -> _Job | None:
        mine = (job for job in self._jobs.values() if job.wanted.caller == caller)
        return next((job for job in mine if job.wanted.key == key), None)

    def _told(self, job: _Job) -> Told:
        wanted, done = job.wanted, job.progress
        told = Told(id=wanted.id, task=wanted.task, state=job.state, made=wanted.made, reason=job.reason)
        if job.state == "finished":
            facts = read_manifest(job.folder / TAGS)
            return told.model_copy(update={"rows": facts["rows"], "outcomes": facts["outcomes"]})
        return told.model_copy(update={"rows": done.rows + done.partly, "outcomes": dict(done.outcomes)})

    async def _work(self) -> None:
        while not self._closing.is_set():
            waiting = [job for job in self._jobs.values() if job.state == "waiting"]
            if not waiting:
                self._some.clear()
                await self._some.wait()
                continue
            job = min(waiting, key=lambda job: job.wanted.made)
            job.state = "running"
            await asyncio.to_thread(self._run, job, asyncio.get_running_loop())
            if job.dropped.is_set():
                await asyncio.to_thread(shutil.rmtree, job.folder)

    def _run(self, job: _Job, loop: asyncio.AbstractEventLoop) -> None:
        wanted = job.wanted
        if (tagger := self._taggers.get(wanted.task)) is None:
            job.state, job.reason = "failed", f"task {wanted.task!r} is not served any more"
            return

        def stop() -> bool:
            return self._closing.is_set() or job.dropped.is_set()

        def heard(done: Progress) -> None:
            job.progress = done

        asker = Shared(lambda record: self._ask(wanted.caller, wanted.task, record), loop)
        source = job.folder / f"catalogue.{wanted.format}"
        try:
            done = tag_file(tagger, source, job.folder / TAGS, asker=asker, progress=heard, stop=stop)
            job.state = "finished" if done.finished else "waiting"
        except ClosedError:
            job.state = "waiting"
        except (TaggerError, OSError) as error:
            job.state, job.reason = "failed", str(error)
            _LOG.warning("job %s of %s has failed: %s", wanted.id, wanted.caller, error)


class Shared:
    """Gets answers from a queue that others use, too; asks from a thread of its own, not from that of `loop`."""

    whole = False

    def __init__(self, ask: Callable[[Record], Awaitable[Tagging]], loop: asyncio.AbstractEventLoop) -> None:
        self._ask, self._loop = ask, loop

    def __call__(self, records: Iterable[Record], stop: Stop) -> Iterator[Answered]:
        """Some at a time, in order, WINDOW of them waiting. Raises EngineError for an engine that is dead, ClosedError
        when the queue is closed."""
        left, waiting = iter(records), deque[tuple[Record, Future[Tagging | Exception]]]()
        try:
            while True:
                while len(waiting) < WINDOW and not stop() and (record := next(left, None)):
                    waiting.append((record, asyncio.run_coroutine_threadsafe(self._one(record), self._loop)))
                if not waiting:
                    return
                waiting[min(len(waiting), WINDOW // 2) - 1][1].result()  # half of them at once: a transaction each
                answered: list[tuple[Record, Mapping[str, Any]]] = []
                while waiting and waiting[0][1].done():
                    record, future = waiting.popleft()
                    found = future.result()
                    if isinstance(found, Exception):
                        raise found
                    answered.append((record, found.answer()))
                yield answered
        finally:
            for _, future in waiting:
                future.cancel()

    async def _one(self, record: Record) -> Tagging | Exception:
        try:
            return await self._ask(record)
        except (EngineError, ClosedError) as error:
            return error  # for the thread that asks; of several it hears the first
