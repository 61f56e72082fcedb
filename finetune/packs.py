"""Training rows in, packs of token ids out: what one pass of training reads.

Rows that share the beginning of their prompt stand behind it in one sequence, and a mask lets each see only that
beginning and itself, as the engine that serves reads them. So the instruction is computed once a pack instead of once
a row; gradients are those of the rows one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from finetune.rows import TrainingRow
from tagger.engines.chat import ChatTokenizer

IGNORED = -100
"""What torch's cross entropy leaves out."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row as token ids: the shared head, the rest of the prompt, and the answer with the token that ends it."""

    head: tuple[int, ...]
    body: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Rows behind one head."""

    head: tuple[int, ...]
    rows: tuple[Encoded, ...]


def encode(rows: Iterable[TrainingRow], chat: ChatTokenizer) -> list[Encoded]:
    """Rows as the engine that serves would read them, and write them in the tokenizer's own spelling."""
    stop, given = chat.hf.eos_token_id, list(rows)
    bodies = chat.bodies([row.prompt for row in given])
    return [
        Encoded(chat.head_ids(row.prompt.head), tuple(body), (*chat.plain(row.completion), stop))
        for row, body in zip(given, bodies, strict=True)
    ]


def packs(rows: Sequence[Encoded], size: int, seed: int) -> list[PackedRows]:
    """All rows, `size` to a pack and in an order that depends on the seed alone; a pack's rows share their head."""
    of: dict[tuple[int, ...], list[Encoded]] = {}
    for row in Random(seed).sample(list(rows), len(rows)):
        of.setdefault(row.head, []).append(row)
    return [PackedRows(head, tuple(own[i : i + size])) for head, own in of.items() for i in range(0, len(own), size)]


def collate(batch: Sequence[PackedRows], dtype: torch.dtype) -> Mapping[str, Any]:
    """The one pack of a batch as what a model's forward pass takes, with its targets.

    `labels` (1, targets + 1) are the tokens of the answers behind one that is ignored, since the trainer counts them
    as if they were shifted; `logits_to_keep` (targets) says behind which tokens they are foretold.
    """
    (pack,) = batch
    ids, positions, owners = list(pack.head), list(range(len(pack.head))), [0] * len(pack.head)
    foretold: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(pack.rows, 1):
        start, tokens = len(ids), [*row.body, *row.answer[:-1]]
        foretold += range(start + len(row.body) - 1, start + len(tokens))
        targets += row.answer
        ids += tokens
        positions += range(len(pack.head), len(pack.head) + len(tokens))
        owners += [number] * len(tokens)
    owner = torch.tensor(owners)
    seen = (owner[None] == 0) | (owner[None] == owner[:, None])
    mask = torch.zeros(len(ids), len(ids), dtype=dtype).masked_fill(~seen.tril(), torch.finfo(dtype).min)
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": mask[None, None],
        "logits_to_keep": torch.tensor(foretold),
        "labels": torch.tensor([[IGNORED, *targets]]),
    }
