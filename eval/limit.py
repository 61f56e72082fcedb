"""How fast this machine can multiply and read memory, and what the model's tokens need of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from tagger.settings import settings

SIDE, TIMES, MEBIBYTES = 2048, 8, 512
"""Of the matrices multiplied, how often the best is taken of, and of the block that is copied."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Of this machine: floating-point operations a second, and bytes read and written; of the model: its weights
    outside the embedding, each of which costs a token two operations."""

    flops: float
    bandwidth: float
    weights: int

    def share(self, tokens: float, seconds: float) -> float:
        """How much of the machine's multiplying `tokens` in `seconds` took, attention left out."""
        return 2 * self.weights * tokens / seconds / self.flops


def measure(model: Any) -> Limit:
    """The limits for a transformers model, in its own number format, on as many threads as engines use."""
    torch.set_num_threads(settings().threads)
    dtype = next(model.parameters()).dtype
    square = torch.randn(SIDE, SIDE).to(dtype)
    block = torch.zeros(MEBIBYTES << 20, dtype=torch.uint8)
    multiplied = 2 * SIDE**3 / _best(lambda: square @ square)
    into = block.clone()
    moved = 2 * block.numel() / _best(lambda: into.copy_(block))
    outside = (p for name, p in model.named_parameters() if "embed_tokens" not in name and "lm_head" not in name)
    return Limit(multiplied, moved, sum(p.numel() for p in outside))


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(TIMES):
        begun = perf_counter()
        work()
        times.append(perf_counter() - begun)
    return min(times)
