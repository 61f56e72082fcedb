"""Tasks, an engine and callers in, taggings out: who may ask what, how much, and what a refusal says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from pydantic import BaseModel

from tagger.batching import Batcher
from tagger.keys import Key, Keys
from tagger.meters import Meters
from tagger.pipeline import Tagger
from tagger.record import read_record
from tagger.result import Tagging

ANYONE = Key(name="anyone", hash="0" * 64)
"""Who asks where no keys are: whoever is on this machine."""


class Fault(BaseModel):
    """What went wrong, and what to do about it."""

    message: str
    hint: str | None = None


class RefusedError(Exception):
    """A request that is not answered: the status, why, and after how many seconds to come again."""

    def __init__(self, status: int, message: str, hint: str | None = None, after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.fault, self.after = status, Fault(message=message, hint=hint), after


@dataclass
class Service:
    """Tasks on one engine. Without `keys` whoever reaches the service may ask it."""

    taggers: Mapping[str, Tagger]
    keys: Keys | None = None
    meters: Meters = field(default_factory=Meters)
    most_waiting: int = 4096
    batcher: Batcher = field(init=False)
    _limiter: MovingWindowRateLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.taggers, self.most_waiting, self.meters.batch)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

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
            each = RateLimitItemPerMinute(key.per_minute)
            if not await self._limiter.hit(each, key.name, cost=records):
                raise RefusedError(429, f"key {key.name!r} has {key.per_minute} records a minute", after=60)
        return self.taggers[task]

    async def tag(self, key: Key, task: str, row: Mapping[str, Any], name: str, seconds: float) -> Tagging:
        """The tagging of one row."""
        record = read_record(row, self.taggers[task].task.columns, name)
        found = await self.batcher.tag(task, record, key.name, seconds)
        self.meters.tagging(task, found)
        return found

    def failed(self, task: str, row: Mapping[str, Any], name: str, reason: str) -> Tagging:
        """What is said of a row that could not be asked in time."""
        tagger = self.taggers[task]
        found = Tagging(read_record(row, tagger.task.columns, name).id, "failed", {}, tagger.provenance, reason)
        self.meters.tagging(task, found)
        return found
