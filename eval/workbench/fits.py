"""A version becomes live: calibrations that were fitted for another one are put away, and come back with it.

The tagger refuses a calibration of another version. So those go before the files of the task change, and come after:
whatever happens in between, a task is left that can be asked.
"""

from __future__ import annotations

from pathlib import Path

from tagger.calibration import calibrations

SHELF = "versions/calibration"


def put_away(folder: Path, version: str, plan: str) -> None:
    """Put away the calibrations of a task that were fitted for another version or plan than these.

    A file that is no calibration stays where it is; the tagger says what is wrong with it.
    """
    for path, found in calibrations(folder):
        if found and (found.task_version, found.plan) != (version, plan):
            shelf = folder / SHELF
            shelf.mkdir(parents=True, exist_ok=True)
            path.replace(shelf / f"{path.stem}.{found.task_version}.{found.plan}.json")


def bring_back(folder: Path, version: str, plan: str) -> None:
    """Bring the calibrations back that were fitted for this version and plan; newer ones stay."""
    end = f".{version}.{plan}.json"
    for path in (folder / SHELF).glob(f"*{end}"):
        live = folder / "calibration" / f"{path.name.removesuffix(end)}.json"
        if not live.exists():
            live.parent.mkdir(exist_ok=True)
            path.replace(live)
