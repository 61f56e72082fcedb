"""A version becomes live: calibrations that were fitted for another one are set aside, and come back with it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from tagger.calibration import Calibration
from tagger.task import load_task

SHELF = "versions/calibration"


def set_aside(folder: Path) -> None:
    """See to it that a task's calibrations are those of its live version and plan: the tagger refuses others.

    A file that is no calibration stays where it is; the tagger says what is wrong with it. Raises TaskError for a
    folder that is no task.
    """
    task = load_task(folder)
    mine = f"{task.version}.{task.plan.id}"
    live, shelf = folder / "calibration", folder / SHELF
    for path in live.glob("*.json"):
        fitted = _fitted(path)
        if fitted and fitted != mine:
            shelf.mkdir(parents=True, exist_ok=True)
            path.replace(shelf / f"{path.stem}.{fitted}.json")
    for path in shelf.glob(f"*.{mine}.json"):
        live.mkdir(exist_ok=True)
        path.replace(live / f"{path.name.removesuffix(f'.{mine}.json')}.json")


def _fitted(path: Path) -> str:
    """The version and the plan that a calibration was fitted for; "" for a file that is none."""
    try:
        found = Calibration.model_validate_json(path.read_text("utf-8"))
    except (ValidationError, UnicodeDecodeError):
        return ""
    return f"{found.task_version}.{found.plan}"
