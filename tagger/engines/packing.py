"""Token ids in, logits out: a model that runs many bodies behind a shared head.

The head runs through the model once and its keys and values are kept. A batch is one *packed* sequence instead
of a padded rectangle: bodies stand one behind another, and each sees only the head and itself. Answers
that are then written token by token go on in a rectangle, because in a pack each new token would be held against the
columns of all rows.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from tagger.engines.attention import GROUPED, Bodies, reading
from tagger.engines.blocked import block, unblock
from tagger.engines.sight import Seen
from tagger.errors import EngineError

BATCH_TOKENS = 1024
"""Fresh tokens in one pass; more fills no core better and makes the mask larger."""
KEPT_TOKENS = 32_768
"""Tokens of heads whose keys and values stay in memory; the least recently used go first."""

Key = tuple[int, tuple[int, ...]]
"""A row of a batch, and the tokens behind its body where the search for a label branched off."""
Logits = dict[Key, torch.Tensor]


@dataclass(slots=True)
class Row:
    """One body in a packed batch: the columns it may see and its next position."""

    visible: list[int]
    position: int


@dataclass(slots=True)
class Pack:
    """A batch in the cache: `cache` holds the head in front and every column of the rows after it."""

    cache: DynamicCache
    head: int
    columns: int = 0
    rows: dict[Key, Row] = field(default_factory=dict)
    last: Logits = field(default_factory=dict)
    """Logits behind each body."""
    read: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Tokens of each request, and how many of them came from the cache."""


@dataclass(slots=True)
class Batch:
    """Answers being written together: a line of the cache for each of `order`; `mask` is added to scores."""

    cache: DynamicCache
    mask: torch.Tensor
    order: list[int]


class LocalModel:
    """The weights of a folder, with the adapters that were asked for."""

    def __init__(self, kind: Any, folder: Path, dtype: str | None) -> None:
        """`kind` is the class of transformers that loads it; `dtype` defaults to what is fastest here."""
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        chosen = getattr(torch, dtype) if dtype else fastest_dtype(self.device)
        self.hf: Any = kind.from_pretrained(str(folder), dtype=chosen, local_files_only=True)
        self.hf.to(self.device).eval()
        block(self.hf)
        self.dtype = str(chosen).removeprefix("torch.")
        self.limit = int(getattr(self.hf.config.get_text_config(), "max_position_embeddings", 1 << 30))
        """Tokens of prompt and answer that the model takes, and, `limited`, by what."""
        self.limited = ""
        self._adapters: dict[str, str] = {}
        self._adapter: str | None = None

    def use(self, adapter: str | None) -> None:
        """Let an adapter speak, by its folder, or the model alone; one that is new is loaded beside the others.

        Raises EngineError where peft is missing, or the folder holds no adapter for this model.
        """
        if adapter == self._adapter:
            return
        if adapter and adapter not in self._adapters:
            name = f"adapter{len(self._adapters)}"
            try:
                self._load(adapter, name)
            except ImportError:
                raise EngineError("adapters need peft", hint="pip install 'tagger[finetune]'") from None
            except (OSError, ValueError, RuntimeError) as error:
                reason = f"the adapter cannot be loaded: {str(error).splitlines()[0]}"
                raise EngineError(reason, where=adapter, hint="was it trained on this model?") from None
            self._adapters[adapter] = name
        if adapter:
            self.hf.enable_adapters()
            self.hf.set_adapter(self._adapters[adapter])
        else:
            self.hf.disable_adapters()
        self._adapter = adapter

    def _load(self, adapter: str, name: str) -> None:
        from peft import PeftConfig, load_peft_weights, set_peft_model_state_dict

        dora = getattr(PeftConfig.from_pretrained(adapter), "use_dora", False)
        if dora:  # its magnitudes are held against the weights themselves
            unblock(self.hf)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")  # several are wanted
            self.hf.load_adapter(adapter, adapter_name=name)
        if dora:  # transformers passes over magnitudes
            found = {key.removeprefix("base_model.model."): value for key, value in load_peft_weights(adapter).items()}
            set_peft_model_state_dict(self.hf, found, name)


class PackedModel(LocalModel):
    """A language model that reads many bodies behind a shared head in one pass."""

    at_once, together = 1 << 30, 64
    """Requests made ready at once, and answers written together: what one pass over the weights serves."""

    def __init__(self, folder: Path, dtype: str | None) -> None:
        """`dtype` defaults to what is fastest here."""
        super().__init__(AutoModelForCausalLM, folder, dtype)
        if (window := _window(self.hf.config)) and window < self.limit:
            self.limit, self.limited = window, ", the sliding window of its attention"
        if self.hf.config._attn_implementation == "sdpa":
            self.hf.set_attn_implementation(GROUPED)
        self._heads: OrderedDict[tuple[str | None, tuple[int, ...]], DynamicCache] = OrderedDict()

    def packs(
        self,
        members: Sequence[int],
        heads: Sequence[tuple[int, ...]],
        bodies: Sequence[list[int]],
        seen: Mapping[int, tuple[int, Seen]],
    ) -> Iterator[tuple[Pack, list[int]]]:
        """Requests with their bodies read, in packs that share a head. None of them has pictures to be `seen`."""
        assert not seen
        groups: dict[tuple[int, ...], list[int]] = {}
        for i in members:
            groups.setdefault(heads[i], []).append(i)
        for head, group in groups.items():
            for batch in _batches(group, bodies):
                cached = (self._adapter, head) in self._heads
                pack = Pack(self._head_cache(head), len(head))
                pack.rows = {(i, ()): Row([], len(head)) for i in batch}
                pack.last = self.extend(pack, {(i, ()): bodies[i] for i in batch})
                pack.read = {
                    i: (len(head) + len(bodies[i]), len(head) * (cached or n > 0)) for n, i in enumerate(batch)
                }
                yield pack, batch

    def extend(self, pack: Pack, tokens: Mapping[Key, list[int]]) -> Logits:
        """Append tokens to rows of a pack in one pass; the logits behind the last token of each row."""
        ids, positions, ends = [], [], []
        owners: list[tuple[int, Row]] = []
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
        fresh = len(ids) == pack.columns
        lengths = [len(new) for new in tokens.values()]
        own = _apart(lengths) if fresh else _of_rows(owners, pack.columns)
        mask = torch.zeros(len(ids), pack.head + pack.columns, dtype=self.hf.dtype)
        mask[:, pack.head :].masked_fill_(~own, torch.finfo(self.hf.dtype).min)
        with reading(Bodies.of(lengths, pack.head, self.hf.dtype, self.device) if fresh else None):
            output = self.hf(
                input_ids=torch.tensor([ids], device=self.device),
                attention_mask=mask[None, None].to(self.device),
                position_ids=torch.tensor([positions], device=self.device),
                past_key_values=pack.cache,
                use_cache=True,
                logits_to_keep=torch.tensor(ends, device=self.device),
            )
        return dict(zip(tokens, output.logits[0].float().cpu(), strict=True))

    def rectangle(self, packs: Sequence[Pack], order: list[int]) -> Batch:
        """A cache with one line for each row of the packs, its head copied in front: in a pack, each new token would
        be held against all rows' columns."""
        spans = {i: (pack, pack.rows[i, ()].visible) for pack in packs for i in pack.read}
        longest = max(pack.head + len(visible) for pack, visible in spans.values())
        cache = DynamicCache()
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
        mask = torch.zeros(len(order), longest, dtype=self.hf.dtype)
        for line, i in enumerate(order):
            mask[line, spans[i][0].head + len(spans[i][1]) :] = torch.finfo(self.hf.dtype).min
        return Batch(cache, mask.to(self.device), list(order))

    def step(self, batch: Batch, tokens: Mapping[int, tuple[int, int]]) -> dict[int, torch.Tensor]:
        """One more token of each row in `tokens` (row: token, position); the logits behind it. Other rows are done."""
        if len(tokens) <= len(batch.order) // 2:
            lines = [line for line, i in enumerate(batch.order) if i in tokens]
            index = torch.tensor(lines, device=self.device)
            batch.cache.batch_select_indices(index)
            batch.mask, batch.order = batch.mask[index], [batch.order[line] for line in lines]
        batch.mask = torch.nn.functional.pad(batch.mask, (0, 1), value=0)
        at = [tokens.get(i, (0, 0)) for i in batch.order]
        output = self.hf(
            input_ids=torch.tensor([[token] for token, _ in at], device=self.device),
            attention_mask=batch.mask[:, None, None],
            position_ids=torch.tensor([[position] for _, position in at], device=self.device),
            past_key_values=batch.cache,
            use_cache=True,
        )
        logits = output.logits[:, -1].float().cpu()
        return {i: logits[line] for line, i in enumerate(batch.order) if i in tokens}

    def _head_cache(self, head: tuple[int, ...]) -> DynamicCache:
        """A cache that starts with the head's keys and values, computed once per head."""
        key = self._adapter, head
        if key not in self._heads:
            kept = DynamicCache()  # told of a window, it would crop a pack, whose columns are those of many prompts
            self.hf(
                input_ids=torch.tensor([head], device=self.device),
                past_key_values=kept,
                use_cache=True,
                logits_to_keep=1,
            )
            self._heads[key] = kept
            while sum(len(tokens) for _, tokens in self._heads) > KEPT_TOKENS and len(self._heads) > 1:
                self._heads.popitem(last=False)
        self._heads.move_to_end(key)
        fresh = DynamicCache()
        for number, layer in enumerate(self._heads[key].layers):
            fresh.update(layer.keys, layer.values, number)
        return fresh


def _window(config: Any) -> int | None:
    """How many tokens the layers look back, where some do not look at all; EngineError for layers that keep something
    else than keys and values of tokens, behind which no bodies can stand apart."""
    layers = DynamicCache(config=config).layers
    if strange := {type(layer).__name__ for layer in layers} - {
        DynamicLayer.__name__,
        DynamicSlidingWindowLayer.__name__,
    }:
        told = f"expected layers that attend to tokens, found {min(strange)}"
        raise EngineError(told, where=config.name_or_path, hint="use --engine vllm, or another model")
    return min((int(layer.sliding_window) for layer in layers if layer.is_sliding), default=None)


def _apart(lengths: Sequence[int]) -> torch.Tensor:
    """(tokens, tokens): that each token of bodies of these lengths, one behind another, sees of its body so far."""
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return (owner[:, None] == owner).tril_()


def _of_rows(owners: Sequence[tuple[int, Row]], columns: int) -> torch.Tensor:
    """(tokens, columns): that each token sees of its row, of which so many columns are there for it."""
    own = torch.zeros(len(owners), columns, dtype=torch.bool)
    for line, (there, row) in enumerate(owners):
        own[line, torch.tensor(row.visible[:there])] = True
    return own


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


def _batches(members: Sequence[int], bodies: Sequence[list[int]]) -> list[list[int]]:
    """Members in batches of at most BATCH_TOKENS fresh tokens, if each were as long as the longest, the shortest first:
    those of one length stand together."""
    batches: list[list[int]] = []
    for i in sorted(members, key=lambda i: len(bodies[i])):
        if not batches or (len(batches[-1]) + 1) * len(bodies[i]) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(i)
    return batches
