"""transformers with Outlines: any machine, no server. Prompts in, completions out.

Two things make it fast without changing an answer. The shared head of the prompts runs through the model
once and its keys and values are kept. And a batch is one *packed* sequence instead of a padded
rectangle: bodies stand one behind another, and a mask lets each see only the head and itself. So no key
is copied and no padding computed, also while answers are written: a new token is one more
column that only its own answer sees.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import outlines
import torch
from outlines.backends.xgrammar import XGrammarBackend, XGrammarLogitsProcessor
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.utils import logging

from tagger.engines.base import Completion, Constraint, EngineInfo, Request, Step, refuse_adapters
from tagger.engines.chat import ChatTokenizer
from tagger.engines.search import Found, Node, search
from tagger.settings import settings

BATCH_TOKENS = 1024
"""Fresh tokens in one pass; more fills no core better and makes the mask larger."""
KEPT_TOKENS = 32_768
"""Tokens of heads whose keys and values stay in memory; the least recently used go first."""
TOP = 20
"""Alternatives recorded at a step of a written answer."""


_Key = tuple[int, tuple[int, ...]]
"""A row of a batch, and the tokens behind its body where the search for a label branched off."""
_Logits = dict[_Key, torch.Tensor]


@dataclass(slots=True)
class _Row:
    """One body in a packed batch: the columns it may see and its next position."""

    visible: list[int]
    position: int


@dataclass(slots=True)
class _Pack:
    """A batch in the cache: `cache` holds the head in front and every column of the rows after it."""

    cache: DynamicCache
    head: int
    columns: int = 0
    rows: dict[_Key, _Row] = field(default_factory=dict)


class TransformersEngine:
    """A local model under transformers, constrained by Outlines."""

    def __init__(self, folder: Path, model: str, *, dtype: str | None = None) -> None:
        """`folder` holds the weights of `model`; `dtype` defaults to what is fastest here."""
        logging.disable_progress_bar()
        torch.set_num_threads(settings().threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        chosen = getattr(torch, dtype) if dtype else fastest_dtype(self._device)
        self.chat = ChatTokenizer(folder)
        self._model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=chosen, local_files_only=True)
        self._model.to(self._device).eval()
        self._limit = int(getattr(self._model.config, "max_position_embeddings", 1 << 30))
        self._outlines = XGrammarBackend(outlines.from_transformers(self._model, self.chat.hf))
        self._compiled: dict[str, Any] = {}
        self._heads: OrderedDict[tuple[int, ...], DynamicCache] = OrderedDict()
        self._allowed: dict[tuple[str, tuple[int, ...]], torch.Tensor] = {}
        versions = {name: version(name) for name in ("torch", "transformers", "outlines", "xgrammar")}
        self.info = EngineInfo("transformers", model, str(chosen).removeprefix("torch."), versions)

    @property
    def hf_model(self) -> Any:
        """The transformers model itself, for benchmarks that run another loop on it."""
        return self._model

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, same order; requests that share a head and a constraint run together."""
        refuse_adapters(requests)
        groups: dict[tuple[tuple[int, ...], Constraint], list[int]] = {}
        bodies = [self.chat.body_ids(request.prompt) for request in requests]
        done: dict[int, Completion] = {}
        for i, request in enumerate(requests):
            head = self.chat.head_ids(request.prompt.head)
            if (length := len(head) + len(bodies[i]) + request.max_tokens) > self._limit:
                done[i] = Completion(f"{length} tokens; the model takes {self._limit}", "refused")
            else:
                groups.setdefault((head, request.constraint), []).append(i)
        with torch.inference_mode():
            for (head, constraint), members in groups.items():
                for batch in _batches(members, bodies):
                    part = [requests[i] for i in batch]
                    answers = self._answer(head, constraint, part, [bodies[i] for i in batch])
                    done.update(zip(batch, answers, strict=True))
        return [done[i] for i in range(len(requests))]

    def close(self) -> None:
        """Drop the model and all caches."""
        del self._model, self._heads, self._allowed

    def _answer(
        self, head: tuple[int, ...], constraint: Constraint, requests: list[Request], bodies: list[list[int]]
    ) -> list[Completion]:
        cached = head in self._heads
        pack = _Pack(self._head_cache(head), len(head))
        pack.rows = {(i, ()): _Row([], len(head)) for i in range(len(bodies))}
        last = self._extend(pack, {(i, ()): body for i, body in enumerate(bodies)})
        if constraint.choices:
            return self._choose(pack, constraint, bodies, last, cached)
        return self._write(pack, constraint, requests, bodies, last, cached)

    def _choose(
        self, pack: _Pack, constraint: Constraint, bodies: list[list[int]], last: _Logits, cached: bool
    ) -> list[Completion]:
        """Read the probabilities of a closed set of answers."""

        def look(nodes: Sequence[Node]) -> list[dict[int, float]]:
            keys = [(node.request, node.tokens) for node in nodes]
            deeper = [(request, tokens) for request, tokens in keys if tokens]
            for request, tokens in deeper:
                parent = pack.rows[request, tokens[:-1]]
                pack.rows[request, tokens] = _Row(list(parent.visible), parent.position)
            logits = self._extend(pack, {key: [key[1][-1]] for key in deeper}) if deeper else {}
            return [self._allowed_logprobs((logits if key[1] else last)[key], constraint, key[1]) for key in keys]

        answers = [choice.encode() for choice in constraint.choices]
        found = search([answers] * len(bodies), look, self.chat.token_bytes)
        return [
            _chosen(result, pack.head, len(body), cached or i > 0)
            for i, (result, body) in enumerate(zip(found, bodies, strict=True))
        ]

    def _write(
        self,
        pack: _Pack,
        constraint: Constraint,
        requests: list[Request],
        bodies: list[list[int]],
        last: _Logits,
        cached: bool,
    ) -> list[Completion]:
        """Write answers token by token, the likeliest that the grammar allows each time."""
        rows = range(len(bodies))
        processors = [self._processor(constraint) for _ in rows]
        written: list[list[int]] = [[] for _ in rows]
        logprobs: list[list[tuple[bytes, float]]] = [[] for _ in rows]
        steps: list[list[Step]] = [[] for _ in rows]
        finished: dict[int, Literal["stop", "length"]] = {}
        while last:
            following: dict[_Key, list[int]] = {}
            for key, logits in last.items():
                i = key[0]
                token, logprob, top = self._pick(processors[i], written[i], logits)
                steps[i].append(Step(b"".join(text for text, _ in logprobs[i]), top))
                if token in self.chat.stop_ids:
                    finished[i] = "stop"
                    continue
                written[i].append(token)
                logprobs[i].append((self.chat.token_bytes(token), logprob))
                if len(written[i]) >= requests[i].max_tokens:
                    finished[i] = "length"
                else:
                    following[key] = [token]
            last = self._extend(pack, following) if following else {}
        return [
            Completion(
                text=b"".join(text for text, _ in logprobs[i]).decode("utf-8", "replace"),
                finish_reason=finished[i],
                logprobs=tuple(logprobs[i]),
                steps=tuple(steps[i]),
                tokens_in=pack.head + len(bodies[i]),
                tokens_cached=pack.head if cached or i > 0 else 0,
                tokens_out=len(written[i]),
            )
            for i in rows
        ]

    def _extend(self, pack: _Pack, tokens: Mapping[_Key, list[int]]) -> _Logits:
        """Append tokens to rows of a pack in one pass; the logits behind the last token of each row."""
        ids, positions, ends = [], [], []
        owners: list[tuple[int, _Row]] = []
        for key, new in tokens.items():
            row = pack.rows[key]
            for token in new:
                row.visible.append(pack.columns)
                ids.append(token)
                positions.append(row.position)
                owners.append((len(row.visible), row))
                row.position += 1
                pack.columns += 1
            ends.append(len(ids) - 1)
        mask = torch.full((len(ids), pack.head + pack.columns), torch.finfo(self._model.dtype).min)
        mask[:, : pack.head] = 0
        for line, (seen, row) in enumerate(owners):
            mask[line, torch.tensor(row.visible[:seen]) + pack.head] = 0
        output = self._model(
            input_ids=torch.tensor([ids], device=self._device),
            attention_mask=mask[None, None].to(self._device, self._model.dtype),
            position_ids=torch.tensor([positions], device=self._device),
            past_key_values=pack.cache,
            use_cache=True,
            logits_to_keep=torch.tensor(ends, device=self._device),
        )
        return dict(zip(tokens, output.logits[0].float().cpu(), strict=True))

    def _head_cache(self, head: tuple[int, ...]) -> DynamicCache:
        """A cache that starts with the head's keys and values, computed once per head."""
        if head not in self._heads:
            kept = DynamicCache(config=self._model.config)
            self._model(
                input_ids=torch.tensor([head], device=self._device),
                past_key_values=kept,
                use_cache=True,
                logits_to_keep=1,
            )
            self._heads[head] = kept
            while sum(map(len, self._heads)) > KEPT_TOKENS and len(self._heads) > 1:
                self._heads.popitem(last=False)
        self._heads.move_to_end(head)
        fresh = DynamicCache(config=self._model.config)
        for number, layer in enumerate(self._heads[head].layers):
            fresh.update(layer.keys, layer.values, number)
        return fresh

    def _processor(self, constraint: Constraint) -> XGrammarLogitsProcessor:
        if constraint.grammar not in self._compiled:
            self._compiled[constraint.grammar] = self._outlines.get_cfg_logits_processor(
                constraint.grammar
            ).compiled_grammar
        return XGrammarLogitsProcessor(self._compiled[constraint.grammar], "torch")

    def _pick(
        self, processor: XGrammarLogitsProcessor, written: list[int], logits: torch.Tensor
    ) -> tuple[int, float, dict[bytes, float]]:
        """The likeliest allowed token, its log-probability, and the TOP likeliest by their bytes."""
        masked = processor(torch.tensor([written or [0]]), self._real(logits)[None])[0]
        values, tokens = torch.log_softmax(masked, -1).topk(TOP)
        top: dict[bytes, float] = {}
        for value, token in zip(values.tolist(), tokens.tolist(), strict=True):
            if value > -30:
                top.setdefault(self.chat.token_bytes(token), value)
        return int(tokens[0]), float(values[0]), top

    def _allowed_logprobs(
        self, logits: torch.Tensor, constraint: Constraint, tokens: tuple[int, ...]
    ) -> dict[int, float]:
        key = constraint.grammar, tokens
        if key not in self._allowed:
            processor = self._processor(constraint)
            blank = torch.zeros(1, len(self._real(logits)))
            mask = processor(torch.tensor([[0]]), blank.clone())
            for token in tokens:
                mask = processor(torch.tensor([[token]]), blank.clone())
            self._allowed[key] = torch.isfinite(mask[0]).nonzero()[:, 0]
        allowed = self._allowed[key]
        values = torch.log_softmax(logits[allowed], -1)
        return dict(zip(allowed.tolist(), values.tolist(), strict=True))

    def _real(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits without the columns that pad the vocabulary: no grammar forbids those."""
        return logits[: len(self.chat.hf)]


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU; on a CPU whichever of float32 and bfloat16 multiplies faster here."""
    if device.type != "cpu":
        return torch.bfloat16
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.ones(512, 896, dtype=dtype), torch.ones(4864, 896, dtype=dtype)
        times = []
        for _ in range(8):
            start = perf_counter()
            torch.nn.functional.linear(left, right)
            times.append(perf_counter() - start)
        seconds[dtype] = min(times)
    return min(seconds, key=lambda dtype: seconds[dtype])


def _batches(members: list[int], bodies: list[list[int]]) -> list[list[int]]:
    """Members in batches of about BATCH_TOKENS fresh tokens, in order."""
    batches: list[list[int]] = []
    filled = BATCH_TOKENS
    for i in members:
        if filled + len(bodies[i]) > BATCH_TOKENS:
            batches.append([])
            filled = 0
        batches[-1].append(i)
        filled += len(bodies[i])
    return batches


def _chosen(found: Found, head: int, body: int, cached: bool) -> Completion:
    return Completion(
        text=found.best().decode(),
        finish_reason="stop",
        masses=found.shares(),
        tokens_in=head + body,
        tokens_cached=head if cached else 0,
        tokens_out=found.looks,
    )
