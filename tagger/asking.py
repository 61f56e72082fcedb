"""Records in, answers out, from an engine that may die: `Here` asks the Tagger of this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, Protocol

from tagger.errors import EngineError
from tagger.pipeline import Tagger
from tagger.record import Record
from tagger.result import Tagging

LEAST, MOST, SECONDS = 64, 8192, 10.0
"""Records asked at once, at least and at most, and how long that is to take: a kill costs no more."""

Answered = Sequence[tuple[Record, Mapping[str, Any]]]
"""Records with what `Tagging.answer` gives."""


class Asker(Protocol):
    """Whoever gets the answers: this process, or a cluster."""

    whole: bool
    """Whether it is to be given the records of a whole catalogue, and not those of a shard at a time."""

    def __call__(self, records: Iterable[Record]) -> Iterator[Answered]:
        """All records, some at a time, in any order."""
        ...


class Here:
    """Asks in batches that take about SECONDS.

    An engine that dies is started again and asked the same once more; if it dies of that, too, the batch is halved
    until the records that kill it stand alone, and those are rejected.
    """

    whole = False

    def __init__(self, tagger: Tagger) -> None:
        self._tagger, self._size = tagger, LEAST

    def __call__(self, records: Iterable[Record]) -> Iterator[Answered]:
        """A batch at a time, in order. Raises EngineError for an engine that cannot be brought back."""
        left = iter(records)
        while part := list(islice(left, self._size)):
            begun = perf_counter()
            yield [(record, tagging.answer()) for record, tagging in zip(part, self._asked(part), strict=True)]
            took = perf_counter() - begun
            if len(part) == self._size and took < SECONDS / 2:
                self._size = min(2 * self._size, MOST)
            elif took > 2 * SECONDS:
                self._size = max(self._size // 2, LEAST)

    def _asked(self, records: Sequence[Record]) -> list[Tagging]:
        try:
            return self._tagger.tag_records(records)
        except EngineError:
            if not self._tagger.reopen():
                raise
        found = self._again(records)
        if len(found) > 1 and all(tagging.outcome == "rejected" for tagging in found):
            raise EngineError("the engine dies whatever it is asked", hint="tagger demo shows whether it works at all")
        return found

    def _again(self, records: Sequence[Record]) -> list[Tagging]:
        try:
            return self._tagger.tag_records(records)
        except EngineError as error:
            self._tagger.reopen()
            if len(records) == 1:
                reason = f"the engine dies of it: {error.message}"
                return [Tagging(records[0].id, "rejected", {}, self._tagger.provenance, reason)]
        half = len(records) // 2
        return [*self._again(records[:half]), *self._again(records[half:])]
