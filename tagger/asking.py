"""Records in, answers out, from an engine that may die: `Here` asks the Tagger of this process."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Any, Protocol

from tagger.engines.base import Engine
from tagger.errors import EngineError
from tagger.pipeline import Tagger
from tagger.record import Record
from tagger.result import Tagging

LEAST, MOST, SECONDS = 64, 4096, 10.0
"""Records asked at once, at least and at most, and how long that is to take."""
AHEAD = 2
"""Batches under way at once: an engine takes one, the other is being made ready or read. A kill costs these. (Beside an
engine that takes 5,000 rows a second: `python -m eval growth --served 5000`.)"""

Answered = Sequence[tuple[Record, Mapping[str, Any]]]
"""Records with what `Tagging.answer` gives."""
DEADLY = "the engine dies of it: "
"""How the reason of a record that kills engines begins."""
Stop = Callable[[], bool]
"""Whether nothing more is to be begun."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Records that are being tagged, and the engine that is asked."""

    records: Sequence[Record]
    engine: Engine
    future: Future[list[Tagging]]


class Asker(Protocol):
    """Whoever gets the answers: this process, or a cluster."""

    whole: bool
    """Whether it is to be given the records of a whole catalogue, and not those of a shard at a time."""

    def __call__(self, records: Iterable[Record], stop: Stop) -> Iterator[Answered]:
        """All records, some at a time, in any order; after a stop those that are under way."""
        ...


class Here:
    """Asks in batches that take about SECONDS; the next one is made ready while the engine has one.

    An engine that dies is started again and asked the same once more; if it dies of that, too, the batch is halved
    until the records that kill it stand alone, and those are rejected.
    """

    whole = False

    def __init__(self, tagger: Tagger) -> None:
        self._tagger, self._size = tagger, LEAST

    def __call__(self, records: Iterable[Record], stop: Stop) -> Iterator[Answered]:
        """A batch at a time, in order. Raises EngineError for an engine that cannot be brought back."""
        left, waiting, begun = iter(records), deque[_Batch](), perf_counter()
        threads = ThreadPoolExecutor(AHEAD)
        try:
            while True:
                while len(waiting) < AHEAD and not stop() and (part := list(islice(left, self._size))):
                    future = threads.submit(self._tagger.tag_records, part)
                    waiting.append(_Batch(part, self._tagger.engine, future))
                if not waiting:
                    return
                batch = waiting.popleft()
                found = self._taggings(batch, waiting)
                yield [(record, tagging.answer()) for record, tagging in zip(batch.records, found, strict=True)]
                begun, took = perf_counter(), perf_counter() - begun
                if len(batch.records) == self._size and took < SECONDS / 2:
                    self._size = min(2 * self._size, MOST)
                elif took > 2 * SECONDS:
                    self._size = max(self._size // 2, LEAST)
        finally:
            threads.shutdown(cancel_futures=True)

    def _taggings(self, batch: _Batch, others: Iterable[_Batch]) -> list[Tagging]:
        found, _ = self._tried(batch.future.result)
        if found is not None:
            return found
        wait([other.future for other in others])
        if self._tagger.engine is batch.engine and not self._tagger.reopen():
            return batch.future.result()  # raises what it raised
        found = self._again(batch.records)
        if len(found) >= LEAST and all((tagging.reason or "").startswith(DEADLY) for tagging in found):
            raise EngineError("the engine dies whatever it is asked", hint="tagger demo shows whether it works at all")
        return found

    def _again(self, records: Sequence[Record]) -> list[Tagging]:
        found, told = self._tried(lambda: self._tagger.tag_records(records))
        if found is not None:
            return found
        self._tagger.reopen()
        if len(records) == 1:
            return [self._tagger.untagged(records[0].id, "rejected", DEADLY + told)]
        half = len(records) // 2
        return [*self._again(records[:half]), *self._again(records[half:])]

    def _tried(self, ask: Callable[[], list[Tagging]]) -> tuple[list[Tagging] | None, str]:
        """What was answered, or why the engine has died. What it held is let go: a new one needs the memory."""
        try:
            return ask(), ""
        except EngineError as error:
            cause: BaseException | None = error
            while cause:
                traceback.clear_frames(cause.__traceback__)
                cause = cause.__cause__
            return None, error.message
