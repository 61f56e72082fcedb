"""Two taggers in, one serving an adapter and one on the model that PEFT merged it into; how alike they answer, out.

Bytes are the grammar's, but a grammar allows several spellings in tokens: those that an engine chose otherwise than
the tokenizer spells them, as they were trained, are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tagger.engines.base import Completion, Engine, EngineInfo, Request
from tagger.engines.chat import ChatTokenizer
from tagger.result import Tagging


@dataclass(frozen=True, slots=True)
class Parity:
    """Of `rows` records the `answers` that one side or both gave (a record without any counts as one), those that are
    `alike`, and the mean difference of their probabilities; of the `written` texts (labels are read off instead) those
    `spelled` in other tokens."""

    rows: int
    answers: int
    alike: int
    difference: float
    written: int
    spelled: int


@dataclass
class Overheard:
    """An engine whose completions are kept."""

    engine: Engine
    completions: list[Completion] = field(default_factory=list)

    info: EngineInfo = field(init=False)

    def __post_init__(self) -> None:
        self.info = self.engine.info

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """What the engine answers."""
        found = self.engine.complete(requests)
        self.completions += found
        return found

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


def parity(served: Sequence[Tagging], reference: Sequence[Tagging], heard: Overheard, chat: ChatTokenizer) -> Parity:
    """How alike the taggings of the same records are; `heard` has the completions of the served ones."""
    pairs = list(zip(served, reference, strict=True))
    said = [_said(a, b) for a, b in pairs]
    gaps = [
        abs(a.tags[name].probability - b.tags[name].probability)
        for a, b in pairs
        for name in a.tags.keys() & b.tags.keys()
        if a.value(name) == b.value(name)
    ]
    written = [c for c in heard.completions if c.logprobs and not c.masses]
    own = [[chat.token_bytes(token) for token in chat.plain(c.text)] for c in written]
    return Parity(
        rows=len(pairs),
        answers=sum(len(both) for both in said),
        alike=sum(sum(a == b for a, b in both.values()) for both in said),
        difference=float(np.mean(gaps)) if gaps else 0.0,
        written=len(written),
        spelled=sum([text for text, _ in c.logprobs] != tokens for c, tokens in zip(written, own, strict=True)),
    )


def _said(a: Tagging, b: Tagging) -> dict[str, tuple[object, object]]:
    """What both taggings of a record say, by field; of one without tags what became of it."""
    names = dict.fromkeys([*a.tags, *b.tags])
    return {name: (a.value(name), b.value(name)) for name in names} or {"": (a.outcome, b.outcome)}
