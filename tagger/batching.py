"""Records of many callers in, batches for an engine out: callers take turns, and nobody waits for a batch to fill.

While an engine answers one batch, the next gathers, so the batches are as large as the load is. The queue is bounded: a
caller is told to come back later rather than left to wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

from opentelemetry import trace

from tagger.engines.base import Engine
from tagger.errors import EngineError
from tagger.pipeline import Tagger
from tagger.record import Record, Rejected
from tagger.result import Tagging

_LOG = logging.getLogger(__name__)
_TRACER = trace.get_tracer("tagger")
AHEAD = 2
"""Batches under way at once: one is being made ready or read while the engine has the other."""
SECONDS = 2.0
"""How long a batch may take; it grows while it takes less than half of that, and shrinks beyond. Smaller batches would
let a newcomer in sooner, and make everybody wait longer: `python -m eval callers`."""
MOST = 512
"""Records of a batch."""
LONGEST = 60.0
"""Seconds that a caller is told to wait at most."""


class BusyError(Exception):
    """The queue is full; `after` is in how many seconds it is worth asking again."""

    def __init__(self, after: float) -> None:
        super().__init__(f"too many records wait already; ask again in {after:.0f} s")
        self.after = after


class LateError(Exception):
    """The record's deadline has passed before the engine came to it."""


class ClosedError(Exception):
    """The batcher takes no more records: it is shutting down."""


@dataclass(slots=True, eq=False)
class _Waiting:
    record: Record | Rejected
    since: float
    deadline: float
    answer: asyncio.Future[Tagging]
    request: trace.SpanContext
    """What the record is part of, for whoever follows requests through the service."""


@dataclass
class Batcher:
    """The queue in front of the taggers of one engine. `most` bounds the records that wait, half of them those of one
    caller; `told` hears, for every batch, its task, how long each record has waited and how long the batch took
    (seconds). `revive` puts another engine in the place of a dead one, if it can."""

    most: int = 4096
    told: Callable[[str, list[float], float], None] = lambda task, waits, took: None
    revive: Callable[[Engine], bool] = lambda dead: False
    waiting: int = 0
    closed: bool = False
    _queues: dict[Tagger, dict[str, deque[_Waiting]]] = field(default_factory=dict)
    """By tagger and caller, first come first. (After a reload a task has two for a while.)"""
    _mine: Counter[str] = field(default_factory=Counter)
    """How many records of each caller wait."""
    _free: float = 0.0
    """When the latest batch was done."""
    _size: int = 8
    _rate: float = 1.0
    """Records a second, lately."""
    _some: asyncio.Event = field(default_factory=asyncio.Event)
    _workers: list[asyncio.Task[None]] = field(default_factory=list)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AHEAD))

    async def start(self) -> None:
        """Begin to answer."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(AHEAD)]

    async def drain(self) -> None:
        """Answer what waits, take nothing more, and stop."""
        self.closed = True
        self._some.set()
        await asyncio.gather(*self._workers)
        self._threads.shutdown()

    async def tag(self, tagger: Tagger, record: Record | Rejected, caller: str, seconds: float) -> Tagging:
        """The tagging of one record, within so many seconds.

        Raises BusyError for a full queue, LateError for a deadline that passes, ClosedError during shutdown. If the
        caller goes away, the record is dropped unless it is being asked already.
        """
        if self.closed:
            raise ClosedError("the service is shutting down")
        if self.waiting >= self.most or self._mine[caller] >= max(1, self.most // 2):
            raise BusyError(min(max(1.0, self.waiting / self._rate), LONGEST))
        now = perf_counter()
        one = _Waiting(record, now, now + seconds, asyncio.get_running_loop().create_future(), _request())
        self._queues.setdefault(tagger, {}).setdefault(caller, deque()).append(one)
        self.waiting += 1
        self._mine[caller] += 1
        self._some.set()
        try:
            return await asyncio.wait_for(one.answer, seconds)
        except TimeoutError:
            raise LateError(f"no answer within {seconds:g} s") from None

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            found = self._next()
            if found is None:
                if self.closed:
                    return
                self._some.clear()
                continue
            await self._answer(*found)

    async def _answer(self, tagger: Tagger, batch: list[_Waiting]) -> None:
        begun, task = perf_counter(), tagger.task.id
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._asked, tagger, batch)
        except BaseException as error:  # whatever it is, those who wait have to hear of it, or else the log
            _LOG.warning("a batch of %d records of task %s is lost: %s", len(batch), task, error)
            told = error if isinstance(error, Exception) else EngineError(f"the engine broke down: {error!r}")
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(told)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        now = perf_counter()
        took, self._free = now - max(begun, self._free), now  # without waiting for the batch before it
        self._rate = len(batch) / max(took, 1e-6)
        if took < SECONDS / 2 and len(batch) >= self._size:
            self._size = min(2 * self._size, MOST)
        elif took > SECONDS:
            self._size = max(self._size // 2, 1)
        for one, tagging in zip(batch, found, strict=True):
            if not one.answer.done():
                one.answer.set_result(tagging)
        self.told(task, [begun - one.since for one in batch], took)

    def _asked(self, tagger: Tagger, batch: list[_Waiting]) -> list[Tagging]:
        """The answers of a batch; an engine that dies of it gets a second try, if it can be brought back."""
        records = [one.record for one in batch]
        told: dict[str, str | int] = {"task": tagger.task.id, "records": len(batch)}
        links = [trace.Link(one.request) for one in batch if one.request.is_valid]
        with _TRACER.start_as_current_span("batch", links=links, attributes=told):
            engine = tagger.engine
            try:
                return tagger.tag_records(records)
            except Exception as error:
                # One that another batch has found dead, and that was closed meanwhile, raises what it will.
                if not isinstance(error, EngineError) and tagger.engine is engine:
                    raise
                _LOG.warning("the engine has died: %s", error)
                if not self.revive(engine):
                    raise
                return tagger.tag_records(records)

    def _next(self) -> tuple[Tagger, list[_Waiting]] | None:
        """The next batch: of the tagger whose turn it is, a record of each caller in turn; None if nothing waits."""
        for tagger in list(self._queues):
            callers = self._queues.pop(tagger)
            batch: list[_Waiting] = []
            while callers and len(batch) < self._size:
                caller = next(iter(callers))
                queue = callers.pop(caller)
                one = queue.popleft()
                self.waiting -= 1
                self._mine[caller] -= 1
                if queue:
                    callers[caller] = queue  # behind all others
                if not one.answer.done() and one.deadline > perf_counter():
                    batch.append(one)
            if callers:
                self._queues[tagger] = callers  # behind all others
            if batch:
                return tagger, batch
        return None


def _request() -> trace.SpanContext:
    return trace.get_current_span().get_span_context()
