"""Raw scores in, a decision out: which value, how probable, and whether to say it at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tagger.calibration import Calibration
from tagger.confidence import Scores
from tagger.grammar import closed_values, read_value, spell_value, value_text
from tagger.prior import combine, pool
from tagger.schema import FieldBase


@dataclass(frozen=True, slots=True)
class Decision:
    """A value with its probability, and whether that is too little to say it.

    `others` are the other values of the field with their probabilities, likeliest first.
    """

    value: Any
    p: float
    abstained: bool
    others: tuple[tuple[Any, float], ...] = ()


def decide(
    name: str,
    field: FieldBase,
    written: Any,
    scores: Scores,
    *,
    prior: float,
    calibration: Calibration | None,
) -> Decision:
    """Decide on field `name`, for which the model has `written` a value (None: the rows alone propose one).

    Where labelled rows speak (with weight `prior`, or as the calibration weighs them), a field gets its likeliest
    value, else what was written stands.
    """
    closed = closed_values(field)
    threshold = max(field.abstain_below, calibration.threshold(name) if calibration else 0.0)
    if calibration:
        chances = calibration.chances(name, scores)
    elif closed and scores.rows:
        chances = combine(scores.model, scores.rows, prior)
    elif scores.rows and prior:
        chances = pool(scores.model, scores.rows, prior)
        # A value that one of the two alone names has to be likelier than not to that one.
        threshold = max(threshold, min(prior, 1.0) / 2 / (1 + prior))
    else:
        chances = dict(scores.model) or dict.fromkeys(scores.rows, 0.0)
    texts = {text: closed[text] if closed else read_value(field, json.loads(text)) for text in chances}
    said = value_text(field, written) if closed else spell_value(field, written) if written is not None else ""
    if scores.rows or said not in chances:
        said = max(chances, key=lambda text: chances[text])
    others = [(texts[text], p) for text, p in sorted(chances.items(), key=lambda item: -item[1]) if text != said]
    p = chances[said]
    return Decision(texts[said], p, p < threshold or p == 0, tuple(others))
