"""A task's files in, what a form shows out; and a form's values in, the files out, comments and order kept.

Every function takes the texts of a draft and gives new ones: a draft is never half-changed. Raises TaskError where a
file cannot be read as what it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError

from eval.workbench.texts import DEFINITION, EXAMPLES, Files, label_lines, task_of
from tagger.errors import TaskError
from tagger.plan import Shots, validation_text


@dataclass(frozen=True, slots=True)
class FieldForm:
    """A field as a form shows it; `labels` are None for a kind without labels."""

    name: str
    kind: str
    about: str
    required: bool
    labels: Mapping[str, str] | None


def about(files: Files) -> str:
    """What the task says that it is about."""
    return str(_toml(files, DEFINITION).get("about", ""))


def with_about(files: Files, text: str) -> dict[str, str]:
    """The files of a task that is about something else."""
    document = _toml(files, DEFINITION)
    document["about"] = text
    return {**files, DEFINITION: tomlkit.dumps(document)}


def fields(files: Files) -> list[FieldForm]:
    """The fields in order."""
    found = []
    for name, field in _toml(files, DEFINITION).get("fields", {}).items():
        labels = _labels(files, field.get("labels")) if "labels" in field else None
        kind, text = str(field.get("kind", "")), str(field.get("about", ""))
        found.append(FieldForm(name, kind, text, bool(field.get("required", kind == "label")), labels))
    return found


def with_field_about(files: Files, name: str, text: str) -> dict[str, str]:
    """The files in which a field means something else."""
    document = _toml(files, DEFINITION)
    document["fields"][name]["about"] = text
    return {**files, DEFINITION: tomlkit.dumps(document)}


def with_labels(files: Files, name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The files in which a field has these labels, with what each means; a label file stays one, and so does a list
    of which nothing is said."""
    document = _toml(files, DEFINITION)
    field: Any = document["fields"][name]
    if isinstance(field.get("labels"), str):
        lines = "".join(f"{label}\t{text}\n" if text else f"{label}\n" for label, text in labels.items())
        return {**files, str(field["labels"]): lines}
    plain = isinstance(field.get("labels"), list) and not any(labels.values())
    field["labels"] = list(labels) if plain else dict(labels)
    return {**files, DEFINITION: tomlkit.dumps(document)}


def renamed_label(files: Files, name: str, before: str, after: str) -> dict[str, str]:
    """The files in which a label is called otherwise, in the examples' answers too."""
    labels = next(field.labels for field in fields(files) if field.name == name) or {}
    changed = with_labels(files, name, {after if label == before else label: text for label, text in labels.items()})
    rows = examples(files)
    for row in rows:
        if name in row["answer"]:
            row["answer"][name] = _renamed(row["answer"][name], before, after)
    return with_examples(changed, rows) if rows else changed


def examples(files: Files) -> list[dict[str, Any]]:
    """The examples, each with its `record` and `answer`."""
    found = []
    for number, line in enumerate(files.get(EXAMPLES, "").split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise TaskError(f"not a line of JSON: {error}", where=f"{EXAMPLES}:{number}") from None
            if not isinstance(row, dict) or not isinstance(row.get("record"), dict) or "answer" not in row:
                raise TaskError('expected {"record": ..., "answer": ...}', where=f"{EXAMPLES}:{number}")
            found.append(row)
    return found


def with_examples(files: Files, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The files with these examples."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return {**{name: text for name, text in files.items() if name != EXAMPLES}, **({EXAMPLES: lines} if rows else {})}


PLAN: Mapping[str, str] = {
    "fixed": "Examples in every prompt, at most",
    "retrieved": "Nearest examples in a prompt, where labelled rows are given (--shots)",
    "prior": "Weight of what the labelled rows and examples say by themselves; 0: the model alone",
    "votes": "Times that each record is asked, with the examples in another order",
}
"""What a form shows of a plan, and what it means."""


def plan(files: Files) -> dict[str, float]:
    """The numbers of PLAN as they stand in the plan, or by default."""
    document = _toml(files, "plan.toml")
    try:
        shots = Shots.model_validate(document.unwrap().get("shots", {}))
    except ValidationError as error:
        raise TaskError(validation_text(error), where="plan.toml") from None
    return {"votes": document.get("votes", 1), **{name: getattr(shots, name) for name in PLAN if name != "votes"}}


def with_plan(files: Files, name: str, value: float) -> dict[str, str]:
    """The files of a task whose plan has another number; the first one writes a plan.toml."""
    document = _toml(files, "plan.toml")
    if "ask" not in document:  # a plan says how each field is asked: as it was without one
        with task_of(files, "draft") as task:
            document["ask"] = [{"form": ask.form, "fields": list(ask.fields)} for ask in task.plan.ask]
    number = value if name == "prior" else int(value)
    (document if name == "votes" else document.setdefault("shots", tomlkit.table()))[name] = number
    return {**files, "plan.toml": tomlkit.dumps(document)}


def _renamed(value: Any, before: str, after: str) -> Any:
    if isinstance(value, list):
        return [after if item == before else item for item in value]
    return after if value == before else value


def _labels(files: Files, found: Any) -> dict[str, str]:
    if isinstance(found, str):
        return dict(label_lines(files.get(found, "")))
    if isinstance(found, list):
        return {str(label): "" for label in found}
    return {str(label): str(text) for label, text in found.items()}


def _toml(files: Files, name: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(files.get(name, ""))
    except TOMLKitError as error:
        raise TaskError(f"not TOML: {error}", where=name) from None
