"""Labelled rows in, a trained adapter out: the steps between, in order."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from eval.sets import refuse_leaks
from finetune.augment import balanced, changed, refuse_few
from finetune.packs import encode
from finetune.rows import digests, training_rows
from finetune.train import Recipe, Trained, train, trained, versions
from tagger.adapter import CARD, Card, read_card
from tagger.engines import chat_tokenizer, model_folder
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.plan import validation_text
from tagger.task import Task


def read_recipe(path: Path | None) -> Recipe:
    """The recipe in a TOML file, or the default one; SettingsError for what is none."""
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text("utf-8")) if path else {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"not a recipe: {error}", where=str(path)) from None
    except ValidationError as error:
        raise SettingsError(validation_text(error), where=str(path)) from None


def adapt(
    task: Task,
    train_rows: Sequence[Example],
    dev: Sequence[Example],
    recipe: Recipe,
    model: str,
    folder: Path,
    *,
    shots: bool = False,
) -> Trained:
    """Train an adapter of `model` for the task, as it is asked by its plan, into `folder`.

    `shots`: with the nearest train rows in each prompt, as a pool serves them. Raises SettingsError for no rows,
    SourceError for too few rows of a label and for dev rows among the train rows, else as `train`.
    """
    if not train_rows or not dev:
        raise SettingsError("no rows to train on" if not train_rows else "no dev rows: they say when to stop")
    refuse_leaks(dev, train_rows)
    refuse_few(train_rows, task, recipe.least)
    chat = chat_tokenizer(model)
    pool = train_rows if shots else None
    more = changed(balanced(train_rows, task) if recipe.balanced else train_rows, recipe.changes, recipe.seed, task)
    rows, held = (encode(training_rows(task, part, pool), chat) for part in (more, dev))
    card = Card(
        task=task.id, task_version=task.version, plan=task.plan.id, model=model, rank=recipe.rank,
        rows=len(train_rows), pooled=shots, rows_id=hashlib.sha256(repr((rows, held)).encode()).hexdigest()[:12],
        settings=recipe.model_dump(mode="json"), versions=versions(),
    )  # fmt: skip
    if (folder / CARD).is_file():
        if read_card(folder) == card:
            return trained(folder)
        hint = "choose another --out, or remove the folder"
        raise SettingsError("another adapter lies here already", where=str(folder), hint=hint)
    return train(model_folder(model), rows, held, recipe, card, folder, digests([*train_rows, *dev]))
