"""Tasks, an engine and callers in, taggings out: who may ask what, how much, and what a refusal says."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import product
from math import nan
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, get_args
from weakref import WeakSet

from cachetools import TTLCache
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from tagger.baseline import Baseline, Window, baseline_file, load_baseline
from tagger.batching import Batcher, BusyError
from tagger.blocklist import Blocklist
from tagger.drift import Kind, compare
from tagger.engines.base import Engine
from tagger.errors import EngineError, LostError, TaggerError
from tagger.faults import RefusedError
from tagger.jobs import Jobs
from tagger.keys import Key, Keys
from tagger.masking import masked, restored
from tagger.meters import Meters
from tagger.origin import Lost, Origin
from tagger.pipeline import Tagger
from tagger.record import Record, Rejected, read_record
from tagger.result import Tagging

_LOG = logging.getLogger(__name__)
ANYONE = Key(name="anyone", hash="0" * 64)
"""Who asks where no keys are: whoever is on this machine."""
REMEMBERED, HOURS = 10_000, 24
"""Answers kept for callers who ask again under the same Idempotency-Key, and how long."""
UNREADABLE = TaggerError, OSError, ValueError
"""What reading a file can raise: a mistake in it, a disk or a right that is missing, bytes that are no text."""
PAUSE = 5.0
"""Seconds until a job asks again whose key has no more records this minute, and until a lost engine is opened again."""


@dataclass
class Service:
    """Tasks on one engine. Without `keys` whoever reaches the service may ask it; without an `origin` tasks stay as
    they are, and an engine that has died stays dead. `folder` is where jobs are kept; `mask` keeps personal data out
    of prompts (masking.py)."""

    taggers: dict[str, Tagger]
    keys: Keys | None = None
    origin: Origin | None = None
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
    _changing: Lock = field(init=False, default_factory=Lock)
    """Held while tasks are read or the engine is opened again."""
    _due: float = field(init=False, default=0.0)
    """When a lost engine may be opened again."""
    _listed: Blocklist | None = field(init=False)
    _served: WeakSet[Tagger] = field(init=False)
    """All that may still be asked: jobs go on with the tagger that they have begun with."""
    _seen: dict[str, tuple[Baseline, Window]] = field(init=False)

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.most_waiting, self.meters.batch, self.revive)
        self._served = WeakSet(self.taggers.values())
        self._listed = next((tagger.blocklist for tagger in self.taggers.values()), None)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._answers = TTLCache(REMEMBERED, HOURS * 3600)
        self._seen = {name: seen for name, tagger in self.taggers.items() if (seen := _watched(tagger))}

    @property
    def ready(self) -> bool:
        """Whether it takes records: it has an engine, and has not been told to stop."""
        return not self.closing and self._has_engine

    @property
    def _has_engine(self) -> bool:
        return not isinstance(self._engine, Lost)

    @property
    def _engine(self) -> Engine:
        return next(iter(self.taggers.values())).engine

    async def start(self) -> None:
        """Begin to answer, and go on with the jobs that an earlier process has left; raises what Jobs does."""
        if self.folder:
            self.jobs = Jobs(self.folder, self.taggers, self._patiently, self.meters.withheld)
        await self.batcher.start()
        if self.jobs:
            await self.jobs.start()

    async def stop(self) -> None:
        """Answer what waits, take nothing more, and leave jobs to the next start."""
        try:
            if self.jobs:
                await self.jobs.stop()
        finally:
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
        """The tagging of one row, which goes out by `kept_back`; raises what `Batcher.tag` does."""
        tagger = self.taggers[task]
        columns = tagger.task.columns
        if tagger.task.picture_columns:  # unpacking one takes a while
            record = await asyncio.to_thread(read_record, row, columns, name)
        else:
            record = read_record(row, columns, name)
        return await self._tag(key.name, tagger, record, seconds)

    async def tag_in_turn(self, key: Key, task: str, row: Mapping[str, Any], name: str, seconds: float) -> Tagging:
        """The tagging of one of many rows, which waits while the queue is full, as long as its `seconds` last."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            try:
                return await self.tag(key, task, row, name, max(0.001, end - loop.time()))
            except BusyError as error:
                if loop.time() + error.after > end:
                    raise
                await asyncio.sleep(error.after)

    def kept_back(self, task: str, tagging: Tagging) -> Tagging:
        """A tagging as it may go out by the blocklist of today, however long ago it was made."""
        found, withheld = self.taggers[task].kept_back(tagging)
        self.meters.withheld(task, Counter(withheld))
        return found

    async def once(self, key: Key, name: str, asked: str, work: Callable[[], Awaitable[Tagging]]) -> Tagging:
        """What `work` gives, or gave when the same caller `asked` the same under the same name; who hangs up can come
        back for it. Raises RefusedError (422) if something else was asked under that name."""
        before, under_way = self._answers.get((key.name, name), ("", None))
        if under_way is None or (under_way.done() and _failed(under_way)):
            under_way = asyncio.ensure_future(work())
            self._answers[key.name, name] = asked, under_way
        elif before != asked:
            raise RefusedError(422, "this Idempotency-Key came with another request before", "take a new key")
        return await asyncio.shield(under_way)

    def failed(self, task: str, row: Mapping[str, Any], name: str, reason: str) -> Tagging:
        """What is said of a row that could not be asked in time."""
        tagger = self.taggers[task]
        found = tagger.untagged(read_record(row, tagger.task.columns, name).id, "failed", reason)
        self.meters.tagging(task, found)
        return found

    def shown(self, task: str, row: Mapping[str, Any]) -> Record | Rejected:
        """A row as the model would be shown it."""
        columns = self.taggers[task].task.columns
        record = read_record(row, columns, "1")
        return masked(record, columns).record if self.mask and isinstance(record, Record) else record

    def reload(self) -> list[str]:
        """Read the keys again, and all tasks with their adapters, calibrations and blocklist; why some could not be:
        they stay as they were."""
        assert self.origin
        troubles = []
        with self._changing:
            try:
                self.keys = self.origin.keys() if self.origin.keys else self.keys
            except UNREADABLE as error:
                troubles.append(f"the keys stay as they were: {error}")
            try:
                self._listed = self.origin.listed()
            except UNREADABLE as error:
                troubles.append(f"the blocklist stays as it was: {error}")
            for name, tagger in self.taggers.items():  # whatever becomes of its task; jobs keep the list they have
                self.taggers[name] = tagger.heeding(self._listed)
                self._served.add(self.taggers[name])
            for name in self.origin.tasks:
                try:
                    tagger = self.origin.tagger(name, self._engine, self._listed)
                    seen = _watched(tagger)
                except UNREADABLE as error:
                    troubles.append(f"task {name} stays as it was: {error}")
                    continue
                self._served.add(tagger)
                self.taggers[tagger.task.id] = tagger
                self._seen = {n: s for n, s in self._seen.items() if n != tagger.task.id}
                if seen:
                    self._seen = self._seen | {tagger.task.id: seen}
        for trouble in troubles:
            _LOG.error(trouble)
        self.meters.reloaded(not troubles)
        versions = ", ".join(f"{name} {tagger.task.version}" for name, tagger in self.taggers.items())
        listed = f", blocklist {self._listed.name} of {len(self._listed.entries)} entries" if self._listed else ""
        _LOG.info("tasks were read again: %s%s", versions, listed)
        return troubles

    def revive(self, dead: Engine) -> bool:
        """Put a new engine in the place of one that has died, for all tasks; False where none can ever be opened.

        Raises LostError if it cannot be opened again now.
        """
        with self._changing:
            if self.origin is None:
                return False
            if self._engine is dead:  # else somebody else has done it, or tried to
                self._open_again(dead, self.origin)
            if not self._has_engine:
                raise LostError
            return True

    def _open_again(self, dead: Engine, origin: Origin) -> None:
        self._put(Lost(dead.info))  # so that whoever is still in the dead one sees that it is
        with suppress(Exception):  # it is dead: how it takes being closed is all one
            dead.close()
        if monotonic() < self._due:
            return
        try:
            self._put(origin.open())
        except Exception as error:  # whatever a model or its libraries raise, callers are told that it is lost
            self._due = monotonic() + PAUSE
            _LOG.error("the engine cannot be opened again: %s", error)

    def _put(self, engine: Engine) -> None:
        for tagger in self._served:
            tagger.engine = engine

    def metrics(self) -> bytes:
        """What it has done, in Prometheus' format. Drift is NaN where there are too few answers to tell, 0 for none."""
        self.meters.drift.clear()
        for task, (baseline, window) in self._seen.items():
            drift = compare(baseline, window)
            found = {(one.field, one.kind): one.psi for one in drift.found}
            for place in product(window.fields, get_args(Kind)):
                self.meters.drift.labels(task, *place).set(nan if drift.more_rows else found.get(place, 0.0))
        jobs = (self.jobs.unfinished, self.jobs.failed) if self.jobs else (0, 0)
        return self.meters.text(self.batcher.waiting, *jobs)

    async def _tag(self, caller: str, tagger: Tagger, record: Record | Rejected, seconds: float) -> Tagging:
        shown = None
        if self.mask and isinstance(record, Record):
            shown = await asyncio.to_thread(masked, record, tagger.task.columns)  # a long text takes it a while
        task = tagger.task.id
        found = await self.batcher.tag(tagger, shown.record if shown else record, caller, seconds)
        seen = self._seen.get(task)
        if seen and seen[0].task_version == found.provenance.task_version:  # else it was begun before a reload
            seen[1].add(found)
        self.meters.tagging(task, found)
        return restored(found, shown) if shown else found

    async def _patiently(self, caller: str, tagger: Tagger, record: Record) -> Tagging:
        """The tagging of a record of a job, which has time: while the queue is full, or the key has no more records, it
        waits."""
        key = next((k for k in self.keys.by_hash.values() if k.name == caller), None) if self.keys else ANYONE
        if key is None or not key.may(tagger.task.id):
            raise EngineError(f"key {caller!r} may not ask task {tagger.task.id!r} any more")
        while key.per_minute and not await self._allowed(key, 1):
            await asyncio.sleep(PAUSE)
        while True:
            try:
                return await self._tag(f"a job of {caller}", tagger, record, HOURS * 3600)
            except BusyError as error:
                await asyncio.sleep(error.after)
            except LostError:
                await asyncio.sleep(PAUSE)

    async def _allowed(self, key: Key, records: int) -> bool:
        return await self._limiter.hit(RateLimitItemPerMinute(key.per_minute), key.name, cost=records)


def _failed(answer: asyncio.Task[Tagging]) -> bool:
    """Whether an answer that is done is none: it was broken off, or the engine could not serve it."""
    return answer.cancelled() or answer.exception() is not None or answer.result().outcome == "failed"


def _watched(tagger: Tagger) -> tuple[Baseline, Window] | None:
    """The baseline of a task (drift.py) and a window to hold against it, if there is one."""
    made, folder = asdict(tagger.provenance), tagger.task.folder
    baseline = load_baseline(baseline_file(folder, made["model"], made["adapter"]), made) if folder else None
    return (baseline, Window(tagger.task.fields)) if baseline else None
