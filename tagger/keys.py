"""API keys: who may ask which tasks, and how often. A file holds their hashes, never the keys.

A key is 32 random bytes, so its SHA-256 cannot be turned back by guessing; slow hashes are for passwords that people
choose.
"""

from __future__ import annotations

import hashlib
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagger.errors import SettingsError
from tagger.plan import validation_text

PREFIX = "tg_"
EVERY = "*"


Role = Literal["view", "edit", "promote"]
"""What one may do in the workbench: look and try; change and review, too; and also make a version the live one."""


class Key(BaseModel):
    """Who asks. `tasks` are the ids that it may ask, "*" for all; `per_minute` bounds its records, 0: no bound."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    hash: str = Field(pattern="^[0-9a-f]{64}$")
    tasks: tuple[str, ...] = (EVERY,)
    per_minute: int = Field(default=0, ge=0)
    role: Role = "view"

    def may(self, task: str) -> bool:
        """Whether it may ask a task."""
        return EVERY in self.tasks or task in self.tasks


class KeyFile(BaseModel):
    """The keys of a service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a service by their hashes."""

    by_hash: dict[str, Key]

    def of(self, text: str) -> Key | None:
        """The key that a caller shows; None for one that is not known."""
        return self.by_hash.get(digest(text))


def new_key() -> str:
    """A key to hand out."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(text: str) -> str:
    """What stands in the file."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_keys(path: Path) -> Keys:
    """The keys in a TOML file ([[key]] tables); SettingsError for what is none, and for no keys."""
    try:
        found = KeyFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"no file of keys: {told}", where=str(path), hint="tagger key NAME makes one") from None
    except ValidationError as error:
        raise SettingsError(validation_text(error), where=str(path)) from None
    if not found.key:
        raise SettingsError("the file holds no keys", where=str(path), hint="tagger key NAME makes one")
    names = [key.name for key in found.key]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SettingsError(f"two keys are called {twice[0]!r}", where=str(path), hint="give each a name of its own")
    return Keys({key.hash: key for key in found.key})


def entry(key: Key) -> str:
    """The lines of a key for the file."""
    listed = ", ".join(f'"{task}"' for task in key.tasks)
    bound = f"per_minute = {key.per_minute}\n" if key.per_minute else ""
    return f'[[key]]\nname = "{key.name}"\nhash = "{key.hash}"\ntasks = [{listed}]\n{bound}role = "{key.role}"\n'
