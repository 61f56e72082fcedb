"""Files that callers hand in, in; folders of tags out, in the background; of each caller one after another.

A job is a folder: what was asked for (job.json), the file, and the output of a bulk run (run.py). A service that is
started again goes on with those that have no manifest yet, so nothing that was accepted is lost; the folder of all jobs
is one service's alone. Records are asked through the queue that all callers share, so a large job does not make a
product page wait.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from threading import Event
from uuid import uuid4

from filelock import BaseFileLock, FileLock, Timeout

from tagger.answers import ANSWERS, LOCK, Answers, claimed
from tagger.batching import ClosedError
from tagger.errors import SettingsError, SourceError, TaggerError
from tagger.faults import RefusedError
from tagger.job import FACTS, NOBODY, TAGS, Job, Told, Wanted, check, left
from tagger.made import made_by
from tagger.pipeline import Tagger
from tagger.queued import Shared
from tagger.record import Record
from tagger.result import Tagging
from tagger.run import Progress, tag_file
from tagger.sinks import shards, write_whole

_LOG = logging.getLogger(__name__)
NAME = re.compile("[0-9a-f]{32}")
"""Of a job and its folder."""
RUNNING, UNFINISHED = 8, 20
"""Jobs that run at once, and jobs of one caller that arrive, wait or run."""
KEPT = timedelta(days=7)
"""How long the tags of a job can be fetched after it was handed in."""
Ask = Callable[[str, Tagger, Record], Awaitable[Tagging]]
"""Caller, tagger and record -> its tagging, however long it takes."""
Withheld = Callable[[str, Mapping[str, int]], None]
"""Hears of a task how many values a job has kept back, by field."""


class Jobs:
    """The jobs in a folder. `taggers` are those of the service, `ask` its queue. Raises SettingsError for a folder in
    which another service keeps its jobs."""

    def __init__(self, folder: Path, taggers: Mapping[str, Tagger], ask: Ask, withheld: Withheld) -> None:
        self._folder, self._taggers, self._ask, self._withheld = folder, taggers, ask, withheld
        self._jobs: dict[str, Job] = {}
        self._arriving: Counter[str] = Counter()
        self._closing = Event()
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(RUNNING)  # of their own: they wait for threads that answer
        self._lock = claim(folder)
        for path in folder.iterdir():
            if not NAME.fullmatch(path.name):
                continue  # somebody else's
            if not (path / FACTS).is_file():  # a file that had not come whole, or a job that was dropped
                shutil.rmtree(path, ignore_errors=True)
                continue
            self._jobs[path.name] = left(path)

    async def start(self) -> None:
        """Go on with what an earlier process has left."""
        for caller in {job.wanted.caller for job in self._jobs.values()}:
            self._wake(caller)

    async def stop(self) -> None:
        """Stop at once; what is answered is kept, and the next start goes on there."""
        self._closing.set()
        try:
            await asyncio.gather(*self._at_work.values())
            self._threads.shutdown()
        finally:
            self._lock.release()

    async def add(
        self, caller: str, task: str, form: str, content: AsyncIterator[bytes], key: str | None = None
    ) -> Told:
        """Take a file in. A file that came under the same `key` of the same caller is the same job.

        Raises SourceError for a file that does not fit the task, RefusedError for one that is not of that `form`, where
        the key came with another file and for more than UNFINISHED jobs, OSError where the file cannot be kept.
        """
        mine = [job for job in self._jobs.values() if job.wanted.caller == caller]
        if sum(job.state in ("waiting", "running") for job in mine) + self._arriving[caller] >= UNFINISHED:
            raise RefusedError(429, f"{UNFINISHED} jobs of yours are not finished yet", after=60)
        wanted = Wanted(
            id=uuid4().hex, caller=caller, task=task, format=form, made=datetime.now(UTC), digest="", key=key
        )
        folder = self._folder / wanted.id
        self._arriving[caller] += 1
        try:
            job = await self._arrived(wanted, folder, content)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._arriving[caller] -= 1
        self._wake(caller)
        return job.told()

    def of(self, caller: str) -> list[Told]:
        """A caller's jobs, the oldest first."""
        mine = (job for job in self._jobs.values() if job.wanted.caller == caller)
        return [job.told() for job in sorted(mine, key=lambda job: job.wanted.made)]

    def told(self, caller: str, name: str) -> Told | None:
        """How far a job is; None for one that the caller has not got."""
        return job.told() if (job := self._mine(caller, name)) else None

    def tags(self, caller: str, name: str) -> list[Path]:
        """The files of JSON lines that a finished job has made, in order; none before it is finished."""
        job = self._mine(caller, name)
        return shards(job.folder / TAGS) if job and job.state == "finished" else []

    async def drop(self, caller: str, name: str) -> None:
        """Stop a job of the caller, and forget it with all its files."""
        if job := self._mine(caller, name):
            await self._forget(job)

    @property
    def unfinished(self) -> int:
        """Jobs that wait or run."""
        return sum(job.state in ("waiting", "running") for job in self._jobs.values())

    @property
    def failed(self) -> int:
        """Jobs that have failed, and were neither dropped nor tried again."""
        return sum(job.state == "failed" for job in self._jobs.values())

    async def _arrived(self, wanted: Wanted, folder: Path, content: AsyncIterator[bytes]) -> Job:
        folder.mkdir(mode=0o700)
        job, digest = Job(wanted, folder), blake2b(digest_size=16)
        with job.source.open("wb") as file:
            async for part in content:
                digest.update(part)
                await asyncio.to_thread(file.write, part)
        job.wanted = wanted = wanted.model_copy(update={"digest": digest.hexdigest()})
        await asyncio.to_thread(check, job, self._taggers[wanted.task])
        for before in self._jobs.values() if wanted.key else ():
            if (before.wanted.caller, before.wanted.key) == (wanted.caller, wanted.key):
                if any(getattr(before.wanted, name) != getattr(wanted, name) for name in ("digest", "task", "format")):
                    raise RefusedError(422, "this Idempotency-Key came with another file before", "take a new key")
                shutil.rmtree(folder)
                return before
        write_whole(folder / FACTS, wanted.model_dump_json(indent=1) + "\n")
        self._jobs[wanted.id] = job
        return job

    def _mine(self, caller: str, name: str) -> Job | None:
        job = self._jobs.get(name)
        return job if job and job.wanted.caller in (caller, NOBODY) and not _past(job) else None

    async def _forget(self, job: Job) -> None:
        job.dropped.set()
        del self._jobs[job.wanted.id]
        (job.folder / FACTS).unlink(missing_ok=True)  # what is left of it now, the next start clears away
        if job.state != "running":
            await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)

    def _wake(self, caller: str) -> None:
        """See to it that somebody works on the jobs of a caller."""
        if caller not in self._at_work and not self._closing.is_set():
            self._at_work[caller] = asyncio.create_task(self._work(caller))

    async def _work(self, caller: str) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            for old in [job for job in self._jobs.values() if _past(job)]:
                await self._forget(old)
            mine = (job for job in self._jobs.values() if job.wanted.caller == caller and job.state == "waiting")
            job = min(mine, key=lambda job: job.wanted.made, default=None)
            if job is None:
                break
            job.state = "running"
            await loop.run_in_executor(self._threads, self._run, job, loop)
            if job.dropped.is_set():
                await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)
        del self._at_work[caller]

    def _run(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        """Bring a job to its end, or to the service's."""
        wanted, tags = job.wanted, job.folder / TAGS
        if (tagger := self._taggers.get(wanted.task)) is None:
            job.state, job.reason = "failed", f"task {wanted.task!r} is not served any more"
            return

        def stop() -> bool:
            return self._closing.is_set() or job.dropped.is_set()

        def heard(done: Progress) -> None:
            job.rows, job.outcomes = done.rows + done.partly, done.outcomes

        try:
            _begin_anew(tags, tagger)
            asker = Shared(lambda record: self._ask(wanted.caller, tagger, record), loop)
            done = tag_file(tagger, job.source, tags, asker=asker, paths=False, progress=heard, stop=stop)
            job.state = "waiting"
            if done.finished:
                self._withheld(wanted.task, done.withheld)
                job.look()
        except ClosedError:
            job.state = "waiting"
        except Exception as error:  # whatever it is, its caller has to hear of it, and the others' jobs go on
            job.state, job.reason = "failed", _plainly(error, job.folder)
            _LOG.exception("job %s of %s has failed", wanted.id, wanted.caller)


def claim(folder: Path) -> BaseFileLock:
    """A folder of jobs for this process alone, until it lets go or dies; SettingsError if another service has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, blocking=False, thread_local=False)  # another thread may let go of it
    try:
        lock.acquire()
    except Timeout:
        told, hint = "another service keeps its jobs there", "give each service a --jobs folder of its own"
        raise SettingsError(told, where=str(folder), hint=hint) from None
    return lock


def _past(job: Job) -> bool:
    """Whether a job has ended, and its time too."""
    return job.state in ("finished", "failed") and job.wanted.made < datetime.now(UTC) - KEPT


def _begin_anew(tags: Path, tagger: Tagger) -> None:
    """Drop what another version of the task, or another model, has tagged before the service was started again.

    Raises SourceError where another run writes, or where what was tagged cannot be read.
    """
    if not (tags / ANSWERS).is_file():
        return
    with claimed(tags), Answers(tags) as answers:
        before, made = answers.fact("made"), made_by(tagger)
    if before and any(before.get(name) != fact for name, fact in made.items()):
        _LOG.warning("a job begins anew: it was tagged by %s, now by %s", before, made)
        shutil.rmtree(tags)


def _plainly(error: Exception, folder: Path) -> str:
    """What a caller is told of a failed job: no place on this machine, no advice for whoever runs the service."""
    if isinstance(error, SourceError) and error.where:
        return f"{error.where.replace(f'{folder}/', '')}: {error.message}"
    if isinstance(error, TaggerError):
        return error.message
    if isinstance(error, OSError):
        return f"its files cannot be kept: {error.strerror or 'the log says more'}"
    return "something went wrong in the service"
