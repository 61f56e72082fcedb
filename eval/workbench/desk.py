"""What every page of the workbench shares: the shop, the trials on one engine, and who may do what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.workbench.access import Access, Person, audit
from eval.workbench.records import rows_of
from eval.workbench.shop import Shop
from eval.workbench.trial import Trial, Trials, latest
from eval.workbench.versions import promote
from tagger.record import Record, Rejected

RUNS = "runs"
"""Where a task's folder keeps its trials."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One workbench."""

    shop: Shop
    trials: Trials
    access: Access
    model: str
    """What answers, as a person would call it."""
    news: dict[str, list[str]] = field(default_factory=dict)
    """By person, what the next page is to say first."""

    def folder(self, task: str) -> Path:
        """Where a task lies; SettingsError for one that there is not."""
        return self.shop.task_folder(task)

    def last(self, task: str, name: str = "") -> tuple[Trial, Sequence[Record | Rejected]] | None:
        """The last trial of a task, or that of this name, with the rows that it has; None if there is none."""
        folder = self.folder(task)
        trial = latest(self.trials, folder / RUNS, name)
        return (trial, trial.records or rows_of(folder, trial.rows, len(trial.taggings))) if trial else None

    def promote(self, person: Person, task: str, number: int, expected: int) -> None:
        """Make a version live, if the person may and `expected` still is (versions.py: promote)."""
        person.must("promote", task)
        promote(self.folder(task), number, person.name, expected)
        self.note(person, "made a version live", task, version=number, before=expected)

    def note(self, person: Person, did: str, task: str = "", **facts: Any) -> None:
        """Put down who did what."""
        audit(self.shop.folder, person, did, task, **facts)
