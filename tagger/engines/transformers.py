"""transformers with Outlines: any machine, no server. Prompts in, completions out.

Two things make it fast without changing an answer. The shared head of the prompts runs through the model
once and its keys and values are kept. And a batch is one *packed* sequence instead of a padded
rectangle: bodies stand one behind another, and a mask lets each see only the head and itself. So no key
is copied and no padding computed. Only answers that are written token by token go on in a rectangle, in larger
batches across heads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import outlines
import torch
from outlines.backends.xgrammar import XGrammarBackend, XGrammarLogitsProcessor
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.utils import logging

from tagger.engines.base import Completion, EngineInfo, Request, Step, refuse_adapters
from tagger.engines.chat import ChatTokenizer
from tagger.engines.search import Found, Node, search
from tagger.settings import settings

BATCH_TOKENS = 1024
"""Fresh tokens in one pass; more fills no core better and makes the mask larger."""
WRITE_ROWS = 16
"""Answers written together: what one pass over the weights serves."""
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
    last: _Logits = field(default_factory=dict)
    """Logits behind each body."""
    read: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Tokens of each request, and how many of them came from the cache."""


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


@dataclass(slots=True)
class _Batch:
    """Answers being written together: a line of the cache for each of `order`, padding masked."""

    cache: DynamicCache
    mask: torch.Tensor
    order: list[int]


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
        self._allowed = lru_cache(maxsize=1024)(self._next_tokens)
        versions = {name: version(name) for name in ("torch", "transformers", "outlines", "xgrammar")}
        self.info = EngineInfo("transformers", model, str(chosen).removeprefix("torch."), versions)

    @property
    def hf_model(self) -> Any:
        """The transformers model itself, for benchmarks that run another loop on it."""
        return self._model

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, same order; those that share a head run together."""
        refuse_adapters(requests)
        bodies = [self.chat.body_ids(request.prompt) for request in requests]
        heads = [self.chat.head_ids(request.prompt.head) for request in requests]
        done: dict[int, Completion] = {}
        for i, request in enumerate(requests):
            if (length := len(heads[i]) + len(bodies[i]) + request.max_tokens) > self._limit:
                done[i] = Completion(f"{length} tokens; the model takes {self._limit}", "refused")
        todo = [i for i in range(len(requests)) if i not in done]
        closed = [i for i in todo if requests[i].constraint.choices]
        written = sorted((i for i in todo if not requests[i].constraint.choices), key=lambda i: heads[i])
        with torch.inference_mode():
            for pack, batch in self._packs(closed, heads, bodies):
                done.update(self._choose(pack, {i: requests[i] for i in batch}))
            for start in range(0, len(written), WRITE_ROWS):
                packs = list(self._packs(written[start : start + WRITE_ROWS], heads, bodies))
                done.update(self._write([pack for pack, _ in packs], requests))
        return [done[i] for i in range(len(requests))]

    def close(self) -> None:
        """Drop the model and all caches."""
        del self._model, self._heads, self._allowed

    def _packs(
        self, members: Sequence[int], heads: Sequence[tuple[int, ...]], bodies: Sequence[list[int]]
    ) -> Iterator[tuple[_Pack, list[int]]]:
        """Requests with their bodies read, in packs that share a head."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i in members:
            groups.setdefault(heads[i], []).append(i)
        for head, group in groups.items():
            for batch in _batches(group, bodies):
                cached = head in self._heads
                pack = _Pack(self._head_cache(head), len(head))
                pack.rows = {(i, ()): _Row([], len(head)) for i in batch}
                pack.last = self._extend(pack, {(i, ()): bodies[i] for i in batch})
                pack.read = {
                    i: (len(head) + len(bodies[i]), len(head) * (cached or n > 0)) for n, i in enumerate(batch)
                }
                yield pack, batch

    def _choose(self, pack: _Pack, requests: Mapping[int, Request]) -> dict[int, Completion]:
        """Read the probabilities of closed sets of answers."""
        order = list(requests)

        def look(nodes: Sequence[Node]) -> list[dict[int, float]]:
            keys = [(order[node.request], node.tokens) for node in nodes]
            deeper = [(request, tokens) for request, tokens in keys if tokens]
            for request, tokens in deeper:
                parent = pack.rows[request, tokens[:-1]]
                pack.rows[request, tokens] = _Row(list(parent.visible), parent.position)
            logits = self._extend(pack, {key: [key[1][-1]] for key in deeper}) if deeper else {}
            return [
                self._allowed_logprobs((logits if node.tokens else pack.last)[key], requests[key[0]], node.prefix)
                for key, node in zip(keys, nodes, strict=True)
            ]

        answers = [[choice.encode() for choice in request.constraint.choices] for request in requests.values()]
        found = search(answers, look, self.chat.token_bytes)
        return {i: _chosen(result, *pack.read[i]) for i, result in zip(order, found, strict=True)}

    def _write(self, packs: Sequence[_Pack], requests: Sequence[Request]) -> dict[int, Completion]:
        """Write answers token by token, the likeliest that the grammar allows each time."""
        drafts = {
            i: _Draft(
                self._processor(requests[i].constraint.grammar), requests[i].max_tokens, pack.rows[i, ()].position
            )
            for pack in packs
            for i in pack.read
        }
        last = {i: logits for pack in packs for (i, _), logits in pack.last.items()}
        batch = self._rectangle(packs, list(drafts))
        while last:
            for i, logits in last.items():
                self._add_token(drafts[i], logits)
            last = self._next(batch, {i: draft for i, draft in drafts.items() if not draft.finished})
        read = {i: counts for pack in packs for i, counts in pack.read.items()}
        return {i: draft.completion(*read[i]) for i, draft in drafts.items()}

    def _rectangle(self, packs: Sequence[_Pack], order: list[int]) -> _Batch:
        """A cache with one line for each row of the packs, its head copied in front: in a pack, each new token would
        be held against all rows' columns."""
        spans = {i: (pack, pack.rows[i, ()].visible) for pack in packs for i in pack.read}
        longest = max(pack.head + len(visible) for pack, visible in spans.values())
        cache = DynamicCache(config=self._model.config)
        for number in range(len(packs[0].cache.layers)):
            keys: list[torch.Tensor] = []
            values: list[torch.Tensor] = []
            for i in order:
                pack, visible = spans[i]
                start, end = pack.head + visible[0], pack.head + visible[-1] + 1
                for kind, lines in (("keys", keys), ("values", values)):
                    whole = getattr(pack.cache.layers[number], kind)[0]
                    line = torch.cat([whole[:, : pack.head], whole[:, start:end]], dim=1)
                    lines.append(torch.nn.functional.pad(line, (0, 0, 0, longest - line.shape[1])))
            cache.update(torch.stack(keys), torch.stack(values), number)
        mask = torch.zeros(len(order), longest, dtype=torch.long)
        for line, i in enumerate(order):
            mask[line, : spans[i][0].head + len(spans[i][1])] = 1
        return _Batch(cache, mask.to(self._device), list(order))

    def _next(self, batch: _Batch, drafts: Mapping[int, _Draft]) -> dict[int, torch.Tensor]:
        """One more token of each unfinished draft through the model; the logits behind it."""
        if not drafts:
            return {}
        if len(drafts) <= len(batch.order) // 2:
            lines = torch.tensor([line for line, i in enumerate(batch.order) if i in drafts], device=self._device)
            batch.cache.batch_select_indices(lines)
            batch.mask, batch.order = batch.mask[lines], list(drafts)
        batch.mask = torch.nn.functional.pad(batch.mask, (0, 1), value=1)
        at = [drafts.get(i) for i in batch.order]
        output = self._model(
            input_ids=torch.tensor([[draft.written[-1] if draft else 0] for draft in at], device=self._device),
            attention_mask=batch.mask,
            position_ids=torch.tensor([[draft.position if draft else 0] for draft in at], device=self._device),
            past_key_values=batch.cache,
            use_cache=True,
        )
        logits = output.logits[:, -1].float().cpu()
        return {i: logits[line] for line, i in enumerate(batch.order) if i in drafts}

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


def _batches(members: list[int], bodies: Sequence[list[int]]) -> list[list[int]]:
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


def _chosen(found: Found, read: int, cached: int) -> Completion:
    return Completion(
        text=found.best().decode(),
        finish_reason="stop",
        masses=found.shares(),
        tokens_in=read,
        tokens_cached=cached,
        tokens_out=found.looks,
    )
