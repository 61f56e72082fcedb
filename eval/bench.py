"""Our rate beside that of what a competent user would write: same rows, model, threads and machine, in one run.

The rows go through every side in turn, in rounds, so that a machine that slows down slows all of them; a ratio has the
spread of its rounds. Beside each rate stands what came of it: right values, so that nothing is bought with quality.
Loading and compiling are left out; every side warms up on a row of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

from eval.limit import Limit, measure
from eval.rivals import Outlined, Values, chatted
from eval.score import Counts
from eval.sets import DEFAULT_SPLIT, labelled_set, refuse_leaks, rows, sample
from tagger.engines.transformers import TransformersEngine
from tagger.engines.vllm import VllmEngine
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.plan import Form, Shots
from tagger.record import Record
from tagger.result import Tagging
from tagger.shots import ShotPool

SIDES = {
    "a": "Outlines, transformers: a call a product",
    "b": "Outlines, transformers: .batch",
    "c": "vLLM: LLM.chat in one batch, JSON schema",
    "d": "ours on transformers",
    "e": "ours on vLLM",
}
Side = Callable[[Sequence[Example]], list[Values]]


@dataclass(frozen=True, slots=True)
class Setting:
    """A set and how many examples are shown: fixed ones that are shipped, or retrieved ones of the train rows."""

    set: str
    fixed: int
    retrieved: int
    rows: int
    """In a quick run; four times as many in a full one."""
    sides: str
    form: Form | None = None
    """How it is asked, if not as the task's plan has it."""

    @property
    def name(self) -> str:
        """As it stands in tables."""
        shown = f"{self.fixed} fixed" if self.fixed else f"{self.retrieved} retrieved" if self.retrieved else "no"
        return f"{self.set}, {shown} shots"


SETTINGS = (
    Setting("category", 0, 0, 24, "abcde"),
    Setting("category", 60, 0, 4, "abcde"),
    Setting("category", 0, 3, 12, "abcde"),
    Setting("ae-110k", 0, 0, 8, "cde", "dense"),  # what dev rows chose without examples (plans/no-rows)
    Setting("ae-110k", 0, 10, 8, "cde"),
)
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Rate:
    """What a side did in a setting: rows a second, over all rounds, and values right, answered and labelled."""

    setting: str
    side: str
    rows: int
    seconds: tuple[float, ...]
    """Of each round."""
    right: int
    answered: int
    labelled: int
    fresh: float
    """Tokens that had to be computed, a row: read but not cached, and written; 0 where a side does not say."""

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / sum(self.seconds)

    @property
    def f1(self) -> float:
        """Of the values, an invented one being wrong; of a label the share right."""
        return Counts(self.right, self.answered, self.labelled).f1


def ratio(ours: Rate, theirs: Rate) -> tuple[float, float, float]:
    """How many times faster ours is: the median of the rounds, the least and the most."""
    found = [slow / fast for fast, slow in zip(ours.seconds, theirs.seconds, strict=True)]
    return median(found), min(found), max(found)


def bench(
    root: Path, here: TransformersEngine, served: VllmEngine, *, quick: bool, told: Callable[[str], None]
) -> tuple[list[Rate], Limit]:
    """All settings on the sets in `root`, and the limits of the machine for the model."""
    found, outlined = [], Outlined(here)
    for setting in SETTINGS:
        told(setting.name)
        found += _setting(setting, root, here, served, outlined, setting.rows * (1 if quick else 4))
    return found, measure(here.hf_model)


def as_json(found: Sequence[Rate], limit: Limit) -> dict[str, Any]:
    """Everything that was measured, and what follows from it."""
    sides = [{**asdict(r), "side_name": SIDES[r.side], "rate": r.rate, "f1": r.f1} for r in found]
    return {"rates": sides, "ratios": ratios(found), "limit": asdict(limit) | {"reached": reached(found, limit)}}


def ratios(found: Sequence[Rate]) -> list[dict[str, Any]]:
    """Ours on each engine against each rival, setting by setting."""
    of = {(r.setting, r.side): r for r in found}
    lines = []
    for (setting, side), theirs in of.items():
        for own in "de" if side in "abc" else "":
            middle, low, high = ratio(of[setting, own], theirs)
            lines.append({"setting": setting, "ours": own, "rival": side, "ratio": middle, "low": low, "high": high})
    return lines


def reached(found: Sequence[Rate], limit: Limit) -> dict[str, float]:
    """By setting, what ours on transformers reaches of the machine's multiplying, by the tokens not cached."""
    return {r.setting: limit.share(r.fresh * r.rows, sum(r.seconds)) for r in found if r.side == "d"}


def show(found: Sequence[Rate], limit: Limit, out: Console) -> None:
    """Rates, ratios and what was reached of the machine, for people."""
    table = Table("setting", "side", "rows/s", "F1", "right", "d faster", "e faster")
    against = {(line["setting"], line["rival"], line["ours"]): line for line in ratios(found)}
    for rate in found:
        faster = [against.get((rate.setting, rate.side, own)) for own in "de"]
        told = [f"{line['ratio']:.1f} ({line['low']:.1f} to {line['high']:.1f})" if line else "" for line in faster]
        told = [f"{rate.rate:.2f}", f"{rate.f1:.3f}", f"{rate.right} of {rate.labelled}", *told]
        table.add_row(rate.setting, f"{rate.side}: {SIDES[rate.side]}", *told)
    out.print(table)
    speed = f"{limit.flops / 1e9:,.0f} GFLOP/s, {limit.bandwidth / 1e9:.1f} GB/s"
    weights = f"{limit.weights / 1e6:,.0f} million weights outside the embedding"
    out.print(f"machine: {speed}; {weights}", highlight=False, soft_wrap=True)
    for setting, share in reached(found, limit).items():
        out.print(f"{setting}: {share:.0%} of the multiplying, for tokens not cached", highlight=False, soft_wrap=True)


def _setting(
    setting: Setting, root: Path, here: TransformersEngine, served: VllmEngine, outlined: Outlined, count: int
) -> list[Rate]:
    task, labelled = labelled_set(setting.set, root)
    asks = [ask.model_copy(update={"form": setting.form or ask.form}) for ask in task.plan.ask]
    shots = Shots(fixed=setting.fixed, retrieved=setting.retrieved)
    plan = task.plan.model_copy(update={"ask": tuple(asks), "shots": shots})
    task = replace(task, plan=plan)
    pool = rows(task, labelled, root, "train") if setting.retrieved else []
    drawn = sample(rows(task, labelled, root, DEFAULT_SPLIT), count + 1, 0)
    refuse_leaks(drawn, pool)
    taggers = {
        "d": Tagger(task, engine=here, shots=pool, calibrated=False),
        "e": Tagger(task, engine=served, shots=pool, calibrated=False),
    }
    ask, kept = plan.ask[0], dict[str, list[Tagging]](d=[], e=[])

    near = ShotPool(task, pool) if pool else None

    def shown(records: Sequence[Record]) -> list[list[Example]]:
        if near:
            return [list(shots) for shots in near.nearest(records, setting.retrieved)]
        fixed = task.examples[: setting.fixed]
        return [[e for e in fixed if task.asked(e.record) == task.asked(record)] for record in records]

    def with_outlines(answer: Any, examples: Sequence[Example]) -> list[Values]:
        records = [e.record for e in examples]
        answers: list[Values] = answer([task.asked(r) for r in records], taggers["d"].prompts(ask, records))
        return answers

    def ours(side: str, examples: Sequence[Example]) -> list[Values]:
        taggings = taggers[side].tag_records([e.record for e in examples])
        kept[side] += taggings
        return [{n: tag.value for n, tag in t.tags.items() if tag.value is not None} for t in taggings]

    sides: Mapping[str, Side] = {
        "a": partial(with_outlines, outlined.one_by_one),
        "b": partial(with_outlines, outlined.in_batches),
        "c": lambda examples: chatted(served, task, [e.record for e in examples], shown([e.record for e in examples])),
        "d": partial(ours, "d"),
        "e": partial(ours, "e"),
    }
    chosen = {name: sides[name] for name in setting.sides}
    for answer in chosen.values():
        answer(drawn[:1])
    for taggings in kept.values():
        taggings.clear()
    return _rounds(setting.name, chosen, drawn[1:], kept)


def _rounds(
    name: str, sides: Mapping[str, Side], examples: Sequence[Example], kept: Mapping[str, Sequence[Tagging]]
) -> list[Rate]:
    size = -(-len(examples) // ROUNDS)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    given: dict[str, list[Values]] = {side: [] for side in sides}
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        for side, answer in sides.items():
            begun = perf_counter()
            given[side] += answer(part)
            seconds[side].append(perf_counter() - begun)
    found = []
    for side, answers in given.items():
        right = sum(e.is_right(n, v) for e, a in zip(examples, answers, strict=True) for n, v in (a or {}).items())
        answered = sum(len(answer or {}) for answer in answers)
        labelled = sum(len(example.answer) for example in examples)
        fresh = [t.tokens.read - t.tokens.cached + t.tokens.written for t in kept.get(side, ())]
        mean = sum(fresh) / len(fresh) if fresh else 0.0
        found.append(Rate(name, side, len(examples), tuple(seconds[side]), right, answered, labelled, mean))
    return found
