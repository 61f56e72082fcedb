"""A decision in, the task that names the adapter out; and back again.

What a promotion changes are at most three files of the task: the line `adapter` in task.toml, plan.toml and the
calibration of its model. What stood there before is kept in `decisions/`, so that one command brings it back.
task.toml is written last: until then the task serves as it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tomlkit
from pydantic import BaseModel, ConfigDict, ValidationError

from eval.plan import plan_text
from finetune.gate import Decision
from tagger.calibration import Calibration, calibration_file, calibration_text
from tagger.errors import SettingsError, TaskError
from tagger.plan import Plan, validation_text
from tagger.task import Task

DECISIONS = "decisions"
DEFINITION = "task.toml"


class Promotion(BaseModel):
    """A decision that changed a task, with the files that it changed as they were; None: there was none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Decision
    before: Mapping[str, str | None]
    rolled_back: bool = False


def promote(task: Task, plan: Plan, adapter: Path, calibration: Calibration | None, decision: Decision) -> Path:
    """Let the task name the adapter, asked by `plan` with `calibration`; the record of it. SettingsError for a task
    without a folder of its own."""
    folder = _folder(task)
    own = calibration_file(folder, decision.model).relative_to(folder)
    texts = {
        str(own): calibration_text(calibration) if calibration else None,
        "plan.toml": plan_text(plan),
        DEFINITION: _naming(folder, adapter),
    }
    if plan.id == task.plan.id:
        del texts["plan.toml"]
    before = {name: _read(folder / name) for name in texts}
    record = _next(folder)
    record.parent.mkdir(exist_ok=True)
    _write(record, Promotion(decision=decision, before=before).model_dump_json(indent=1) + "\n")
    for name, text in texts.items():
        _write(folder / name, text)
    return record


def rollback(task: Task) -> Path:
    """Bring back what stood before the last promotion; the record of that promotion, now marked.

    Raises SettingsError where nothing was promoted, TaskError for a broken record.
    """
    folder = _folder(task)
    for path in sorted((folder / DECISIONS).glob("*.json"), reverse=True):
        try:
            found = Promotion.model_validate_json(path.read_text("utf-8"))
        except ValidationError as error:
            raise TaskError(validation_text(error), where=str(path)) from None
        if not found.rolled_back:
            for name, text in reversed(list(found.before.items())):
                _write(folder / name, text)
            _write(path, found.model_copy(update={"rolled_back": True}).model_dump_json(indent=1) + "\n")
            return path
    raise SettingsError("no promotion to roll back", where=str(folder / DECISIONS))


def _folder(task: Task) -> Path:
    if task.folder is None or not (task.folder / DEFINITION).is_file():
        raise SettingsError("the task has no folder of its own in which it could name an adapter")
    return task.folder


def _naming(folder: Path, adapter: Path) -> str:
    """task.toml with the adapter in it; a path inside the folder is written relative to it."""
    document = tomlkit.parse((folder / DEFINITION).read_text("utf-8"))
    inside = adapter.resolve().is_relative_to(folder.resolve())
    named = str(adapter.resolve().relative_to(folder.resolve()) if inside else adapter.resolve())
    document["adapter"] = named
    return tomlkit.dumps(document)


def _next(folder: Path) -> Path:
    last = max((int(path.stem) for path in (folder / DECISIONS).glob("[0-9]*.json")), default=0)
    return folder / DECISIONS / f"{last + 1:04}.json"


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None


def _write(path: Path, text: str | None) -> None:
    """Replace a file at one stroke, or take it away."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)
