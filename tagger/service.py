"""Tasks, an engine and callers in, taggings out: who may ask what, how much, and what a refusal says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from cachetools import TTLCache
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from tagger.batching import Batcher, BusyError
from tagger.drift import Baseline, Window, baseline_file, compare, load_baseline
from tagger.engines.base import Engine
from tagger.errors import EngineError, TaggerError
from tagger.faults import RefusedError
from tagger.jobs import Jobs
from tagger.keys import Key, Keys
from tagger.masking import masked, restored
from tagger.meters import Meters
from tagger.pipeline import Tagger
from tagger.record import Record, Rejected, read_record
from tagger.result import Tagging

_LOG = logging.getLogger(__name__)
ANYONE = Key(name="anyone", hash="0" * 64)
"""Who asks where no keys are: whoever is on this machine."""
REMEMBERED, HOURS = 10_000, 24
"""Answers kept for callers who ask again under the same Idempotency-Key, and how long."""
PAUSE = 5.0
"""Seconds until a job asks again whose key has no more records this minute."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where tasks and engine come from, so that they can be read and opened again."""

    load: Callable[[Engine], Sequence[Tagger]]
    open: Callable[[], Engine]


@dataclass
class Service:
    """Tasks on one engine. Without `keys` whoever reaches the service may ask it; without a `source` tasks stay as they
    are, and an engine that has died stays dead. `folder` is where jobs are kept; `mask` keeps personal data out of
    prompts (masking.py)."""

    taggers: dict[str, Tagger]
    keys: Keys | None = None
    source: Source | None = None
    folder: Path | None = None
    mask: bool = False
    most_waiting: int = 4096
    meters: Meters = field(default_factory=Meters)
    batcher: Batcher = field(init=False)
    jobs: Jobs | None = field(init=False, default=None)
    closing: bool = field(init=False, default=False)
    """Whether it has been told to stop: it still answers, but nobody should send more."""
    _limiter: MovingWindowRateLimiter = field(init=False)
    _answers: TTLCache[tuple[str, str], tuple[str, asyncio.Task[Tagging]]] = field(init=False)
    _reviving: Lock = field(init=False, default_factory=Lock)
    _seen: dict[str, tuple[Baseline, Window]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.taggers, self.most_waiting, self.meters.batch, self.revive)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._answers = TTLCache(REMEMBERED, HOURS * 3600)
        self._watch()

    async def start(self) -> None:
        """Begin to answer, and go on with the jobs that an earlier process has left."""
        await self.batcher.start()
        if self.folder:
            self.jobs = Jobs(self.folder, self.taggers, self._patiently)
            await self.jobs.start()

    async def stop(self) -> None:
        """Answer what waits, take nothing more, and leave jobs to the next start."""
        if self.jobs:
            await self.jobs.stop()
        await self.batcher.drain()

    def key(self, shown: str | None) -> Key:
        """Who asks. Raises RefusedError (401) for a key that is not known."""
        if self.keys is None:
            return ANYONE
        scheme, _, text = (shown or "").partition(" ")
        key = self.keys.of(text) if scheme.lower() == "bearer" else None
        if key is None:
            raise RefusedError(401, "no key that is known here", hint="send Authorization: Bearer KEY")
        return key

    async def tagger(self, key: Key, task: str, records: int = 0) -> Tagger:
        """The tagger of a task. Raises RefusedError: 403 for a task that the key may not ask, 404 for one that is not
        served, 429 for more `records` a minute than the key has."""
        if not key.may(task):
            raise RefusedError(403, f"key {key.name!r} may not ask task {task!r}")
        if task not in self.taggers:
            raise RefusedError(404, f"no task {task!r}", hint=f"served are: {', '.join(self.taggers)}")
        if key.per_minute and records:
            if records > key.per_minute:
                hint = "send fewer at a time"
                raise RefusedError(413, f"key {key.name!r} may send {key.per_minute} records a minute", hint)
            if not await self._allowed(key, records):
                raise RefusedError(429, f"key {key.name!r} has {key.per_minute} records a minute", after=60)
        return self.taggers[task]

    async def tag(self, key: Key, task: str, row: Mapping[str, Any], name: str, seconds: float) -> Tagging:
        """The tagging of one row."""
        return await self._tag(key.name, task, read_record(row, self.taggers[task].task.columns, name), seconds)

    async def once(self, key: Key, name: str, asked: str, work: Callable[[], Awaitable[Tagging]]) -> Tagging:
        """What `work` gives, or gave when the same caller `asked` the same under the same name; who hangs up can come
        back for it. Raises RefusedError (422) if something else was asked under that name."""
        before, under_way = self._answers.get((key.name, name), ("", None))
        if under_way is None or (under_way.done() and (under_way.cancelled() or under_way.exception())):
            under_way = asyncio.ensure_future(work())
            self._answers[key.name, name] = asked, under_way
        elif before != asked:
            raise RefusedError(422, "this Idempotency-Key came with another request before", "take a new key")
        return await asyncio.shield(under_way)

    def failed(self, task: str, row: Mapping[str, Any], name: str, reason: str) -> Tagging:
        """What is said of a row that could not be asked in time."""
        tagger = self.taggers[task]
        found = Tagging(read_record(row, tagger.task.columns, name).id, "failed", {}, tagger.provenance, reason)
        self.meters.tagging(task, found)
        return found

    def shown(self, task: str, row: Mapping[str, Any]) -> Record | Rejected:
        """A row as the model would be shown it."""
        columns = self.taggers[task].task.columns
        record = read_record(row, columns, "1")
        return masked(record, columns).record if self.mask and isinstance(record, Record) else record

    def reload(self) -> list[str]:
        """Read all tasks again, with their adapters and calibrations; why some could not be: they stay as they were."""
        assert self.source
        try:
            fresh = self.source.load(next(iter(self.taggers.values())).engine)
        except TaggerError as error:
            _LOG.error("tasks stay as they were: %s", error)
            self.meters.reloaded(False)
            return [str(error)]
        self.taggers.update({tagger.task.id: tagger for tagger in fresh})
        self._watch()
        self.meters.reloaded(True)
        _LOG.info("tasks were read again: %s", ", ".join(f"{t.task.id} {t.task.version}" for t in fresh))
        return []

    def revive(self, dead: Engine) -> bool:
        """Put a new engine in the place of one that has died, for all tasks; False if it cannot be opened again."""
        with self._reviving:
            if next(iter(self.taggers.values())).engine is not dead:
                return True  # somebody else has done it
            if self.source is None:
                return False
            with suppress(Exception):  # it is dead: how it takes being closed is all one
                dead.close()
            try:
                engine = self.source.open()
            except EngineError as error:
                _LOG.error("the engine cannot be opened again: %s", error)
                return False
            for tagger in self.taggers.values():
                tagger.engine = engine
            return True

    def metrics(self) -> bytes:
        """What it has done, in Prometheus' format."""
        for task, (baseline, window) in self._seen.items():
            drift = compare(baseline, window)
            for one in drift.findings:
                self.meters.drift(task, one.field, one.kind, one.psi if one in drift.found else 0.0)
        return self.meters.text(self.batcher.waiting, self.jobs.unfinished if self.jobs else 0)

    async def _tag(self, caller: str, task: str, record: Record | Rejected, seconds: float) -> Tagging:
        hidden = masked(record, self.taggers[task].task.columns) if self.mask and isinstance(record, Record) else None
        found = await self.batcher.tag(task, hidden.record if hidden else record, caller, seconds)
        if task in self._seen:
            self._seen[task][1].add(found)
        self.meters.tagging(task, found)
        return restored(found, hidden) if hidden else found

    async def _patiently(self, caller: str, task: str, record: Record) -> Tagging:
        """The tagging of a record of a job, which has time: while the queue is full, or the key has no more records, it
        waits."""
        key = next((k for k in self.keys.by_hash.values() if k.name == caller), None) if self.keys else ANYONE
        if key is None or not key.may(task):
            raise EngineError(f"key {caller!r} may not ask task {task!r} any more")
        while key.per_minute and not await self._allowed(key, 1):
            await asyncio.sleep(PAUSE)
        while True:
            try:
                return await self._tag(caller, task, record, HOURS * 3600)
            except BusyError as error:
                await asyncio.sleep(error.after)

    async def _allowed(self, key: Key, records: int) -> bool:
        return await self._limiter.hit(RateLimitItemPerMinute(key.per_minute), key.name, cost=records)

    def _watch(self) -> None:
        """Hold what is tagged against the baselines that there are (drift.py)."""
        self._seen.clear()
        for name, tagger in self.taggers.items():
            made, folder = asdict(tagger.provenance), tagger.task.folder
            if folder and (baseline := load_baseline(baseline_file(folder, made["model"], made["adapter"]), made)):
                self._seen[name] = baseline, Window(tagger.task.fields)
