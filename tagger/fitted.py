"""A task and an engine in, what was made for the two of them out: adapter and calibration; and whether the engine sees.

What was made for another version, plan or model is refused.
"""

from __future__ import annotations

from pathlib import Path

from tagger.adapter import find_adapter
from tagger.calibration import Calibration, calibration_file, calibrations, load_calibration
from tagger.engines import blind
from tagger.engines.base import Engine, EngineInfo
from tagger.errors import SettingsError
from tagger.task import Task

LOCAL = frozenset({"transformers", "vllm"})
"""Engines that read an adapter's folder."""


def see_to_sight(task: Task, engine: Engine) -> None:
    """Raise SettingsError for a model that sees no pictures where the task has some to show."""
    columns = task.picture_columns
    if columns and (reason := blind(engine)):
        told = f"task {task.id!r} shows the picture in column {columns[0]!r}"
        hint = "choose a vision-language model with --model, or take the column out of task.toml"
        raise SettingsError(f"{told}, which {engine.info.model!r} does not take: {reason}", hint=hint)


def served(named: str, task: Task, info: EngineInfo, *, pooled: bool) -> tuple[str, str]:
    """What the engine calls an adapter, and what a tagging calls it. A server has its own names for adapters."""
    if info.engine not in LOCAL:
        return named, named
    expected = {
        "task_version": task.version,
        "plan": task.plan.id,
        "model": info.model,
        "pooled": pooled,
    }
    found = find_adapter(named, task.folder, expected)
    return str(found.folder), f"{Path(named).name}@{found.id}"


def calibration_of(task: Task, model: str, adapter: str | None, pool: str) -> Calibration | None:
    """The calibration of a task for a model; None where there is none. `pool` is the id of the labelled rows."""
    if task.folder is None:
        return None
    made = {"task_version": task.version, "plan": task.plan.id, "model": model, "adapter": adapter}
    path = calibration_file(task.folder, model, adapter)
    return load_calibration(path, {**made, "pool": pool})


def unfit(task: Task) -> list[Path]:
    """The calibrations in a task's folder that were fitted for another version or plan of it, or that are none."""
    made = task.version, task.plan.id
    found = calibrations(task.folder) if task.folder else ()
    return [path for path, one in found if one is None or (one.task_version, one.plan) != made]


def promising(calibration: Calibration | None, promise: float, pool: str) -> Calibration:
    """The same calibration, silent where it cannot keep a promise; SettingsError where nothing can be promised."""
    if not 0 < promise < 1:
        raise SettingsError(f"a promise is a share between 0 and 1, found {promise:g}", hint="0.95, for instance")
    if calibration is None:
        hint = "fit one on labelled rows, with or without --shots as here: python -m eval calibrate"
        raise SettingsError("without a calibration nothing can be promised", hint=hint)
    return calibration.promising(promise, pool)
