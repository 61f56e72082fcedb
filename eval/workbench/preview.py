"""A task and a record in, what the model would read out: turn by turn, the cached part marked, tokens counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tagger.engines.base import Engine
from tagger.engines.scripted import ScriptedEngine
from tagger.example import Example
from tagger.picture import Picture
from tagger.pipeline import Tagger
from tagger.prompt import Prompt
from tagger.record import Record
from tagger.task import Task


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of the conversation; `cached` if it is the same for every record with these fields. Its `pictures`
    stand before its text."""

    role: str
    text: str
    cached: bool
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """One question to the model. `tokens` are those of the cached part and of the rest; None where no tokenizer is at
    hand, as for a model behind a URL."""

    form: str
    fields: tuple[str, ...]
    turns: tuple[Turn, ...]
    tokens: tuple[int, int] | None


class Counter(Protocol):
    """What counts tokens (engines/chat.py)."""

    def count(self, prompt: Prompt) -> tuple[int, int]:
        """Tokens of the head and of the rest."""
        ...


def preview(task: Task, record: Record, pool: Sequence[Example], counter: Counter | None) -> list[Shown]:
    """What is asked of a record, question by question; raises TaskError for a template that cannot be rendered."""
    tagger = Tagger(_silent(task), engine=ScriptedEngine(), shots=list(pool) or None, calibrated=False)
    found = []
    for ask in task.plan.ask:
        if fields := [name for name in ask.fields if name in task.asked(record)]:
            (prompt,) = tagger.prompts(ask, [record])
            found.append(Shown(ask.form, tuple(fields), _turns(prompt), counter.count(prompt) if counter else None))
    return found


def _silent(task: Task) -> Task:
    """The task without what its examples say themselves, which takes a tenth of a second to learn; only a shortlist
    stands in a prompt because of it."""
    if any(ask.shortlist for ask in task.plan.ask):
        return task
    shots = task.plan.shots.model_copy(update={"prior": 0.0})
    return replace(task, plan=task.plan.model_copy(update={"shots": shots}))


def counter_of(engine: Engine) -> Counter | None:
    """What counts tokens as an engine's model does, if the engine has its tokenizer here."""
    found: Counter | None = getattr(engine, "chat", None)
    return found


def _turns(prompt: Prompt) -> tuple[Turn, ...]:
    cached = 1 + 2 * len(prompt.head.shots)
    *before, last = replace(prompt, pictures=()).messages
    turns = [Turn(said["role"], said["content"], n < cached) for n, said in enumerate(before)]
    return *turns, Turn(last["role"], last["content"], False, prompt.pictures)
