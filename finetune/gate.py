"""Two runs over rows that the adapter has not seen in, a decision out: whether it may take the prompt's place.

An adapter is promoted if it is needed, better in a paired test, worse in no slice and not on values that no train row
has, and if the engine that serves it says what PEFT says. Every decision says what was looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from eval.compare import LEVEL, Comparison
from eval.figures import Figure
from finetune.parity import Parity
from finetune.rows import digests
from tagger.adapter import SEEN
from tagger.errors import TaskError
from tagger.example import Example

UNSEEN = "value: not seen in train rows"
"""The slice of values that labelled rows cannot have taught (eval/slices.py)."""
LEAST_ALIKE = 0.95
"""Share of records on which the serving engine and PEFT have to give the same answers: the rest is rounding."""

Verdict = Literal["not needed", "promoted", "refused"]


class Check(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    passed: bool
    told: str


class Decision(BaseModel):
    """What became of an adapter, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    task_version: str
    model: str
    plans: tuple[str, str]
    """Before, and with the adapter."""
    adapters: tuple[str | None, str | None]
    rows: str
    """What it was judged on."""
    verdict: Verdict
    checks: tuple[Check, ...]
    figures: Mapping[str, tuple[float | None, float | None]] = {}
    """Before, and with the adapter."""
    settings: Mapping[str, object] = {}
    versions: Mapping[str, str] = {}

    @property
    def reason(self) -> str:
        """What decided."""
        return next((check.told for check in self.checks if not check.passed), "all checks passed")


def needed(figure: Figure, target: float) -> Check:
    """Whether the prompt alone falls short: the lower bound of its figure is below the task's target."""
    told = f"without the adapter {figure} %; the target is {100 * target:.1f}"
    return Check(name="needed", passed=figure.low < target, told=told)


def unspoilt(adapter: Path, judged: Sequence[Example]) -> Check:
    """Whether the adapter has seen none of the rows that judge it. TaskError for one that does not say what it saw."""
    path = adapter / SEEN
    if not path.is_file():
        hint = "train it with python -m finetune run, which keeps that"
        raise TaskError(f"the adapter does not say which rows it has seen (no {SEEN})", where=str(adapter), hint=hint)
    seen = set(path.read_text("utf-8").split())
    leaked = [row.record.id for row, digest in zip(judged, digests(judged), strict=True) if digest in seen]
    told = f"it has seen {len(leaked)} of the {len(judged)} rows that judge it"
    return Check(name="unseen rows", passed=not leaked, told=told + (f", the first is {leaked[0]!r}" if leaked else ""))


def better(found: Comparison) -> list[Check]:
    """Whether it is better on all rows, not worse on values that no train row has, and worse in no slice."""
    figure = found.figure
    gain = f"{100 * (figure.b - figure.a):+.1f} points [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"
    checks = [Check(name="better", passed=found.verdict == "better", told=f"{found.measure}: {gain}; {found.sentence}")]
    unseen = next((part for part in found.slices if part.name == UNSEEN), None)
    if unseen is None:
        told = "no judged row has a value that no train row has"
    else:
        told = (
            f"values that no train row has: {100 * unseen.a:.1f} -> {100 * unseen.b:.1f} % over {unseen.rows} records"
        )
    lost = unseen is not None and unseen.b < unseen.a and unseen.p < LEVEL
    checks.append(Check(name="unseen values", passed=not lost, told=told))
    worse = [part for part in found.slices if part.b < part.a and part.adjusted < LEVEL]
    told = "; ".join(f"{part.name}: {100 * part.a:.1f} -> {100 * part.b:.1f} %" for part in worse)
    told = f"worse in {told}" if worse else f"worse in none of {len(found.slices)} slices"
    return [*checks, Check(name="no slice worse", passed=not worse, told=told)]


def served(found: Parity) -> Check:
    """Whether the engine that serves the adapter gives the answers that PEFT gives."""
    told = (
        f"the serving engine and PEFT agree on {found.alike} of {found.rows} records, probabilities differ by "
        f"{found.difference:.3f} on average; {found.spelled} of {found.written} written answers are spelled in other "
        "tokens than the trained ones"
    )
    return Check(name="parity", passed=found.alike >= LEAST_ALIKE * found.rows, told=told)
