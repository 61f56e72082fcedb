"""Raw scores in, probabilities that mean what they say out.

A calibration is fitted on labelled dev rows (`python -m eval calibrate`) and lies beside the task, one file for
each model; here it is only read. Closed fields have two weights: the probability of a value is proportional to
model^a * rows^b (without rows this is temperature scaling, Guo et al. 2017). An open value's probability comes
from a logistic regression on the features of `open_features` (Platt 1999, with more than one feature). Few rows bear
neither: then raw probabilities are told less boldly, or more, and what is said stays as it is (`ClosedFit` with one
temperature for both, `RawFit`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagger.confidence import Scores
from tagger.errors import SettingsError, TaskError
from tagger.plan import validation_text
from tagger.prior import combine

FEATURES = ("bias", "written", "model", "least", "rows", "share", "usual", "other", "inferred")
"""Of an open value: 1; whether the model wrote it; its log-odds and those of its least likely token, if so; the
log-odds that labelled rows give it, of the share of rows that label it so, and of the share that has the field; the
probability of the likeliest other value; whether the record does not hold it. Without rows theirs are 0."""


class ClosedFit(BaseModel):
    """Weights of a closed field's two experts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: float
    rows: float = 0.0

    def chances(self, scores: Scores) -> dict[str, float]:
        """Probabilities of the values by their texts."""
        if not any(scores.model.values()):
            return dict(scores.model)  # the model was not heard: nothing that could be weighed makes it sure
        tempered = combine(dict.fromkeys(scores.model, 1.0), scores.model, self.model)
        return combine(tempered, scores.rows, self.rows) if scores.rows else tempered


class OpenFit(BaseModel):
    """Weights of an open field's FEATURES."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: tuple[float, ...]


class RawFit(BaseModel):
    """How the log-odds of an open field's raw probabilities are stretched and moved, and those of what was `inferred`
    once more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stretch: float = Field(gt=0)
    move: float
    inferred: float = 0.0

    def chance(self, raw: float, inferred: bool = False) -> float:
        """What a raw probability comes to; of what cannot be, nothing."""
        return expit(self.stretch * logit(raw) + self.move + self.inferred * inferred) if raw else 0.0


class Fit(BaseModel):
    """One field: how its probabilities come about, and below which it is silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    closed: ClosedFit | None = None
    open: OpenFit | None = None
    raw: RawFit | None = Field(default=None, exclude_if=lambda found: found is None)
    abstain_below: float = 0.0


class Promise(BaseModel):
    """A threshold that keeps a precision, with the precision of the `answers` that it let through on dev rows, and
    their coverage: the share of the labelled values that was answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float
    precision: float
    coverage: float
    answers: int


class Calibration(BaseModel):
    """All fields of a task, for one model, plan and way of showing shots."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_version: str
    plan: str
    model: str
    adapter: str | None = None
    rows: int
    """Dev rows it was fitted on."""
    rows_id: str
    """Which rows those were (eval/record.py): figures on them are too good."""
    pool: str
    """The id of the labelled rows that were shown and spoke (shots.py); "" for none."""
    fields: Mapping[str, Fit]
    least: float = 0.0
    """Below this no field is answered: what `promising` sets."""
    promises: Mapping[str, Promise] = {}
    """By the precision promised ("0.95"); one threshold for all fields, whose probabilities are fitted one by one."""

    @property
    def id(self) -> str:
        """Eight hex digits that change with what it does to answers."""
        return hashlib.sha256(self.model_dump_json(exclude={"promises"}).encode()).hexdigest()[:8]

    def chances(self, name: str, scores: Scores) -> dict[str, float]:
        """Calibrated probabilities of the values of a field that was fitted to them, by their texts."""
        fit = self.fields[name]
        if fit.closed:
            return fit.closed.chances(scores)
        if fit.open:
            found = {text: open_features(scores, text) for text in scores.candidates}
            return {
                text: expit(sum(w * x for w, x in zip(fit.open.weights, features, strict=True)))
                for text, features in found.items()
            }
        return dict(scores.model)

    def promising(self, precision: float, pool: str) -> Calibration:
        """This calibration, silent wherever an answer would break the promise of `precision`.

        Raises SettingsError for a precision that dev rows did not bear out, and for a `pool` of other labelled rows
        than those beside which they did.
        """
        if pool != self.pool:
            hint = "judge and calibrate anew with the labelled rows that are used now (python -m eval calibrate)"
            raise SettingsError("the calibration promises nothing beside other labelled rows", hint=hint)
        kept = self.promises.get(f"{precision:g}")
        if kept is None:
            hint = f"it can promise {', '.join(self.promises) or 'nothing'}; with more dev rows more can be promised"
            raise SettingsError(f"the calibration cannot promise a precision of {precision:g}", hint=hint)
        return self.model_copy(update={"least": kept.threshold})

    def threshold(self, name: str) -> float:
        """The probability under which a field is silent."""
        return max(self.least, self.fields[name].abstain_below if name in self.fields else 0.0)


def calibration_file(folder: Path, model: str, adapter: str | None = None) -> Path:
    """Where the calibration of a task's answers by `model` lies, alone or with an adapter (its name and id)."""
    name = model.replace("/", "--") + (f"+{adapter.replace('/', '--')}" if adapter else "")
    return folder / "calibration" / f"{name}.json"


def calibrations(folder: Path) -> Iterator[tuple[Path, Calibration | None]]:
    """The files of a task's calibrations, with what they hold; None for one that is no calibration."""
    for path in sorted((folder / "calibration").glob("*.json")):
        try:
            yield path, Calibration.model_validate_json(path.read_text("utf-8"))
        except ValueError:  # not JSON of one, or no UTF-8: whoever is asked by it says what is wrong
            yield path, None


def load_calibration(path: Path, expected: Mapping[str, Any]) -> Calibration | None:
    """The calibration in a file, None where there is none or where it was fitted with a pool and there is none now,
    or the other way round. (A pool that has grown changes little; promises are another matter: `promising`.)

    Raises TaskError if the file is broken, or was fitted for another task version, plan or model than
    `expected` names: its probabilities would mean nothing here.
    """
    if not path.is_file():
        return None
    hint = "fit it anew (python -m eval calibrate); for raw probabilities remove the file, or say calibrated=False"
    try:
        found = Calibration.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        raise TaskError(validation_text(error), where=str(path), hint=hint) from None
    if bool(found.pool) != bool(expected["pool"]):
        return None
    for key in ("task_version", "plan", "model", "adapter"):
        if getattr(found, key) != expected[key]:
            reason = f"fitted for {key} {getattr(found, key)}, this is {expected[key]}"
            raise TaskError(reason, where=str(path), hint=hint)
    return found


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration where `load_calibration` will find it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(calibration.model_dump_json()), ensure_ascii=False, indent=1)
    path.write_text(text + "\n", "utf-8")


def open_features(scores: Scores, text: str) -> list[float]:
    """FEATURES of one candidate."""
    written = text in scores.model
    others = [max(scores.model.get(t, 0), scores.rows.get(t, 0)) for t in scores.candidates if t != text]
    return [
        1.0,
        float(written),
        logit(scores.model[text]) if written else 0.0,
        logit(scores.least) if written else 0.0,
        logit(scores.rows[text]) if scores.rows else 0.0,
        logit(scores.shares[text]) if scores.rows else 0.0,
        logit(scores.usual) if scores.rows else 0.0,
        max(others, default=0.0),
        float(written and scores.inferred),
    ]


def logit(probability: float) -> float:
    """Log-odds, kept within what four decimals can tell apart: beyond, a model's and a row's say is no surer."""
    kept = min(max(probability, 1e-4), 1 - 1e-4)
    return math.log(kept / (1 - kept))


def expit(log_odds: float) -> float:
    """The inverse of `logit`."""
    return 1 / (1 + math.exp(-log_odds))
