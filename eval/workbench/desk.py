"""What every page of the workbench shares: the shop, the trials on one engine, and who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.workbench.access import Access, Person, audit
from eval.workbench.shop import Shop
from eval.workbench.trial import Trials


@dataclass(frozen=True, slots=True)
class Desk:
    """One workbench."""

    shop: Shop
    trials: Trials
    access: Access
    model: str
    """What answers, as a person would call it."""

    def folder(self, task: str) -> Path:
        """Where a task lies; SettingsError for one that there is not."""
        return self.shop.task_folder(task)

    def note(self, person: Person, did: str, task: str = "", **facts: Any) -> None:
        """Put down who did what."""
        audit(self.shop.folder, person, did, task, **facts)
