"""A key in, a person out who may do this and not that; and a line in the audit log for whatever is done."""

from __future__ import annotations

from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Any

from eval.workbench.files import add_line, now, safe_name
from tagger.errors import SettingsError
from tagger.keys import EVERY, Keys, Role

RANK: dict[Role, int] = {"view": 0, "edit": 1, "promote": 2}


@dataclass(frozen=True, slots=True)
class Person:
    """Who sits before the browser."""

    name: str
    role: Role
    tasks: tuple[str, ...] = (EVERY,)

    def may(self, role: Role, task: str) -> bool:
        """Whether this person may do to a task what `role` allows."""
        return RANK[self.role] >= RANK[role] and (EVERY in self.tasks or task in self.tasks)

    def must(self, role: Role, task: str) -> None:
        """Raise SettingsError unless this person may."""
        if not self.may(role, task):
            hint = "ask whoever runs the workbench for a key that allows it"
            raise SettingsError(f"your key does not allow to {role} {task!r}", hint=hint)


class Access:
    """The people of a workbench: those with a key, or, without keys, whoever uses this machine."""

    def __init__(self, keys: Keys | None) -> None:
        """Raises SettingsError for a key whose name cannot name a person's folder."""
        self.keys = keys
        for key in keys.by_hash.values() if keys else ():
            safe_name(key.name, "person")

    def person(self, text: str) -> Person | None:
        """Whose key this is; None for one that is not known."""
        found = self.keys.of(text) if self.keys else None
        return Person(found.name, found.role, found.tasks) if found else None

    def named(self, name: str | None) -> Person | None:
        """Who has signed in under this name, as the keys now are; without keys the user of this machine."""
        if self.keys is None:
            return Person(_local(), "promote")
        found = next((key for key in self.keys.by_hash.values() if key.name == name), None)
        return Person(found.name, found.role, found.tasks) if found else None


def audit(shop: Path, person: Person, did: str, task: str = "", **facts: Any) -> None:
    """Put down who did what; never what a product text says."""
    add_line(shop / "audit.jsonl", {"at": now(), "author": person.name, "did": did, "task": task, **facts})


def _local() -> str:
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in getuser())[:60]
    return name or "local"
