"""Records of a job in, answers out, by way of the queue of a service: an Asker (asking.py) among other callers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from time import monotonic
from typing import Any

from tagger.asking import Answered, Stop
from tagger.batching import ClosedError
from tagger.errors import EngineError
from tagger.record import Record
from tagger.result import Tagging

WINDOW = 512
"""Records of a job that wait at once."""
LOOK, LONG = 0.2, 5.0
"""Seconds after which somebody who waits looks whether to stop, and after which a few answers are kept at once."""


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
                half = waiting[min(len(waiting), WINDOW // 2) - 1][1]  # at once, for each time is a transaction
                late = monotonic() + LONG
                while not half.done() and not stop() and not (waiting[0][1].done() and monotonic() > late):
                    wait([half], timeout=LOOK)
                answered: list[tuple[Record, Mapping[str, Any]]] = []
                while waiting and waiting[0][1].done():
                    record, future = waiting.popleft()
                    found = future.result()
                    if isinstance(found, Exception):
                        raise found
                    answered.append((record, found.answer()))
                yield answered
                if stop():
                    return
        finally:
            for _, future in waiting:
                future.cancel()

    async def _one(self, record: Record) -> Tagging | Exception:
        try:
            return await self._ask(record)
        except (EngineError, ClosedError) as error:
            return error  # for the thread that asks; of several it hears the first
