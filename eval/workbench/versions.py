"""A draft in, an immutable version out; versions in, what differs and what is live out.

A version lies in TASK/versions/NUMBER/: the task's own files, and version.toml, which says who kept them and why.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tomli_w
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from eval.workbench.files import add_line, now, read_lines
from eval.workbench.fits import bring_back, put_away
from eval.workbench.texts import EXAMPLES, Files, check, digest, label_lines, own_files, plain, put, task_of
from tagger.errors import SettingsError, SourceError, TaskError
from tagger.plan import validation_text

FACTS = "version.toml"
PROMOTIONS = "promotions.jsonl"
AS_IT_WAS = "as it was"

Item = tuple[str, int]
"""A label or the text of a record, and which of those that read the same it is."""


class Version(BaseModel):
    """What is known of a version. `base` is the number of the version that it was made from, 0: none; `task_version`
    and `plan` are the ids of task and plan, "" for files that describe no task; `digest` changes with the files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    message: str
    author: str
    at: str
    base: int
    task_version: str
    plan: str
    digest: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a comparison, as it can be shown: `text` is what stands there, or stood there if it was removed; of a
    changed label or example `was` is what it said before. A note says in words where one is, or what else differs."""

    kind: Literal["added", "removed", "changed", "same", "note"]
    text: str
    was: str = ""


_WRITTEN_OTHERWISE = Line("note", "the same content, written otherwise")


@dataclass(frozen=True, slots=True)
class Change:
    """A file that differs: whether it came, went or is another, and its lines."""

    file: str
    kind: Literal["added", "removed", "changed"]
    lines: tuple[Line, ...]


def versions(folder: Path) -> list[Version]:
    """All versions of the task in `folder`, oldest first; SourceError for one whose version.toml cannot be read."""
    places = [path for path in (folder / "versions").glob("[0-9]*") if path.name.isdecimal()]
    return [_read(path) for path in sorted(places, key=lambda path: int(path.name))]


def files_of(folder: Path, number: int) -> dict[str, str]:
    """The files of a version; SourceError if they are not those that were kept, SettingsError if there is none."""
    path = _place(folder, number)
    if not path.is_dir():
        known = [version.number for version in versions(folder)]
        there = f"there are {known[0]} to {known[-1]}" if known else "none has been kept yet"
        raise SettingsError(f"there is no version {number}", hint=there)
    files = own_files(path)
    if digest(files) != _read(path).digest:
        hint = "a version is never changed: bring its files back from a backup, or go on from another version"
        raise SourceError(f"somebody has changed the files of version {number}", where=str(path), hint=hint)
    return files


def keep(folder: Path, files: Files, message: str, author: str, base: int) -> Version:
    """Keep files as the next version of the task in `folder`; a crash on the way leaves none.

    Raises SettingsError for files that are wrong, an empty message, and files that a version has already.
    """
    if not message.strip():
        raise SettingsError("a version needs a few words", hint="say what has changed, and why")
    _refuse_wrong(files, folder.name)
    texts = plain(files)
    with _lock(folder):
        for known in versions(folder):
            if known.digest == digest(texts):
                hint = "change something first, or make that version live"
                raise SettingsError(f"version {known.number} ({known.message}) has the same files", hint=hint)
        return _add(folder, texts, message.strip(), author, base)


def live(folder: Path) -> int:
    """The number of the version whose files are the live ones; 0 if they were never kept, or changed by hand since."""
    found = digest(own_files(folder))
    return next((version.number for version in versions(folder) if version.digest == found), 0)


def promote(folder: Path, number: int, author: str, expected: int) -> None:
    """Make a version live; its own files alone are replaced. Calibrations go and come with their version (fits.py), all
    else stays.

    `expected` is the number that the person saw as live. Live files that were never kept are kept first ("as it
    was"), so every state can be gone back to. A crash on the way can leave files of both, which `live` says are no
    version; both are kept. Raises SourceError if another version is live by now, SettingsError for one that there is
    not, that is live already, or whose files are wrong.
    """
    with _lock(folder):
        files = files_of(folder, number)
        before, fitted = live(folder), {one.number: (one.task_version, one.plan) for one in versions(folder)}
        if before:  # if an earlier promotion was broken off, they are still away
            bring_back(folder, *fitted[before])
        if before != expected:
            raise _overtaken(folder, before)
        if before == number:
            raise SettingsError(f"version {number} is live already")
        _refuse_wrong(files, folder.name)
        if not before:
            before = _add(folder, own_files(folder), AS_IT_WAS, author, 0).number
        put_away(folder, *fitted[number])
        put(folder, files)
        bring_back(folder, *fitted[number])
        facts = {"at": now(), "author": author, "version": number, "before": before}
        add_line(folder / "versions" / PROMOTIONS, facts)


def diff(before: Files, after: Files) -> list[Change]:
    """What differs, file by file in the order of their names; nothing if all is equal.

    Label files (.tsv) and examples are compared by content, a label by its name and an example by its record, other
    files line by line.
    """
    changes = []
    for file in sorted(before.keys() | after.keys()):
        old, new = before.get(file, ""), after.get(file, "")
        if (file in before) != (file in after) or old != new:
            if file == EXAMPLES:
                lines = _by_content(_examples(old), _examples(new), " → ")
            elif file.endswith(".tsv"):
                lines = _by_content(_numbered(label_lines(old)), _numbered(label_lines(new)), ": ")
            else:
                lines = _by_line(old, new)
            kind: Any = "changed" if file in before and file in after else "added" if file in after else "removed"
            changes.append(Change(file, kind, tuple(lines)))
    return changes


def _by_line(old: str, new: str) -> Iterator[Line]:
    kinds: Mapping[str, Any] = {"+": "added", "-": "removed", " ": "same"}
    found = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm=""))[2:]  # behind the files' names
    for text in found:
        if not (place := re.match(r"@@ .* \+(\d+)", text)):
            yield Line(kinds[text[0]], text[1:])
        elif old and new:
            yield Line("note", f"from line {place[1]}")
    if not found:
        yield _WRITTEN_OTHERWISE


def _by_content(old: Mapping[Item, str], new: Mapping[Item, str], between: str) -> Iterator[Line]:
    """`old` and `new` say for each item what is said of it."""
    differs = False
    for item in [*old, *(item for item in new if item not in old)]:
        text, was = _shown(item, new.get(item, ""), between), _shown(item, old.get(item, ""), between)
        if item not in new:
            yield Line("removed", was)
        elif item not in old:
            yield Line("added", text)
        elif old[item] != new[item]:
            yield Line("changed", text, was)
        else:
            continue
        differs = True
    if [item for item in old if item in new] != [item for item in new if item in old]:
        yield Line("note", "the lines stand in another order")
    elif not differs:
        yield _WRITTEN_OTHERWISE


def _shown(item: Item, said: str, between: str) -> str:
    return f"{item[0]}{between}{said}" if said else item[0]


def _examples(text: str) -> dict[Item, str]:
    """A line that is no example stands for itself."""
    found = []
    for line in filter(str.strip, text.split("\n")):
        try:
            row = json.loads(line)
            answer = row.pop("answer")
            record = row.get("record", row)
            found.append((_told(record, " | "), _told(answer, ", ")))
        except (ValueError, AttributeError, KeyError, TypeError):  # a draft may hold lines that are not right yet
            found.append((line, ""))
    return _numbered(found)


def _told(values: Mapping[str, Any], between: str) -> str:
    return between.join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _numbered(pairs: list[tuple[str, str]]) -> dict[Item, str]:
    """What stands there twice is two items: each has the number of its kind."""
    counts: Counter[str] = Counter()
    found = {}
    for name, said in pairs:
        counts[name] += 1
        found[name, counts[name]] = said
    return found


def _overtaken(folder: Path, number: int) -> SourceError:
    last = (read_lines(folder / "versions" / PROMOTIONS) or [{}])[-1]
    if not number:
        what = "the live files were meanwhile changed by hand"
    elif last.get("version") == number:
        what = f"meanwhile {last['author']} has made version {number} live"
    else:
        what = f"meanwhile version {number} is live"
    return SourceError(what, hint="load the page again, and look what differs before you go on")


def _refuse_wrong(files: Files, name: str) -> None:
    if problems := check(files, name):
        first, *others = problems
        place = f"{first.file}:{first.line}" if first.line else first.file
        also = f" (and {len(others)} more)" if others else ""
        raise SettingsError(first.message + also, where=place, hint=first.hint or "mend it first")


def _add(folder: Path, files: Files, message: str, author: str, base: int) -> Version:
    """Write the next version beside the others, and give it its name when it is whole. The caller holds the lock."""
    number = max((version.number for version in versions(folder)), default=0) + 1
    try:
        with task_of(files, folder.name) as task:
            ids = {"task_version": task.version, "plan": task.plan.id}
    except TaskError:
        ids = {"task_version": "", "plan": ""}  # live files that are wrong are kept as well, or they would be lost
    version = Version(
        number=number, message=message, author=author, at=now(), base=base, digest=digest(files), **ids
    )  # fmt: skip
    part = folder / "versions" / ".part"
    if part.exists():
        shutil.rmtree(part)
    put(part, files)
    (part / FACTS).write_text(tomli_w.dumps(version.model_dump()), "utf-8", newline="\n")
    part.replace(_place(folder, number))
    return version


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / "versions" / ".lock")


def _place(folder: Path, number: int) -> Path:
    return folder / "versions" / f"{number:04}"


def _read(path: Path) -> Version:
    facts = path / FACTS
    try:
        return Version.model_validate(tomllib.loads(facts.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError(f"not the facts of a version: {error}", where=str(facts), hint="bring it back") from None
    except ValidationError as error:
        raise SourceError(validation_text(error), where=str(facts), hint="bring it back") from None
