"""Texts of a task's files in, the task that they describe out, or what is wrong with them, file by file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eval.workbench.files import safe_name
from tagger.errors import TaskError
from tagger.prompt import render, render_head
from tagger.questions import showable
from tagger.record import Record
from tagger.rulefile import RULES
from tagger.sinks import write_whole
from tagger.task import Task, load_task, prompts_folder

Files = Mapping[str, str]
"""Name of a file -> its text."""

DEFINITION, EXAMPLES = "task.toml", "examples.jsonl"
_OWN = re.compile(r"(task|rules)\.toml|examples\.jsonl|plan(\.[^/\\:\0]+)?\.toml|[^./\\:\0][^/\\:\0]*\.(tsv|txt|jinja)")
_EXAMPLE = re.compile(rf"({re.escape(EXAMPLES)}:\d+): (.*)")
_PLACE = re.compile(r"([^:]+)(?::(\d+))?(?:: (.+))?")
_TOML_LINE = re.compile(r"^not TOML: .*\(at line (\d+)")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a file: `line` from 1, None where it is no single one; `hint` the way out."""

    file: str
    line: int | None
    message: str
    hint: str | None


def own_files(folder: Path) -> dict[str, str]:
    """The texts of a task's own files, sorted by name; a calibration, rows or runs are none of them.

    A plan that a promoted adapter brought (plan.ID.toml) is one. Raises TaskError for a file that is not UTF-8.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        if _OWN.fullmatch(path.name) and path.is_file():
            try:
                found[path.name] = path.read_text("utf-8")
            except UnicodeDecodeError as error:
                raise TaskError(f"not UTF-8: {error}", where=path.name, hint="save it as UTF-8") from None
    return found


def plain(files: Files) -> dict[str, str]:
    """The files sorted by name, lines ended by LF; TaskError for a name that no file of a task has, and for a text
    that no file can hold."""
    for name, text in files.items():
        if not _OWN.fullmatch(name):
            kinds = "task.toml, prompt.jinja, examples.jsonl, plan.toml, rules.toml, and files in .tsv, .txt or .jinja"
            hint = f"a task has {kinds}"
            raise TaskError(f"{name!r} is no name for a file of a task", where=DEFINITION, hint=hint)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, error.start) + 1
            raise TaskError("half a character, which no file can hold", where=f"{name}:{line}") from None
    return {name: files[name].replace("\r\n", "\n").replace("\r", "\n") for name in sorted(files)}


def label_lines(text: str) -> list[tuple[str, str]]:
    """The labels of a label file, in order, with what each means ("" where it is not said)."""
    parts = [line.partition("\t") for line in text.splitlines() if line.strip()]
    return [(label, about.strip()) for label, _, about in parts]


def digest(files: Files) -> str:
    """64 hex digits that change with any file's name or text."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def put(folder: Path, files: Files) -> None:
    """Give a folder these own files and no other; each is replaced whole, and whatever else lies there stays."""
    before = own_files(folder) if folder.is_dir() else {}
    for name, text in files.items():
        if before.get(name) != text:
            write_whole(folder / name, text)
    for name in before.keys() - files.keys():
        (folder / name).unlink()


@contextmanager
def task_of(files: Files, name: str) -> Iterator[Task]:
    """The task `name` that the files describe; what it includes is there for as long as the block lasts.

    Raises TaskError, in the block too, whose place is a file with a line or a key. Unlike a task in its folder it
    reads its own files and the shipped templates alone, for nothing else is kept with a version.
    """
    safe_name(name, "task")
    texts = plain(files)
    _refuse_others(texts)
    with TemporaryDirectory(prefix="tagger-") as home:
        folder = Path(home, name)
        folder.mkdir()
        for file, text in texts.items():
            (folder / file).write_text(text, "utf-8", newline="\n")
        try:
            yield load_task(folder)
        except TaskError as error:
            told = [_without_paths(text, folder) if text else text for text in (error.message, error.where, error.hint)]
            raise TaskError(told[0] or "", where=told[1], hint=told[2]) from None


def check(files: Files, name: str) -> list[Problem]:
    """What is wrong with the files of the task `name`; nothing if it loads, and the first example can be asked about.

    Without examples it is a record with a placeholder in each column. Only what the model reads is made, so no
    classifier is trained, and a shortlist has the first of all labels instead of the likeliest.
    """
    try:
        with task_of(files, name) as task:
            _render(task)
    except TaskError as error:
        return _problems(error)
    return []


def _render(task: Task) -> None:
    record = task.examples[0].record if task.examples else _placeholder(task)
    asked = task.asked(record)
    fixed = showable(task, task.examples)[: task.plan.shots.fixed]
    shown = [example for example in fixed if task.asked(example.record) == asked]
    for ask in task.plan.ask:
        fields = {name: field for name, field in asked.items() if name in ask.fields}
        if fields:
            head = render_head(task, ask, fields, [] if ask.form == "levels" else shown)
            short = ask.shortlist or int(ask.form == "levels")
            candidates = list(fields[ask.fields[0]].closed or {})[:short] if short else []
            render(task, head, (), record, candidates)


def _placeholder(task: Task) -> Record:
    return Record("1", {name: column.allowed[0] if column.allowed else "..." for name, column in task.columns.items()})


def _refuse_others(files: Files) -> None:
    """Raise TaskError where task.toml is missing, or it or the rules name a file that is not among these: it could be
    anybody's."""
    if DEFINITION not in files:
        raise TaskError("the file is missing", where=DEFINITION, hint="it says what is asked about which columns")
    said = _toml(files, DEFINITION)
    fields = said.get("fields")
    named = {
        f"{DEFINITION}: fields.{name}.labels": field["labels"]
        for name, field in (fields.items() if isinstance(fields, dict) else ())
        if isinstance(field, dict) and isinstance(field.get("labels"), str)
    }
    if said.get("plan", "plan.toml") != "plan.toml":
        named[f"{DEFINITION}: plan"] = said["plan"]
    lists = _toml(files, RULES).get("brands") if RULES in files else None
    if isinstance(lists, dict):
        named |= {f"{RULES}: brands.{name}": file for name, file in lists.items() if isinstance(file, str)}
    for key, file in named.items():
        if file not in files:
            hint = f"the task has the files {', '.join(files)}"
            raise TaskError(f"there is no file {file!r} in the task", where=key, hint=hint)


def _toml(files: Files, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(files[name])
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"not TOML: {error}", where=name) from None


def _problems(error: TaskError) -> list[Problem]:
    """Wrong lines of examples come as lines of one message."""
    first, *others = error.message.split("\n")
    found = [_problem(error.where or DEFINITION, first, error.hint)]
    for text in others:
        if line := _EXAMPLE.fullmatch(text):
            found.append(_problem(line[1], line[2], None))
        else:
            found[-1] = replace(found[-1], message=f"{found[-1].message}\n{text}")
    return found


def _problem(where: str, message: str, hint: str | None) -> Problem:
    place = _PLACE.fullmatch(where)
    file, line, key = place.groups() if place else (where, None, None)
    line = line or ((found := _TOML_LINE.match(message)) and found[1])
    return Problem(file, int(line) if line else None, f"{key}: {message}" if key else message, hint)


def _without_paths(text: str, folder: Path) -> str:
    names = {
        f"{folder}{os.sep}": "",
        str(folder): folder.name,
        str(folder.parent): ".",
        str(prompts_folder()): "prompts",
    }
    for path, name in names.items():
        text = text.replace(path, name)
    return text
