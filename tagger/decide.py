"""Raw scores in, a decision out: which value, how probable, and whether to say it at all."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tagger.calibration import Calibration
from tagger.confidence import Scores
from tagger.grammar import read_value, spell_value, value_text
from tagger.prior import combine, pool
from tagger.schema import FieldBase, LabelsField, is_quantity, plain_quantity, takes_several

ALTERNATIVES = 3
"""Other values that are told, likeliest first."""
SHOWN = 60
"""Characters of a value that are quoted where it is not said."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A value with its probability, and why that is too little to say it (None: it is said).

    `others` are the field's likeliest other candidates, ALTERNATIVES at most, with their probabilities. `each` has, for
    a list, the probability of every candidate by its JSON text, said or not; `p` is then that of the least likely one
    said.
    """

    value: Any
    p: float
    doubt: str | None
    others: tuple[tuple[Any, float], ...] = ()
    each: Mapping[str, float] = field(default_factory=dict)

    @property
    def abstained(self) -> bool:
        """Whether nothing is said."""
        return self.doubt is not None


def decide(
    name: str,
    field: FieldBase,
    written: Any,
    scores: Scores,
    *,
    prior: float,
    calibration: Calibration | None,
) -> Decision:
    """Decide on field `name`, for which the model has `written` a value (None: the rows alone
    propose one, or several answers were averaged).

    Where labelled rows speak (with weight `prior`, or as the calibration weighs them), and of a closed set, a field
    gets its likeliest value, else what was written stands. (A label is written token by token, each the likeliest:
    another that can be written in several ways may be likelier in all.) A list has every item that is likely enough.
    """
    asked, closed = threshold(name, field, calibration), field.closed
    found = _chances(name, field, scores, prior, calibration)
    chances = found.told

    def value(text: str) -> Any:
        return closed[text] if closed else read_value(field, json.loads(text))

    def others(said: Collection[str]) -> tuple[tuple[Any, float], ...]:
        left = (text for text in ranked if text not in said)
        return tuple((value(text), chances[text]) for text in islice(left, ALTERNATIVES))

    ranked = sorted(chances, key=found.ranked_by.__getitem__, reverse=True)
    if takes_several(field):
        said = [text for text in chances if text not in found.silent]
        p = min((chances[text] for text in said), default=chances[ranked[0]])
        listed = _listed(field, [value(text) for text in said or ranked[:1]])
        return Decision(listed, p, None if said else doubt_of(listed, p, asked), others(said), chances)
    best = ""
    if written is not None:
        best = value_text(field, written) if closed else spell_value(field, written)
    if scores.rows or best not in chances or (closed and chances[best] < chances[ranked[0]]):
        best = ranked[0]
    doubt = doubt_of(value(best), chances[best], asked) if best in found.silent else None
    return Decision(value(best), chances[best], doubt, others({best}))


def threshold(name: str, field: FieldBase, calibration: Calibration | None) -> float:
    """The probability under which field `name` is silent."""
    return max(field.abstain_below, calibration.threshold(name) if calibration else 0.0)


def doubt_of(value: Any, p: float, asked: float) -> str:
    """Why a value, or the likeliest item of a list, is not said at its probability, where `asked` is asked of it."""
    told = quoted(value[0] if isinstance(value, list) and value else value)
    if p == 0:
        return f"{told} has no probability"
    if p >= asked:
        return f"neither the model nor the labelled rows find {told} likelier than not"
    digits = next((n for n in range(2, 6) if round(p, n) < round(asked, n)), 6)
    return f"{told} has {p:.{digits}f}, below the {asked:.{digits}f} that is asked of it"


def quoted(value: Any) -> str:
    """A value as a text has it, not escaped: a blocklist has to find what it holds."""
    if isinstance(value, str):
        value = " ".join(value.split())
        return f"'{value[:SHOWN]}...'" if len(value) > SHOWN else f"'{value}'"
    if is_quantity(value):
        return plain_quantity(value)
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Chances:
    """Of each candidate by its text: its probability, by what candidates are ranked, and which are not to be said."""

    told: Mapping[str, float]
    ranked_by: Mapping[str, float]
    silent: frozenset[str]


def _chances(name: str, field: FieldBase, scores: Scores, prior: float, calibration: Calibration | None) -> _Chances:
    asked = threshold(name, field, calibration)
    fit = calibration.fields.get(name) if calibration else None
    if calibration and fit and not fit.raw:
        fitted = calibration.chances(name, scores)
        return _Chances(fitted, fitted, frozenset(text for text, p in fitted.items() if p < asked or p == 0))
    raw, least = _raw(field, scores, prior)
    told = raw
    if fit and fit.raw:  # it says how sure to be; what is said is decided as without it
        inferred = scores.model if scores.inferred else ()
        told = {text: fit.raw.chance(p, text in inferred) for text, p in raw.items()}
    silent = frozenset(text for text, p in raw.items() if p < least or p == 0 or told[text] < asked)
    return _Chances(told, raw, silent)


def _raw(field: FieldBase, scores: Scores, prior: float) -> tuple[dict[str, float], float]:
    """Raw probabilities, and that from which on a value may be said."""
    if field.closed and scores.rows:
        return combine(scores.model, scores.rows, prior), 0.0
    if scores.rows and prior:
        # What neither side finds likelier than not is silence, however they are weighed.
        likely = {text for text in scores.candidates if max(scores.model.get(text, 0), scores.rows.get(text, 0)) >= 0.5}
        pooled = pool(scores.model, scores.rows, prior)
        return pooled, min((pooled[text] for text in likely), default=1.0)
    return dict(scores.model) or dict.fromkeys(scores.rows, 0.0), 0.0


def _listed(field: FieldBase, values: list[Any]) -> list[Any]:
    """The values of a list: labels in the declared order, and none where it is said that there are none."""
    values = [value for value in values if value != []]
    return [label for label in field.labels if label in values] if isinstance(field, LabelsField) else values
