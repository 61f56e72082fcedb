"""What every engine takes and gives. An engine knows prompts and grammars, never tasks or records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tagger.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an answer may be: a grammar in GBNF and, for a closed set, the sentences it has.

    `choices` lets an engine read a label's probability off the model instead of writing the label
    out; the answer is the same.
    """

    grammar: str
    choices: tuple[str, ...] = ()
    sample: str = "{}"
    """An answer that the grammar allows, for engines without a model."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model; `max_tokens` bounds the answer, `adapter` names a LoRA folder."""

    prompt: Prompt
    constraint: Constraint
    max_tokens: int = 256
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The model's view at one point of an answer.

    `prefix` are the bytes written so far; `top` maps the bytes of a possible next token to its
    log-probability among the tokens that the grammar allows there (natural logarithm); the empty
    byte string ends the answer. Bytes, because a token may be a part of a Chinese character.
    """

    prefix: bytes
    top: Mapping[bytes, float]


@dataclass(frozen=True, slots=True)
class Completion:
    """An engine's answer to one request.

    `logprobs` holds the bytes and log-probability of each token of `text`, in order. `steps` holds what
    else could have been written at each point. `masses` are the probabilities of a closed set's answers,
    where the engine has found them by search; without, they are read off `steps`.
    `finish_reason` is "stop" for a whole answer, "length" for one cut by `max_tokens`, "refused" for a
    prompt that the model cannot take, "error" for a request that the engine could not serve; `text` then
    says why.
    """

    text: str
    finish_reason: Literal["stop", "length", "refused", "error"]
    logprobs: tuple[tuple[bytes, float], ...] = ()
    steps: tuple[Step, ...] = ()
    masses: Mapping[str, float] | None = None
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What answered: recorded with every output."""

    engine: str
    model: str
    dtype: str
    versions: Mapping[str, str]


class Engine(Protocol):
    """A host of one language model."""

    info: EngineInfo

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests: same length, same order. Several threads may ask at once; an engine that does one thing
        at a time lets them take turns. Raises EngineError if the engine is lost."""
        ...

    def close(self) -> None:
        """Give back memory and processes; the engine is then unusable."""
        ...
