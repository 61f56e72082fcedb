"""Training rows and dev rows in, a LoRA adapter out (Hu et al. 2021, arXiv 2106.09685).

transformers' Trainer does the training: checkpoints, resuming, early stopping, warm-up. Loss counts on the answers
alone. Dev loss chooses the checkpoint that is kept; its card is written last, so an adapter with a card is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from pydantic import BaseModel, ConfigDict, Field
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    EarlyStoppingCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from finetune.curves import loss_curves
from finetune.packs import IGNORED, Encoded, collate, packs
from tagger.adapter import CARD, SEEN, Card, read_card
from tagger.errors import EngineError, SettingsError
from tagger.settings import settings as of_environment
from tagger.sinks import write_whole

PARTS, BEFORE = "checkpoints", "before.json"
HISTORY, CURVES = "history.json", "curves.svg"
"""Losses by step, beside the adapter, and a picture of them."""


class Recipe(BaseModel):
    """How an adapter is trained. Defaults follow Schulman et al. 2025 (LoRA Without Regret) for small sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    rate: float = Field(default=2e-4, gt=0)
    epochs: float = Field(default=3.0, gt=0)
    pack: int = Field(default=8, ge=1)
    """Rows read in one pass, behind one head."""
    packs: int = Field(default=2, ge=1)
    """Packs whose gradients make one step."""
    warmup: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps over which the rate rises; it falls as a cosine after that."""
    evaluations: int = Field(default=6, ge=1)
    """How often the dev loss is looked at."""
    patience: int = Field(default=2, ge=1)
    """Looks without a better dev loss after which training stops."""
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    rslora: bool = False
    """Scale by the root of the rank (Kalajdzievski 2023)."""
    dora: bool = False
    """Magnitude and direction apart (Liu et al. 2024)."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Of the frozen weights; the adapter's own are float32."""
    four_bit: bool = False
    """Frozen weights in four bits (QLoRA; Dettmers et al. 2023); needs a CUDA GPU and bitsandbytes."""
    balanced: bool = False
    """Rows of rarer labels are repeated (finetune/augment.py)."""
    changes: tuple[str, ...] = ()
    """Copies of the rows to add: lower, upper, order, dropped, typos, wide (eval/robust.py)."""
    least: int = Field(default=2, ge=0)
    """Train rows that every label of a closed field needs."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """An adapter folder, and the dev losses (mean over answer tokens, nats) before training and of what was kept."""

    folder: Path
    before: float
    after: float


def train(
    base: Path,
    rows: Sequence[Encoded],
    dev: Sequence[Encoded],
    recipe: Recipe,
    card: Card,
    folder: Path,
    seen: Sequence[str] = (),
) -> Trained:
    """Train an adapter for the model in `base` into `folder`; what a killed run has left there is gone on with.

    `seen` are the digests (rows.py) of all rows that it learns from or is chosen by: nobody may judge it on them.
    Raises SettingsError for a folder of another training, EngineError when memory runs out and for what this machine
    cannot do.
    """
    set_seed(recipe.seed)
    torch.set_num_threads(of_environment().threads)
    _claim(folder, card)
    try:
        trainer = _trained(base, rows, dev, recipe, folder)
    except (MemoryError, RuntimeError) as error:  # processor cores run out with a plain RuntimeError
        told = str(error).splitlines()[0] if str(error) else "MemoryError"
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate" not in told:
            raise
        hint = "lower `pack` (rows read in one pass) or `rank`, or choose a smaller model"
        raise EngineError(f"memory ran out: {told}", hint=hint) from None
    before = {"step": 0, "eval_loss": float((folder / PARTS / BEFORE).read_text("utf-8"))}
    history = [before, *(e for e in trainer.state.log_history if "loss" in e or "eval_loss" in e)]
    trainer.model.save_pretrained(str(folder))
    (folder / HISTORY).write_text(json.dumps(history, indent=1) + "\n", "utf-8")
    (folder / CURVES).write_text(loss_curves(history), "utf-8")
    (folder / SEEN).write_text("".join(f"{digest}\n" for digest in seen), "utf-8")
    write_whole(folder / CARD, card.model_dump_json(indent=1) + "\n")
    shutil.rmtree(folder / PARTS)
    return trained(folder)


def _claim(folder: Path, card: Card) -> None:
    """Make the folder that of this training; SettingsError if another one was begun there."""
    parts = folder / PARTS
    if (parts / CARD).is_file():
        if read_card(parts) != card:
            hint = "choose another --out, or remove the folder"
            raise SettingsError(
                "a training of other rows or with other settings was begun here", where=str(folder), hint=hint
            )
        return
    parts.mkdir(parents=True, exist_ok=True)
    write_whole(parts / CARD, card.model_dump_json(indent=1) + "\n")


def _frozen(base: Path, recipe: Recipe) -> Any:
    """The model whose weights stay as they are."""
    dtype = getattr(torch, recipe.dtype)
    if not recipe.four_bit:
        return AutoModelForCausalLM.from_pretrained(str(base), dtype=dtype, local_files_only=True)
    if not torch.cuda.is_available() or find_spec("bitsandbytes") is None:
        hint = "leave it out of the recipe, or train on a GPU after: pip install bitsandbytes"
        raise EngineError("four_bit needs a CUDA GPU and bitsandbytes", hint=hint)
    bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    model = AutoModelForCausalLM.from_pretrained(
        str(base), dtype=dtype, local_files_only=True, quantization_config=bits
    )
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def _trained(base: Path, rows: Sequence[Encoded], dev: Sequence[Encoded], recipe: Recipe, folder: Path) -> Trainer:
    """A trainer that has done its work, from the last checkpoint on if there is one."""
    dtype = getattr(torch, recipe.dtype)
    lora = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=0.0, target_modules="all-linear",
        use_rslora=recipe.rslora, use_dora=recipe.dora, task_type="CAUSAL_LM",
    )  # fmt: skip
    trainer = Trainer(
        model=get_peft_model(_frozen(base, recipe), lora),
        args=_arguments(folder / PARTS, recipe, len(packs(rows, recipe.pack, recipe.seed))),
        train_dataset=packs(rows, recipe.pack, recipe.seed),
        eval_dataset=packs(dev, recipe.pack, recipe.seed),
        data_collator=partial(collate, dtype=dtype),
        compute_loss_func=partial(_loss, smoothing=recipe.smoothing),
        callbacks=[EarlyStoppingCallback(recipe.patience)],
    )
    if not (folder / PARTS / BEFORE).is_file():
        write_whole(folder / PARTS / BEFORE, json.dumps(trainer.evaluate()["eval_loss"]))
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder / PARTS)))
    return trainer


def trained(folder: Path) -> Trained:
    """What a finished training in `folder` has reached."""
    losses = [e["eval_loss"] for e in json.loads((folder / HISTORY).read_text("utf-8")) if "eval_loss" in e]
    return Trained(folder, losses[0], min(losses[1:]))


def versions() -> dict[str, str]:
    """Of the libraries that train."""
    return {name: version(name) for name in ("torch", "transformers", "peft")}


def _arguments(folder: Path, recipe: Recipe, count: int) -> TrainingArguments:
    steps = max(1, round(recipe.epochs * -(-count // recipe.packs)))
    every = max(1, steps // recipe.evaluations)
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        learning_rate=recipe.rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(recipe.warmup * steps),
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        gradient_accumulation_steps=recipe.packs,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        logging_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        prediction_loss_only=True,
        remove_unused_columns=False,
        label_names=["labels"],
        seed=recipe.seed,
        data_seed=recipe.seed,
        report_to=[],
    )


def _loss(output: Any, labels: torch.Tensor, num_items_in_batch: Any = None, *, smoothing: float) -> torch.Tensor:
    """Cross entropy of the answers' tokens, their mean over the step's packs; labels as `collate` gives them."""
    targets = labels[0, 1:]
    total = cross_entropy(
        output.logits[0].float(), targets, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    return total / (len(targets) if num_items_in_batch is None else num_items_in_batch)
