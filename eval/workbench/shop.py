"""A folder in, the tasks in it out; and new ones."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from eval.workbench.files import safe_name
from eval.workbench.texts import DEFINITION, Files, check, own_files, put
from tagger.errors import SettingsError
from tagger.task import DEFAULT_TEMPLATE, prompts_folder, task_names

CATEGORY, LABELS = "category", "labels.tsv"
"""The field of a new task with categories, and the file of its labels."""


@dataclass(frozen=True, slots=True)
class Shop:
    """The folder that a workbench opens; each folder in it with a task.toml is a task."""

    folder: Path

    def tasks(self) -> list[str]:
        """The names of the tasks, sorted."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{DEFINITION}"))

    def task_folder(self, name: str) -> Path:
        """Where a task lies; SettingsError for one that there is not."""
        folder = self.folder / safe_name(name, "task")
        if not (folder / DEFINITION).is_file():
            there = ", ".join(self.tasks()) or "none yet"
            raise SettingsError(f"there is no task {name!r}", hint=f"there are: {there}")
        return folder

    def new_task(
        self, name: str, about: str, columns: Sequence[str], *, categories: str = "", attributes: str = ""
    ) -> Path:
        """Make a task, asked with the general template; its folder.

        `about` is one sentence. Of `columns` the first must have a text, the others may be empty. Either `categories`
        (one is chosen) or `attributes` (each is copied from the text) has one a line: its name, and behind a tab or a
        colon what it means. Raises SettingsError for whatever is missing or wrong, and for a name that is taken.
        """
        listed, wanted = _listed(categories), _listed(attributes)
        read = [column.strip() for column in columns if column.strip()]
        _refuse_incomplete(about, read, listed, wanted)
        fields: dict[str, Any] = {text: {"kind": "text", "about": meaning} for text, meaning in wanted}
        if listed:
            fields = {CATEGORY: {"kind": "label", "labels": LABELS}}
        if clash := [column for column in read if column in fields]:
            raise SettingsError(f"{clash[0]!r} is a column and an answer", hint="call one of them otherwise")
        asked = {column: {} if column == read[0] else {"required": False} for column in read}
        files = {DEFINITION: tomli_w.dumps({"about": about.strip(), "columns": asked, "fields": fields})}
        if listed:
            files[LABELS] = "".join(f"{label}\t{meaning}".rstrip() + "\n" for label, meaning in listed)
        if problems := check(files, safe_name(name, "task")):
            raise SettingsError(problems[0].message, hint=problems[0].hint)
        return self._make(name, files)

    def copy_shipped(self, name: str) -> Path:
        """Copy a shipped task, with its calibrations; its folder. SettingsError for one that there is not, or is here
        already."""
        if name not in task_names():
            raise SettingsError(f"no task {name!r} is shipped", hint=f"there are: {', '.join(task_names())}")
        shipped = prompts_folder() / name
        folder = self._make(name, own_files(shipped))
        if (shipped / "calibration").is_dir():
            shutil.copytree(shipped / "calibration", folder / "calibration")
        return folder

    def _make(self, name: str, files: Files) -> Path:
        folder = self.folder / name
        if folder == (self.folder / DEFAULT_TEMPLATE).parent:
            raise SettingsError(f"{name!r} is where the general template lies", hint="take another name")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise SettingsError(f"there is a task or a folder {name!r} already", hint="take another name") from None
        put(folder, {file: text for file, text in files.items() if file != DEFINITION})
        put(folder, files)  # with task.toml, which makes it a task, when all else is there
        return folder


def prompt_text(folder: Path) -> str:
    """The text of the template by which the task in `folder` is asked: its own, or the general one."""
    places = folder / "prompt.jinja", folder.parent / DEFAULT_TEMPLATE, prompts_folder() / DEFAULT_TEMPLATE
    return next(path for path in places if path.is_file()).read_text("utf-8")


def _listed(text: str) -> list[tuple[str, str]]:
    """Name and meaning of each line that is not blank."""
    parts = [
        re.split("\t" if "\t" in line else "[:：]", line, maxsplit=1) for line in text.splitlines() if line.strip()
    ]
    return [(part[0].strip(), part[1].strip() if len(part) > 1 else "") for part in parts]


def _refuse_incomplete(
    about: str, columns: Sequence[str], categories: Sequence[tuple[str, str]], attributes: Sequence[tuple[str, str]]
) -> None:
    names = [name for name, _ in (*categories, *attributes)]
    twice: Mapping[str, Sequence[str]] = {"column": columns, "category or attribute": names}
    if not about.strip():
        raise SettingsError("the task needs a sentence that says what it is about")
    if not columns:
        raise SettingsError("no column is read", hint="name at least one, title for instance")
    if bool(categories) == bool(attributes):
        hint = "a task either chooses one of its categories, or extracts attributes"
        raise SettingsError("give either categories or attributes, one a line", hint=hint)
    if not all(names):
        raise SettingsError("a line has no name before its meaning", hint="write `name: what it means`")
    if len(categories) == 1:
        raise SettingsError("one category is no choice", hint="give at least two")
    for what, texts in twice.items():
        if again := [text for text in texts if texts.count(text) > 1]:
            raise SettingsError(f"the {what} {again[0]!r} stands there twice", hint="take one away")
