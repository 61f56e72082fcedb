"""A person's working copy of a task: begun from what is live, saved only over what that person has seen.

A draft lies in TASK/drafts/PERSON/ as files, with draft.toml that says from which version it was made.
"""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from eval.workbench.files import safe_name
from eval.workbench.texts import Files, digest, own_files, plain, put
from eval.workbench.versions import live
from tagger.errors import SourceError
from tagger.sinks import write_whole

FACTS = "draft.toml"


@dataclass(frozen=True, slots=True)
class Draft:
    """A person's working copy: `base` is the number of the version that it was made from, 0: none; `digest` tells
    whether it is still what lies on disk."""

    files: dict[str, str]
    base: int
    digest: str


def open_draft(folder: Path, person: str) -> Draft:
    """The person's draft of the task in `folder`, or the live files where there is none: the first that is saved makes
    one. SourceError for a draft whose draft.toml cannot be read."""
    place = _place(folder, person)
    with FileLock(f"{place}.lock"):
        return _read(folder, place)


def save_draft(folder: Path, person: str, files: Files, seen: str, base: int | None = None) -> Draft:
    """Write the draft, wrong or not. `seen` is the digest of what the person began with; `base`, the version that the
    files are made from, stays as it was where it is None.

    Raises SourceError, and writes nothing, if something else lies there by now; TaskError for names that no file of
    a task has.
    """
    place = _place(folder, person)
    texts = plain(files)
    with FileLock(f"{place}.lock"):
        found = _read(folder, place)
        if found.digest != seen:
            raise _changed(place)
        put(place, texts)
        kept = found.base if base is None else base
        write_whole(place / FACTS, f"base = {kept}\n")
        return Draft(texts, kept, digest(texts))


def has_draft(folder: Path, person: str) -> bool:
    """Whether the person has saved a draft; `open_draft` gives the live files to whoever has not."""
    return (_place(folder, person) / FACTS).is_file()


def must_be(folder: Path, person: str, seen: str) -> None:
    """Raise SourceError if what `open_draft` gives is no longer what has the digest `seen`."""
    place = _place(folder, person)
    with FileLock(f"{place}.lock"):
        if _read(folder, place).digest != seen:
            raise _changed(place)


def discard_draft(folder: Path, person: str, seen: str) -> None:
    """Remove the person's draft; without one nothing happens. `seen` is the digest of what the person knows of it.

    Raises SourceError, and removes nothing, if something else lies there by now.
    """
    place = _place(folder, person)
    with FileLock(f"{place}.lock"):
        if (place / FACTS).is_file() and digest(own_files(place)) != seen:  # whatever its facts say
            raise _changed(place)
        if place.is_dir():
            (place / FACTS).unlink(missing_ok=True)  # what is left of a folder without it is no draft
            shutil.rmtree(place)


def _place(folder: Path, person: str) -> Path:
    return folder / "drafts" / safe_name(person, "person")


def _read(folder: Path, place: Path) -> Draft:
    facts = place / FACTS
    if not facts.is_file():
        files = own_files(folder)
        return Draft(files, live(folder), digest(files))
    try:
        base = int(tomllib.loads(facts.read_text("utf-8"))["base"])
    except (ValueError, KeyError, TypeError) as error:
        hint = "write `base = 0` into it, or discard the draft"
        raise SourceError(f"not the facts of a draft: {error!r}", where=str(facts), hint=hint) from None
    files = own_files(place)
    return Draft(files, base, digest(files))


def _changed(place: Path) -> SourceError:
    what = "your draft" if (place / FACTS).is_file() else "the task"
    hint = "copy what you have written, load the page again, and put it in there"
    return SourceError(f"{what} was changed meanwhile, in another tab or on another machine", hint=hint)
