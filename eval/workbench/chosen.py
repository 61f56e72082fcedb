"""Which of a task's states is asked: the live one, somebody's draft, or a version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eval.workbench.drafts import open_draft
from eval.workbench.texts import task_of
from eval.workbench.versions import files_of, live, versions
from tagger.errors import SettingsError
from tagger.task import Task, load_task

LIVE, DRAFT = "live", "draft"


def choices(folder: Path, person: str) -> dict[str, str]:
    """What can be asked, and how it is called, the live one first."""
    now = live(folder)
    found = {LIVE: f"live, version {now}" if now else "live"}
    if (folder / "drafts" / person).is_dir():
        found[DRAFT] = f"{person}'s draft"
    for version in reversed(versions(folder)):
        if version.number != now:
            found[str(version.number)] = f"version {version.number}: {version.message}"
    return found


def files_chosen(folder: Path, person: str, choice: str) -> dict[str, str]:
    """The files of a state that is not live; SettingsError for one that there is not."""
    if choice == DRAFT:
        return dict(open_draft(folder, person).files)
    if not choice.isdecimal():
        raise SettingsError(f"there is no version {choice!r}")
    return files_of(folder, int(choice))


@contextmanager
def chosen_task(folder: Path, person: str, choice: str) -> Iterator[Task]:
    """A state of a task, there for as long as the block lasts. Only the live one has calibrations: others give raw
    probabilities."""
    if choice == LIVE:
        yield load_task(folder)
        return
    with task_of(files_chosen(folder, person, choice), folder.name) as task:
        yield task
