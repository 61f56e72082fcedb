"""The name of an adapter in, its folder and what it was trained for out.

An adapter is a LoRA in PEFT's format with a card (tagger.json) beside its weights. It knows the prompt of one version
of a task, asked by one plan, on one model; for any other it is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tagger.errors import TaskError
from tagger.plan import validation_text
from tagger.weights import find_model

CARD = "tagger.json"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
SEEN = "seen.txt"
"""Digests of the rows that it has learned from or was chosen by, one a line (finetune/rows.py)."""


class Card(BaseModel):
    """What an adapter was trained for, and from what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    task_version: str
    plan: str
    model: str
    rank: int
    rows: int
    """Labelled rows that it has seen."""
    pooled: bool = False
    """Whether it was trained, and is served, beside a pool of labelled rows (--shots)."""
    rows_id: str
    """Twelve hex digits of what it read: prompts and answers, those of the dev rows too."""
    settings: Mapping[str, object] = {}
    """How it was trained."""
    versions: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that may be served; `id` is eight hex digits of its weights."""

    folder: Path
    card: Card
    id: str


def find_adapter(name: str, beside: Path | None, expected: Mapping[str, object]) -> Adapter:
    """The adapter called `name`: a folder (a relative one lies in `beside`, the task's folder) or a hub id.

    Raises WeightsError where there is none, TaskError if it was made for another task version, plan or model than
    `expected` names.
    """
    inside = beside / name if beside else Path(name)
    folder = inside if inside.is_dir() else find_model(name, holds=CONFIG)
    card = read_card(folder)
    for key, value in expected.items():
        if getattr(card, key) != value:
            hint = "train it anew (python -m finetune run), or take `adapter` out of task.toml"
            reason = f"the adapter was trained for {key} {getattr(card, key)}, this is {value}"
            if key == "pooled":
                reason = f"the adapter was trained with{'' if card.pooled else 'out'} --shots, here it is the other way"
            raise TaskError(reason, where=str(folder), hint=hint)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise TaskError(
            f"the adapter holds no {WEIGHTS}", where=str(folder), hint="its saving was cut off; train again"
        )
    return Adapter(folder, card, hashlib.sha256(weights.read_bytes()).hexdigest()[:8])


def read_card(folder: Path) -> Card:
    """The card of an adapter; TaskError without one, for the card is written last."""
    path = folder / CARD
    if not path.is_file():
        hint = "its training was cut off, or it was trained elsewhere; run the training again"
        raise TaskError("the adapter has no card", where=str(path), hint=hint)
    try:
        return Card.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        raise TaskError(validation_text(error), where=str(path)) from None
