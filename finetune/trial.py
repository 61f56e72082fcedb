"""A task and its labelled rows in, a decision about an adapter out: both sides run, calibrated, compared.

Everything that takes long is kept in one folder (the adapter, a run file for each side and split), so a trial that was
killed goes on where it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path

from eval.calibrate import calibrate, redo
from eval.compare import Judged, compare
from eval.figures import Figure
from eval.metrics import trust
from eval.run import header_of, run
from eval.score import judge
from eval.sets import refuse_leaks
from eval.slices import task_figure
from eval.table import promised
from finetune.adapt import adapt
from finetune.augment import refuse_few
from finetune.export import merge
from finetune.gate import Check, Decision, Verdict, better, fits, needed, served, unspoilt
from finetune.parity import Overheard, Parity, parity
from finetune.train import Recipe
from tagger.adapter import read_card
from tagger.calibration import Calibration
from tagger.engines import chat_tokenizer, model_folder, open_engine
from tagger.engines.base import Engine
from tagger.errors import SourceError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.plan import Plan
from tagger.task import Task

PARITY_ROWS = 48
"""Records that are also answered through PEFT."""
PROMISE = 0.95
"""Precision at which the coverage of both sides is told."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: the task as it is, against an adapter asked by `plan`."""

    task: Task
    plan: Plan
    train: Sequence[Example]
    dev: Sequence[Example]
    judged: Sequence[Example]
    """Rows that neither side has seen."""
    target: float
    """The figure that the task is to reach, 0 to 1 (eval/slices.py: task_figure)."""
    model: str
    folder: Path
    pooled: bool = False
    """Whether the train rows are the pool, as with --shots: shown where the plan says so, and speaking beside."""
    names: tuple[str, str, str] = ("own", "own", "own")
    """Set, dev split and judged split, for the headers of the runs."""
    drawn: tuple[int | None, int | None] = (None, None)
    """How many rows were drawn of the dev split and of the judged one, with `seed`; None: all."""
    seed: int = 0
    engine: str = "auto"
    recipe: Recipe = field(default_factory=Recipe)
    told: Callable[[str], None] = lambda line: None
    """Hears what is being done."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side's judged run, decided by the calibration that its dev rows gave, if they were enough; `dev` is the
    task's figure on those, each decided by a calibration of the others."""

    judged: Judged
    dev: Figure
    calibration: Calibration | None
    promise: Judged | None
    """The same with silence below PROMISE; None where dev rows do not bear it out."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision, with what a promotion needs."""

    decision: Decision
    adapter: Path
    calibration: Calibration | None = None


def hold(trial: Trial, adapter: Path | None = None) -> Outcome:
    """Train an adapter if one is needed, or take the given one, and decide whether it takes over.

    Raises SourceError for rows that are in two of train, dev and judged, else as `adapt` and `Tagger`.
    """
    refuse_leaks(trial.judged, [*trial.train, *trial.dev])
    refuse_leaks(trial.dev, trial.train)
    if adapter is None:
        refuse_few(trial.train, trial.task, trial.recipe.least)
    with _opened(trial) as engine:
        before, serving = _side(trial, trial.task, engine, "before"), engine.info.engine
    checks = [needed(before.dev, trial.target)]
    folder = adapter or trial.folder / "adapter"
    if not checks[0].passed:
        return Outcome(_decision(trial, "not needed", checks, before, None, {}), folder)
    if adapter is None:
        trial.told("training")
        asked = replace(trial.task, plan=trial.plan)
        adapt(asked, trial.train, trial.dev, trial.recipe, trial.model, folder, shots=trial.pooled)
    expected = {"task_version": trial.task.version, "plan": trial.plan.id, "model": trial.model, "pooled": trial.pooled}
    checks.append(fits(folder, expected, serving))
    if checks[-1].passed:
        checks.append(unspoilt(folder, trial.train, trial.judged))
    if not checks[-1].passed:
        return Outcome(_decision(trial, "refused", checks, before, None, {}), folder)
    after, found = _adapted(trial, folder)
    compared = compare(before.judged, after.judged, trial.judged, trial.task, trial.train)
    checks += [*better(compared), served(found)]
    verdict: Verdict = "accepted" if all(check.passed for check in checks) else "refused"
    settings = read_card(folder).settings
    return Outcome(_decision(trial, verdict, checks, before, after, settings), folder, after.calibration)


def named(task: Task, adapter: Path | None, plan: Plan) -> Task:
    """The task as it would be with an adapter and a plan."""
    definition = task.definition.model_copy(update={"adapter": str(adapter.resolve()) if adapter else None})
    return replace(task, definition=definition, plan=plan)


@contextmanager
def _opened(trial: Trial) -> Iterator[Engine]:
    engine = open_engine(trial.engine, trial.model, adapters=True)
    try:
        yield engine
    finally:
        engine.close()


def _adapted(trial: Trial, adapter: Path) -> tuple[Side, Parity]:
    """The adapter's side, and how its answers agree with PEFT's."""
    task = named(trial.task, adapter, trial.plan)
    records = [row.record for row in trial.judged[:PARITY_ROWS]]
    with _opened(trial) as engine:
        after = _side(trial, task, engine, "after")
        heard = Overheard(engine)
        ours = _tagger(trial, task, heard).tag_records(records)
    with tempfile.TemporaryDirectory(dir=trial.folder) as place:
        merged = Path(place) / "merged"
        merge(model_folder(trial.model), adapter, merged, "float32")
        reference = open_engine("transformers", str(merged))
        theirs = _tagger(trial, named(trial.task, None, trial.plan), reference).tag_records(records)
        reference.close()
    return after, parity(ours, theirs, heard, chat_tokenizer(trial.model))


def _tagger(trial: Trial, task: Task, engine: Engine) -> Tagger:
    return Tagger(task, engine=engine, shots=trial.train if trial.pooled else None, calibrated=False)


def _side(trial: Trial, task: Task, engine: Engine, name: str) -> Side:
    tagger = _tagger(trial, task, engine)
    set_name, *splits = trial.names
    runs = []
    parts = zip(("dev", "judged"), (trial.dev, trial.judged), splits, trial.drawn, strict=True)
    for part, rows, split, drawn in parts:
        header = header_of(
            tagger, rows, set_name=set_name, split=split, sample=drawn, seed=trial.seed,
            shots=len(trial.train) if trial.pooled else 0,
        )  # fmt: skip
        trial.told(f"{name}: {len(rows)} {part} rows")
        runs.append(run(tagger, rows, header, path=trial.folder / f"{name}.{part}.jsonl.gz"))
    dev, judged = runs
    try:
        fitted, out_of_fold = calibrate(dev, lambda part: judge(part, task, trial.dev), task.fields)
    except SourceError as error:
        trial.told(f"{name}: probabilities stay raw, nothing can be promised ({error.message})")
        figure = task_figure(judge(dev, task, trial.dev), task)
        return Side(Judged(judged, judge(judged, task, trial.judged)), figure, None, None)

    def decided(calibration: Calibration) -> Judged:
        return Judged(judged, judge(redo(judged, task.fields, calibration), task, trial.judged))

    kept = fitted.promising(PROMISE, fitted.pool) if f"{PROMISE:g}" in fitted.promises else None
    return Side(decided(fitted), task_figure(out_of_fold, task), fitted, decided(kept) if kept else None)


def _decision(
    trial: Trial,
    verdict: Verdict,
    checks: Sequence[Check],
    before: Side,
    after: Side | None,
    settings: Mapping[str, object],
) -> Decision:
    told = [_figures(side, trial.task) if side else {} for side in (before, after)]
    return Decision(
        task=trial.task.id,
        task_version=trial.task.version,
        model=trial.model,
        plans=(before.judged.run.header.plan, after.judged.run.header.plan if after else trial.plan.id),
        adapters=(before.judged.run.header.adapter, after.judged.run.header.adapter if after else None),
        rows=f"{trial.names[0]}, {trial.names[2]}: {len(trial.judged)} rows ({before.judged.run.header.rows_id})",
        verdict=verdict,
        checks=tuple(checks),
        figures={name: (told[0].get(name), told[1].get(name)) for name in dict.fromkeys([*told[0], *told[1]])},
        settings=settings,
        versions=before.judged.run.header.versions,
    )


def _figures(side: Side, task: Task) -> Mapping[str, float | None]:
    rows = side.judged.run.rows
    fresh = sum(read - cached for read, cached, _ in (row.tokens for row in rows)) / len(rows)
    kept = promised(PROMISE, side.promise.verdicts) if side.promise else {}
    return {
        "figure": task_figure(side.judged.verdicts, task).value,
        **{m.name: None if isnan(m.figure.value) else m.figure.value for m in trust(side.judged.verdicts)},
        "fresh tokens a record": fresh,
        "written tokens a record": sum(row.tokens[2] for row in rows) / len(rows),
        **{name: figure.value for name, figure in kept.items()},
    }
