"""What eight-bit weights cost and gain on processor cores: python -m eval int8.

The same dev rows go through the model in bfloat16, in float32, and in float32 with its linear layers in eight bits
(weights beforehand, activations as they come; torch's dynamic quantization): rate, right answers, and how many are the
same as those of float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from eval.figures import Figure, share
from eval.sets import labelled_set, rows, sample
from tagger.engines import model_folder
from tagger.engines.blocked import unblock
from tagger.engines.transformers import TransformersEngine
from tagger.example import Example
from tagger.pipeline import Tagger

WARM = 8
"""Rows asked before anything is timed."""


@dataclass(frozen=True, slots=True)
class Form:
    """The model in one form of its weights."""

    name: str
    rate: float
    """Rows a second."""
    right: Figure
    same: Figure
    """Records whose values are those of float32."""


def forms(name: str, root: Path, model: str, count: int) -> Iterator[Form]:
    """The model over `count` dev rows of a set, form by form; float32 comes first."""
    task, found = labelled_set(name, root)
    drawn = sample(rows(task, found, root, "dev"), count + WARM, 0)
    exact: list[dict[str, object]] = []
    for form in ("float32", "int8", "bfloat16"):
        engine = TransformersEngine(model_folder(model), model, dtype="bfloat16" if form == "bfloat16" else "float32")
        if form == "int8":
            unblock(engine.hf_model)
            torch.ao.quantization.quantize_dynamic(engine.hf_model, {torch.nn.Linear}, torch.qint8, inplace=True)
        tagger = Tagger(task, engine=engine, calibrated=False)
        tagger.tag_records([row.record for row in drawn[:WARM]])
        begun = perf_counter()
        taggings = tagger.tag_records([row.record for row in drawn[WARM:]])
        seconds = perf_counter() - begun
        values = [{field: tag.value for field, tag in tagging.tags.items()} for tagging in taggings]
        exact = exact or values
        same = sum(one == other for one, other in zip(values, exact, strict=True))
        yield Form(form, count / seconds, _right(drawn[WARM:], values), share(same, count))
        engine.close()


def _right(examples: Sequence[Example], values: Sequence[dict[str, object]]) -> Figure:
    """Labelled values that were found."""
    found = sum(
        example.is_right(field, given[field])
        for example, given in zip(examples, values, strict=True)
        for field in example.answer
        if given.get(field) is not None
    )
    return share(found, sum(len(example.answer) for example in examples))
