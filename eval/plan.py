"""A task and dev rows in, the plan that they choose out: by accuracy, then by the tokens that it costs.

Candidates are thinned by successive halving (Jamieson & Talwalkar 2016): all are tried on a few rows, the better
half on as many again, until the rows are used up. Of the best plan the other order of the shots is tried, and the
weight of what labelled rows say, which costs no tokens: the same run is decided anew. A larger model can have the last
word between the two that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import tomli_w

from eval.calibrate import redo
from eval.record import Run
from eval.run import header_of, run
from eval.score import counts, judge
from tagger.engines.base import Engine
from tagger.errors import SourceError, TaskError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.plan import CODES, Ask, Plan, Shots, resolve
from tagger.task import Task

FIRST = 24
"""Dev rows of the first round; each further round has twice as many in all."""
PRIORS = (1.0, 0.5, 2.0, 4.0, 8.0, 0.0)
"""Weights of the labelled rows' view that are tried, after the task's own; of equals, the first."""
SHOTS = ((1, 0), (3, 0), (6, 0), (10, 0), (1, 8), (3, 8))
"""Retrieved and common shots that are tried with a pool."""
FIXED, LISTED = (0, 20, 60), (10, 20)
MANY_LABELS = 50
"""From so many labels on, shortlists are tried."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A plan, and what it did on the first `rows` dev rows.

    `f1` is strict and micro; for one required field it is the share of right values. `tokens` are those of a record
    that did not come from a cache, and those written.
    """

    plan: Plan
    rows: int
    f1: float
    tokens: float


def candidates(task: Task, with_pool: bool) -> list[Plan]:
    """Plans worth trying for a task: forms, numbers of shots and, for many labels, shortlists."""
    if task.plan.ask != (task.plan.ask[0],) or task.plan.ask[0].as_object:
        asks = [task.plan.ask]  # several fields are asked as the task's own plan has it
    else:
        name = task.plan.ask[0].fields[0]
        values = len(task.fields[name].closed or {})
        lists = (0, *LISTED) if values >= MANY_LABELS else (0,)
        asks = [(Ask(form="label", fields=(name,), shortlist=listed),) for listed in lists]
        if _by_levels(task, levels := Ask(form="levels", fields=(name,))):
            asks.append((levels,))
        if values <= len(CODES):
            asks.append((Ask(form="codes", fields=(name,)),))
    if with_pool:
        shown = [_with(task.plan, retrieved=near, common=common) for near, common in SHOTS]
    else:
        shown = [_with(task.plan, fixed=count) for count in FIXED]
    return [plan.model_copy(update={"ask": ask}) for ask, plan in product(asks, shown)]


def _by_levels(task: Task, ask: Ask) -> bool:
    """Whether the task can be asked so: of a path whose labels are leaves alone."""
    try:
        resolve(task.plan.model_copy(update={"ask": (ask,), "votes": 1}), task.fields, "")
    except TaskError:
        return False
    return True


def search(
    task: Task,
    engine: Engine,
    dev: Sequence[Example],
    pool: Sequence[Example],
    heard: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """The last trials of the best plan and the next best; `heard` is told every trial as it ends.

    Raises SourceError for fewer than FIRST dev rows.
    """
    if len(dev) < FIRST:
        raise SourceError(f"{len(dev)} dev rows are too few to choose on; at least {FIRST} are needed")
    runs: dict[Plan, Run] = {}
    left, upto = candidates(task, bool(pool)), FIRST
    while True:
        trials = []
        for plan in left:
            runs[plan] = _more(task, engine, plan, dev[:upto], pool, runs.get(plan))
            trials.append(_trial(task, plan, runs[plan], dev, None))
            heard(trials[-1])
        trials.sort(key=lambda trial: (-trial.f1, trial.tokens))
        if upto == len(dev):
            break
        left, upto = [trial.plan for trial in trials[: -(-len(trials) // 2)]], min(2 * upto, len(dev))
    best, *others = trials
    if not pool:
        return [best, *others[:1]]
    if best.plan.shots.retrieved > 1:
        order: Literal["last", "first"] = "first" if best.plan.shots.nearest == "last" else "last"
        turned = _with(best.plan, nearest=order)
        runs[turned] = _more(task, engine, turned, dev, pool, None)
        other = _trial(task, turned, runs[turned], dev, None)
        heard(other)
        best = max(best, other, key=lambda trial: trial.f1)
    priors = dict.fromkeys((best.plan.shots.prior, *PRIORS))
    weighed = [_trial(task, best.plan, runs[best.plan], dev, prior) for prior in priors]
    for trial in weighed:
        heard(trial)
    return [max(weighed, key=lambda trial: trial.f1), *others[:1]]


def confirm(
    task: Task,
    engine: Engine,
    dev: Sequence[Example],
    pool: Sequence[Example],
    plans: Sequence[Plan],
    heard: Callable[[Trial], None] = lambda trial: None,
) -> Trial:
    """The best of a few plans on the engine that is to serve, over all dev rows."""
    trials = [_trial(task, plan, _more(task, engine, plan, dev, pool, None), dev, None) for plan in plans]
    for trial in trials:
        heard(trial)
    return min(trials, key=lambda trial: (-trial.f1, trial.tokens))


def write_plan(path: Path, chosen: Trial, model: str) -> None:
    """Write a plan where `load_plan` finds it, with a word on how it was chosen."""
    said = f"# Chosen on {chosen.rows} dev rows with {model}: strict F1 {100 * chosen.f1:.1f} %, "
    said += f"{chosen.tokens:.0f} tokens a record.\n\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(said + plan_text(chosen.plan), "utf-8")


def plan_text(plan: Plan) -> str:
    """A plan as plan.toml has it."""
    return tomli_w.dumps(plan.model_dump(mode="json", exclude_defaults=True))


def _more(
    task: Task, engine: Engine, plan: Plan, rows: Sequence[Example], pool: Sequence[Example], begun: Run | None
) -> Run:
    """A run of the plan over `rows`, those of `begun` not asked again."""
    tagger = Tagger(replace(task, plan=plan), engine=engine, shots=pool or None, calibrated=False)
    header = header_of(tagger, rows, set_name=task.id, split="dev", sample=None, seed=0, shots=len(pool))
    done = begun.rows if begun else []
    return Run(header, [*done, *run(tagger, rows[len(done) :], header).rows])


def _with(plan: Plan, **shots: object) -> Plan:
    return plan.model_copy(update={"shots": plan.shots.model_copy(update=shots)})


def _trial(task: Task, plan: Plan, found: Run, dev: Sequence[Example], prior: float | None) -> Trial:
    if prior is not None:
        plan = _with(plan, prior=prior)
    decided = redo(found, task.fields, None, prior)
    tokens = sum(read - cached + written for read, cached, written in (row.tokens for row in found.rows))
    f1 = counts(judge(decided, task, dev)).f1
    return Trial(plan, len(found.rows), f1, tokens / len(found.rows))


def in_words(plan: Plan, with_pool: bool) -> str:
    """A plan in a few words, for a table."""
    asked = ", ".join(f"{ask.form}" + (f" of {ask.shortlist}" if ask.shortlist else "") for ask in plan.ask)
    shots: Shots = plan.shots
    common = f" + {shots.common} common" if shots.common else ""
    first = ", nearest first" if shots.nearest == "first" else ""
    with_rows = f"{asked}; {shots.retrieved}{common} shots{first}, rows^{shots.prior:g}"
    return with_rows if with_pool else f"{asked}; {shots.fixed} shots"
