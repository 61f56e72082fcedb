"""Answers from a function: for tests, dry runs and measuring everything but the model.

engine = ScriptedEngine(lambda prompt: "Tea" if "tea" in prompt.record.lower() else "Coffee")
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from tagger.engines.base import Completion, EngineInfo, Request, Step
from tagger.prompt import Prompt

KEPT = 1000


class ScriptedEngine:
    """Says what `answer` says; without one, the first answer that the grammar allows.

    `answer` gives a text or, for a closed set, the probability of each text.
    """

    def __init__(self, answer: Callable[[Prompt], str | Mapping[str, float]] | None = None) -> None:
        self.info = EngineInfo("scripted", "none", "none", {})
        self._kept: deque[Request] = deque(maxlen=KEPT)
        self._answer = answer

    @property
    def history(self) -> list[Request]:
        """The last KEPT requests, so that a test can look at what was asked."""
        return list(self._kept)

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion a request, in order; tokens are counted as words, pictures not at all."""
        self._kept.extend(requests)
        return [self._complete(request) for request in requests]

    def close(self) -> None:
        """Nothing to give back."""

    def _complete(self, request: Request) -> Completion:
        text: str | Mapping[str, float]
        if request.prompt.head.instruction == CANARY:
            text = request.constraint.grammar.split('"')[1]
        elif self._answer:
            text = self._answer(request.prompt)
        else:
            text = request.constraint.choices[0] if request.constraint.choices else request.constraint.sample
        masses = None
        if not isinstance(text, str):
            masses, text = text, max(text.items(), key=lambda item: item[1])[0]
        words = re.findall(r"\s*\S+", text)
        logprobs = tuple((word.encode(), 0.0) for word in words)
        steps, prefix = [], b""
        for word, logprob in logprobs:
            steps.append(Step(prefix, {word: logprob}))
            prefix += word
        steps.append(Step(prefix, {b"": 0.0}))
        prompt = request.prompt
        turns = (text for turn in (*prompt.head.shots, *prompt.shots) for text in turn)
        read = sum(len(text.split()) for text in (prompt.head.instruction, *turns, prompt.record))
        return Completion(text, "stop", logprobs, tuple(steps), masses, tokens_in=read, tokens_out=len(words))


CANARY = "Answer with the word the user gives."
"""Instruction of the start-up canary, which a script need not know about."""
