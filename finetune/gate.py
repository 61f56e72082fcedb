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
from tagger.adapter import SEEN, find_adapter
from tagger.engines.vllm import MAX_RANK
from tagger.errors import TaskError
from tagger.example import Example

UNSEEN = "value: not seen in train rows"
"""The slice of values that labelled rows cannot have taught (eval/slices.py)."""
LEAST_ALIKE = 0.95
"""Share of their answers that have to be the same: the rest is rounding (served in bfloat16, and in float32)."""

Verdict = Literal["not needed", "accepted", "refused"]


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
    """How the adapter was trained."""
    versions: Mapping[str, str] = {}

    @property
    def reason(self) -> str:
        """What decided."""
        return next((check.told for check in self.checks if not check.passed), "all checks passed")


def needed(figure: Figure, target: float) -> Check:
    """Whether the task as it is falls short: the lower bound of its figure is below its target. Dev rows say so: were
    it the rows that judge, an adapter would be tried where these happen to be hard."""
    told = f"dev rows, as it is now: {figure} %; the target is {100 * target:.1f}"
    return Check(name="needed", passed=figure.low < target, told=told)


def fits(adapter: Path, expected: Mapping[str, object], engine: str) -> Check:
    """Whether it was trained for this task, plan and model, and the engine can serve it."""
    try:
        card = find_adapter(str(adapter), None, expected).card
    except TaskError as error:
        return Check(name="fits", passed=False, told=str(error))
    if engine == "vllm" and (card.rank > MAX_RANK or card.settings.get("dora")):
        return Check(name="fits", passed=False, told=f"vLLM serves ranks up to {MAX_RANK} and no DoRA")
    return Check(name="fits", passed=True, told=f"trained on {card.rows} rows for this task, plan and model")


def unspoilt(adapter: Path, train: Sequence[Example], judged: Sequence[Example]) -> Check:
    """Whether the adapter has seen none of the rows that judge it, and all of the train rows: only then do slices tell
    what is new to it."""
    path = adapter / SEEN
    seen = set(path.read_text("utf-8").split()) if path.is_file() else set()
    if not seen:
        told = f"the adapter does not say which rows it has seen ({SEEN}): train it with python -m finetune run"
        return Check(name="unseen rows", passed=False, told=told)
    leaked = [row.record.id for row, digest in zip(judged, digests(judged), strict=True) if digest in seen]
    if leaked:
        told = f"it has seen {len(leaked)} of the {len(judged)} rows that judge it, the first is {leaked[0]!r}"
        return Check(name="unseen rows", passed=False, told=told)
    if not train or not seen.issuperset(digests(train)):
        told = "the train rows given (--data) are not those of the adapter"
        return Check(name="unseen rows", passed=False, told=told)
    return Check(name="unseen rows", passed=True, told=f"it has seen none of the {len(judged)} rows that judge it")


def better(found: Comparison) -> list[Check]:
    """Whether it is better on all rows, not worse on values that no train row has, and worse in no slice."""
    figure = found.figure
    gain = f"{100 * (figure.b - figure.a):+.1f} points [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"
    checks = [Check(name="better", passed=found.verdict == "better", told=f"{found.measure}: {gain}; {found.sentence}")]
    unseen = next((part for part in found.slices if part.name == UNSEEN), None)
    if unseen is None:
        told = "none of the judged values is new to the train rows, or all are and the check above is theirs"
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
        f"the serving engine and PEFT agree on {found.alike} of {found.answers} answers "
        f"about {found.rows} records, probabilities differ by "
        f"{found.difference:.3f} on average; {found.spelled} of {found.written} written answers are spelled in other "
        "tokens than the trained ones"
    )
    return Check(name="parity", passed=found.alike >= LEAST_ALIKE * found.answers, told=told)
