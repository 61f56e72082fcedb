"""Where the tasks, the engine and the keys of a service come from, so that they can be read and opened again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagger.blocklist import Blocklist, load_blocklist
from tagger.engines.base import Completion, Engine, EngineInfo, Request
from tagger.errors import LostError
from tagger.keys import Keys
from tagger.pipeline import Tagger
from tagger.task import Task


@dataclass(frozen=True, slots=True)
class Origin:
    """What a service was started with."""

    tasks: Sequence[str]
    """Names of shipped tasks, or folders."""
    open: Callable[[], Engine]
    keys: Callable[[], Keys] | None = None
    shots: Path | None = None
    promise: float | None = None
    blocklist: Path | None = None
    """All three as a Tagger takes them."""

    def tagger(self, task: str | Task, engine: Engine, listed: Blocklist | None) -> Tagger:
        """One of the tasks on an engine; raises TaggerError as a Tagger does."""
        return Tagger(task, engine=engine, shots=self.shots, promise=self.promise, blocklist=listed)

    def listed(self) -> Blocklist | None:
        """What must not go out; raises SourceError where its file cannot be read."""
        return load_blocklist(self.blocklist) if self.blocklist else None


class Lost:
    """In the place of an engine that could not be opened again yet."""

    def __init__(self, info: EngineInfo) -> None:
        self.info = info

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Raises LostError."""
        raise LostError

    def close(self) -> None:
        """Nothing to close."""
