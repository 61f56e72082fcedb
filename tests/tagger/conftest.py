"""An engine that always says the same."""

from __future__ import annotations

from collections.abc import Sequence

from tagger.engines.base import Completion, EngineInfo, Request


class FixedEngine:
    """Answers every request with one completion."""

    info = EngineInfo("fixed", "none", "none", {})

    def __init__(self, completion: Completion) -> None:
        self._completion = completion

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        return [self._completion for _ in requests]

    def close(self) -> None: ...
