"""transformers with Outlines: any machine, no server. Prompts in, completions out.

The model reads in packs (packing.py); one that sees pictures, a prompt at a time (seeing.py). Closed sets of answers
are read off its probabilities; other answers are written under Outlines' grammar, many together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import outlines
import torch
from outlines.backends.xgrammar import XGrammarBackend, XGrammarLogitsProcessor
from transformers.utils import logging

from tagger.engines.base import Completion, EngineInfo, Request, Step
from tagger.engines.chat import ChatTokenizer
from tagger.engines.packing import Pack, PackedModel, Row
from tagger.engines.search import Found, Node, search
from tagger.engines.seeing import SeeingModel
from tagger.errors import EngineError
from tagger.settings import settings

TOP = 20
"""Alternatives recorded at a step of a written answer."""


@dataclass(slots=True)
class _Draft:
    """An answer being written; `position` is that of its next token."""

    processor: XGrammarLogitsProcessor
    max_tokens: int
    position: int
    written: list[int] = field(default_factory=list)
    logprobs: list[tuple[bytes, float]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    finished: Literal["", "stop", "length"] = ""

    def completion(self, read: int, cached: int) -> Completion:
        return Completion(
            text=b"".join(text for text, _ in self.logprobs).decode("utf-8", "replace"),
            finish_reason=self.finished or "length",
            logprobs=tuple(self.logprobs),
            steps=tuple(self.steps),
            tokens_in=read,
            tokens_cached=cached,
            tokens_out=len(self.written),
        )


class TransformersEngine:
    """A local model under transformers, constrained by Outlines."""

    def __init__(self, folder: Path, model: str, *, dtype: str | None = None) -> None:
        """`folder` holds the weights of `model`; `dtype` defaults to what is fastest here."""
        logging.disable_progress_bar()
        torch.set_num_threads(settings().threads)
        self.chat = ChatTokenizer(folder)
        kind = SeeingModel if self.chat.sight else PackedModel
        self._model: PackedModel | SeeingModel = kind(folder, dtype)
        self._outlines = XGrammarBackend(outlines.from_transformers(self._model.hf, self.chat.hf))
        self._compiled: dict[str, Any] = {}
        self._turn = Lock()
        self._allowed = lru_cache(maxsize=1024)(self._next_tokens)
        versions = {name: version(name) for name in ("torch", "transformers", "outlines", "xgrammar")}
        self.info = EngineInfo("transformers", model, self._model.dtype, versions)

    @property
    def hf_model(self) -> Any:
        """The transformers model itself, for benchmarks that run another loop on it."""
        return self._model.hf

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, same order; those that share an adapter and a head run together. Threads take turns."""
        with self._turn:
            return self._complete(requests)

    def _complete(self, requests: Sequence[Request]) -> list[Completion]:
        done: dict[int, Completion] = {}
        for adapter in dict.fromkeys(request.adapter for request in requests):
            mine = [i for i, request in enumerate(requests) if request.adapter == adapter]
            self._model.use(adapter)
            parts = [mine[start : start + self._model.at_once] for start in range(0, len(mine), self._model.at_once)]
            try:
                for part in parts:
                    done.update(zip(part, self._answer([requests[i] for i in part]), strict=True))
            except (MemoryError, RuntimeError) as error:  # torch has one kind for no memory, a lost device and the rest
                hint = "if memory ran out, choose a smaller model"
                raise EngineError(f"the model broke down: {error}", where=self.info.model, hint=hint) from error
        return [done[i] for i in range(len(requests))]

    def close(self) -> None:
        """Drop the model and all caches."""
        del self._model, self._allowed

    def _answer(self, requests: Sequence[Request]) -> list[Completion]:
        """The answers of the adapter that is in use, or of the model alone."""
        prompts = [request.prompt for request in requests]
        seen, unseen = self.chat.look(prompts)
        bodies = self.chat.bodies(prompts, seen)
        heads = [self.chat.head_ids(prompt.head) for prompt in prompts]
        done = {i: Completion(reason, "refused") for i, reason in unseen.items()}
        for i, request in enumerate(requests):
            if (length := len(heads[i]) + len(bodies[i]) + request.max_tokens) > self._model.limit:
                done[i] = Completion(
                    f"{length} tokens; the model takes {self._model.limit}{self._model.limited}", "refused"
                )
        todo = [i for i in range(len(requests)) if i not in done]
        closed = [i for i in todo if requests[i].constraint.choices]
        written = sorted((i for i in todo if not requests[i].constraint.choices), key=lambda i: heads[i])
        shown = {i: (self.chat.behind(prompts[i]), one) for i, one in seen.items()}
        with torch.inference_mode():
            for pack, batch in self._model.packs(closed, heads, bodies, shown):
                done.update(self._choose(pack, {i: requests[i] for i in batch}))
            for start in range(0, len(written), self._model.together):
                part = written[start : start + self._model.together]
                packs = list(self._model.packs(part, heads, bodies, shown))
                done.update(self._write([pack for pack, _ in packs], requests))
        return [done[i] for i in range(len(requests))]

    def _choose(self, pack: Pack, requests: Mapping[int, Request]) -> dict[int, Completion]:
        """Read the probabilities of closed sets of answers."""
        order = list(requests)

        def look(nodes: Sequence[Node]) -> list[dict[int, float]]:
            keys = [(order[node.request], node.tokens) for node in nodes]
            deeper = [(request, tokens) for request, tokens in keys if tokens]
            for request, tokens in deeper:
                parent = pack.rows[request, tokens[:-1]]
                pack.rows[request, tokens] = Row(list(parent.visible), parent.position)
            logits = self._model.extend(pack, {key: [key[1][-1]] for key in deeper}) if deeper else {}
            return [
                self._allowed_logprobs((logits if node.tokens else pack.last)[key], requests[key[0]], node.prefix)
                for key, node in zip(keys, nodes, strict=True)
            ]

        answers = [[choice.encode() for choice in request.constraint.choices] for request in requests.values()]
        found = search(answers, look, self.chat.token_bytes)
        return {i: _chosen(result, *pack.read[i]) for i, result in zip(order, found, strict=True)}

    def _write(self, packs: Sequence[Pack], requests: Sequence[Request]) -> dict[int, Completion]:
        """Write answers token by token, the likeliest that the grammar allows each time."""
        drafts = {
            i: _Draft(
                self._processor(requests[i].constraint.grammar), requests[i].max_tokens, pack.rows[i, ()].position
            )
            for pack in packs
            for i in pack.read
        }
        last = {i: logits for pack in packs for (i, _), logits in pack.last.items()}
        batch = self._model.rectangle(packs, list(drafts))
        while last:
            for i, logits in last.items():
                self._add_token(drafts[i], logits)
            going = {i: (draft.written[-1], draft.position) for i, draft in drafts.items() if not draft.finished}
            last = self._model.step(batch, going) if going else {}
        read = {i: counts for pack in packs for i, counts in pack.read.items()}
        return {i: draft.completion(*read[i]) for i, draft in drafts.items()}

    def _processor(self, grammar: str) -> XGrammarLogitsProcessor:
        if grammar not in self._compiled:
            self._compiled[grammar] = self._outlines.get_cfg_logits_processor(grammar).compiled_grammar
        return XGrammarLogitsProcessor(self._compiled[grammar], "torch")

    def _add_token(self, draft: _Draft, logits: torch.Tensor) -> None:
        """Write the likeliest allowed token, and keep its log-probability and the TOP likeliest by their bytes."""
        masked = draft.processor(torch.tensor([draft.written or [0]]), self._real(logits)[None])[0]
        values, tokens = torch.log_softmax(masked, -1).topk(TOP)
        top: dict[bytes, float] = {}
        for value, token in zip(values.tolist(), tokens.tolist(), strict=True):
            if value > -30:
                top.setdefault(self.chat.token_bytes(token), value)
        chosen = int(tokens[0])
        draft.steps.append(Step(b"".join(text for text, _ in draft.logprobs), top))
        if chosen in self.chat.stop_ids:
            draft.finished = "stop"
            return
        draft.written.append(chosen)
        draft.logprobs.append((self.chat.token_bytes(chosen), float(values[0])))
        draft.position += len(draft.written) > 1
        if len(draft.written) >= draft.max_tokens:
            draft.finished = "length"

    def _allowed_logprobs(self, logits: torch.Tensor, request: Request, written: bytes) -> dict[int, float]:
        allowed = self._allowed(request.constraint.choices, written)
        values = torch.log_softmax(logits[allowed], -1)
        return dict(zip(allowed.tolist(), values.tolist(), strict=True))

    def _next_tokens(self, choices: tuple[str, ...], written: bytes) -> torch.Tensor:
        return torch.tensor(self.chat.next_tokens(choices, written))

    def _real(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits without the columns that pad the vocabulary: no grammar forbids those."""
        return logits[: len(self.chat.hf)]


def _chosen(found: Found, read: int, cached: int) -> Completion:
    return Completion(
        text=found.best().decode(),
        finish_reason="stop",
        masses=found.shares(),
        tokens_in=read,
        tokens_cached=cached,
        tokens_out=found.looks,
    )
