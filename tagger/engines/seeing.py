"""Token ids and pictures in, logits out: a vision-language model, which reads each prompt by itself.

Where a picture stands, models number places in ways of their own and look at it from all sides, so prompts with
pictures are not packed (packing.py): the model is asked as its makers do. The search for a label and the writing of an
answer are the same as for text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, DynamicCache

from tagger.engines.packing import Batch, Key, LocalModel, Logits, Pack, Row
from tagger.engines.sight import Seen


class SeeingModel(LocalModel):
    """A vision-language model. It keeps where it is in the prompt that it has read last, so a pack is used up before
    the next one is asked for."""

    at_once, together = 16, 1

    def __init__(self, folder: Path, dtype: str | None) -> None:
        """`dtype` defaults to what is fastest here."""
        super().__init__(AutoModelForImageTextToText, folder, dtype)

    def packs(
        self,
        members: Sequence[int],
        heads: Sequence[tuple[int, ...]],
        bodies: Sequence[list[int]],
        seen: Mapping[int, tuple[int, Seen]],
    ) -> Iterator[tuple[Pack, list[int]]]:
        """Requests with their bodies read, one in a pack. `seen` are the pictures of those that have any, behind the
        number of tokens that follow them."""
        for i in members:
            ids = [*heads[i], *bodies[i]]
            pack = Pack(DynamicCache(config=self.hf.config), len(ids))
            pack.rows[i, ()] = Row([], len(ids))
            pack.last[i, ()] = self._next(pack.cache, ids, self._shown(len(ids), *seen[i]) if i in seen else {})
            pack.read[i] = len(ids), 0
            yield pack, [i]

    def extend(self, pack: Pack, tokens: Mapping[Key, list[int]]) -> Logits:
        """The logits behind each row, which is the prompt with the tokens of its key."""
        return {key: self._next(deepcopy(pack.cache), list(key[1])) for key in tokens}

    def rectangle(self, packs: Sequence[Pack], order: list[int]) -> Batch:
        """The one prompt that was read last."""
        (pack,) = packs
        return Batch(pack.cache, torch.empty(0), order)

    def step(self, batch: Batch, tokens: Mapping[int, tuple[int, int]]) -> dict[int, torch.Tensor]:
        """One more token of the row in `tokens`; the logits behind it."""
        return {i: self._next(batch.cache, [token]) for i, (token, _) in tokens.items()}

    def _next(self, cache: DynamicCache, ids: list[int], shown: Mapping[str, Any] | None = None) -> torch.Tensor:
        output = self.hf(
            input_ids=torch.tensor([ids], device=self.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **(shown or {}),
        )
        logits: torch.Tensor = output.logits[0, -1].float().cpu()
        return logits

    def _shown(self, length: int, behind: int, seen: Seen) -> dict[str, Any]:
        before = length - behind - len(seen.ids)
        kinds = {
            name: torch.tensor([[0] * before + kinds + [0] * behind], device=self.device)
            for name, kinds in seen.kinds.items()
        }
        tensors = {
            name: value.to(self.device, self.hf.dtype if value.is_floating_point() else None)
            for name, value in seen.tensors.items()
        }
        return kinds | tensors
