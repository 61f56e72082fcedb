"""A decision in, the task that names the adapter out; and back again.

An adapter's plan and calibration lie in files of their own beside the task's; that they are read follows from two
lines of task.toml, `adapter` and `plan`, which a promotion or a rollback replaces at one stroke. So the task serves at
any moment either as before or as decided.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, ConfigDict, ValidationError

from eval.plan import plan_text
from finetune.gate import Decision
from tagger.calibration import Calibration, calibration_file, save_calibration
from tagger.errors import SettingsError, TaskError
from tagger.plan import Plan, validation_text
from tagger.sinks import write_whole
from tagger.task import Task, load_task

DECISIONS = "decisions"
DEFINITION = "task.toml"


class Record(BaseModel):
    """A decision, and what task.toml named before it if it changed that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Decision
    promoted: bool = False
    rolled_back: bool = False
    adapter_before: str | None = None
    plan_before: str | None = None


def keep(folder: Path, record: Record) -> Path:
    """Write a decision down in `folder`/decisions, numbered; its path."""
    place = folder / DECISIONS
    place.mkdir(parents=True, exist_ok=True)
    last = max((int(path.stem) for path in place.glob("[0-9]*.json")), default=0)
    path = place / f"{last + 1:04}.json"
    write_whole(path, record.model_dump_json(indent=1) + "\n")
    return path


def promote(task: Task, plan: Plan, adapter: Path, calibration: Calibration | None, decision: Decision) -> Path:
    """Let the task name the adapter, asked by `plan` with `calibration`; the record of it.

    Raises SettingsError for a task without a folder of its own, and for one that was changed since it was tried.
    """
    folder = _folder(task)
    now = load_task(folder)
    if now.version != decision.task_version:
        raise SettingsError("the task was changed while the adapter was tried", where=str(folder), hint="try it again")
    named = {"adapter": _named(folder, adapter), "plan": now.definition.plan}
    if plan.id != now.plan.id:
        named["plan"] = f"plan.{plan.id}.toml"
        write_whole(folder / named["plan"], plan_text(plan))
    if calibration:
        save_calibration(calibration_file(folder, decision.model, calibration.adapter), calibration)
    before = tomlkit.parse((folder / DEFINITION).read_text("utf-8"))
    record = Record(
        decision=decision, promoted=True, adapter_before=before.get("adapter"), plan_before=before.get("plan")
    )
    path = keep(folder, record)
    _name(folder, named["adapter"], None if named["plan"] == "plan.toml" else named["plan"])
    return path


def rollback(task: Task) -> Path:
    """Let task.toml name what it named before the last promotion; the record of that promotion, now marked.

    Raises SettingsError where nothing was promoted, TaskError for a broken record.
    """
    folder = _folder(task)
    for path in sorted((folder / DECISIONS).glob("[0-9]*.json"), reverse=True):
        try:
            found = Record.model_validate_json(path.read_text("utf-8"))
        except ValidationError as error:
            raise TaskError(validation_text(error), where=str(path)) from None
        if found.promoted and not found.rolled_back:
            _name(folder, found.adapter_before, found.plan_before)
            write_whole(path, found.model_copy(update={"rolled_back": True}).model_dump_json(indent=1) + "\n")
            return path
    raise SettingsError("no promotion to roll back", where=str(folder / DECISIONS))


def has_folder(task: Task) -> bool:
    """Whether the task has a task.toml in which an adapter can be named."""
    return task.folder is not None and (task.folder / DEFINITION).is_file()


def _folder(task: Task) -> Path:
    if not has_folder(task) or task.folder is None:
        raise SettingsError("the task has no folder of its own in which it could name an adapter")
    return task.folder


def _named(folder: Path, adapter: Path) -> str:
    """How task.toml calls an adapter: by a path relative to it if it lies inside."""
    whole, home = adapter.resolve(), folder.resolve()
    return str(whole.relative_to(home) if whole.is_relative_to(home) else whole)


def _name(folder: Path, adapter: str | None, plan: str | None) -> None:
    """Replace the two lines of task.toml, and leave the rest as it is."""
    document = tomlkit.parse((folder / DEFINITION).read_text("utf-8"))
    values: dict[str, Any] = {"adapter": adapter, "plan": plan}
    for key, value in values.items():
        if value is not None:
            document[key] = value
        elif key in document:
            del document[key]
    write_whole(folder / DEFINITION, tomlkit.dumps(document))
