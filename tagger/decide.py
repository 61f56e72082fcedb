"""Raw scores in, a decision out: which value, how probable, and whether to say it at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tagger.calibration import Calibration
from tagger.confidence import Scores
from tagger.grammar import closed_values, value_text
from tagger.prior import combine
from tagger.schema import FieldBase


@dataclass(frozen=True, slots=True)
class Decision:
    """A value with its probability, and whether that is too little to say it.

    `others` are the other values of a closed field with their probabilities, likeliest first.
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
    inferred: bool,
    prior: float,
    calibration: Calibration | None,
) -> Decision:
    """Decide on field `name`, for which the model has `written` a value.

    Where labelled rows speak (with weight `prior`, or as the calibration weighs them), a closed field gets its
    likeliest value, else what was written stands. `inferred`: the record does not hold the value.
    """
    closed = closed_values(field)
    if calibration:
        chances = calibration.chances(name, scores, inferred)
    elif closed and scores.rows:
        chances = combine(scores.model, scores.rows, prior)
    else:
        chances = dict(scores.model)
    value = written
    if closed and scores.rows:
        value = closed[max(chances, key=lambda text: chances[text])]
    p = chances[value_text(field, value)] if closed else max(chances.values())
    ranked = sorted(chances.items(), key=lambda item: -item[1])
    others = tuple((closed[text], chance) for text, chance in ranked if closed[text] != value) if closed else ()
    threshold = max(field.abstain_below, calibration.threshold(name) if calibration else 0.0)
    return Decision(value, p, p < threshold, others)
