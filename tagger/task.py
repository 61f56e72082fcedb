"""A folder in, a Task out: fields, columns, template, examples and plan, all checked as it loads.

prompts/category/
  task.toml        what is asked of which columns
  prompt.jinja     how it is said
  examples.jsonl   right answers to show
  plan.toml        how it is asked (optional)
  rules.toml       what the house knows about values (optional)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jinja2
from pydantic import BaseModel

from tagger.closest import closest
from tagger.definition import Definition, asked_fields, read_definition
from tagger.errors import TaskError
from tagger.example import Example, example_of, read_examples
from tagger.plan import Plan, default_plan, load_plan
from tagger.record import Column, Record
from tagger.rulebook import RuleBook
from tagger.rulefile import RULES, load_rules
from tagger.schema import FieldBase
from tagger.schema_model import fields_of_model
from tagger.tables import RULE_COLUMNS, refuse_taken_names
from tagger.template import check_template, environment

DEFAULT_TEMPLATE = "_default/prompt.jinja"


@dataclass(frozen=True)
class Task:
    """What is asked of a record. Make one with `load_task` or `Task.from_model`."""

    id: str
    definition: Definition
    template: jinja2.Template
    template_source: str
    examples: tuple[Example, ...]
    plan: Plan
    folder: Path | None = None
    rules: RuleBook | None = None

    @property
    def fields(self) -> Mapping[str, FieldBase]:
        return self.definition.fields

    @property
    def columns(self) -> Mapping[str, Column]:
        return self.definition.columns

    @property
    def text_columns(self) -> list[str]:
        """The columns that are free text: one with `allowed` values proves nothing."""
        return [name for name, column in self.columns.items() if column.kind == "text" and not column.allowed]

    @property
    def picture_columns(self) -> list[str]:
        """The columns that are pictures."""
        return [name for name, column in self.columns.items() if column.kind == "image"]

    @cached_property
    def version(self) -> str:
        """Twelve hex digits over template (with includes), fields, columns, examples and rules."""
        parts = [
            self.definition.model_dump_json(exclude={"adapter", "plan", "target"}),
            self.template_source,
            json.dumps([_told(example) for example in self.examples], ensure_ascii=False, sort_keys=True),
            *([self.rules.text] if self.rules else []),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def asked(self, record: Record) -> dict[str, FieldBase]:
        """The fields that are asked of this record, in order: all, or those that `when` names for it."""
        return asked_fields(self.definition, record)

    def group(self, record: Record) -> str:
        """The value of the `when` column: records of one group are asked the same fields. "" without `when`."""
        when = self.definition.when
        return record.values[when.column] if when else ""

    def apart(self, record: Record) -> str:
        """What records have to share for one answer to serve both: the values that decide what is asked, and which
        rules hold."""
        columns = self.rules.columns if self.rules else ()
        return "\0".join([self.group(record), *(record.values[name] for name in columns)])

    def read_examples(self, path: Path) -> list[Example]:
        """Labelled rows of a JSONL file as examples of this task; TaskError at the first that is none."""
        ask = partial(asked_fields, self.definition)
        return read_examples(path, self.columns, ask, self.definition.gold)

    @cached_property
    def template_place(self) -> str:
        """Where its template lies, for error messages."""
        return self.place("prompt.jinja")

    def place(self, file: str) -> str:
        """Where a file of this task lies, for error messages."""
        return str(self.folder / file) if self.folder else f"task {self.id!r}, {file}"

    @classmethod
    def from_model(
        cls,
        model: type[BaseModel],
        *,
        columns: tuple[str, ...] = ("title",),
        examples: tuple[tuple[Mapping[str, str], Mapping[str, Any]], ...] = (),
    ) -> Task:
        """A task from a pydantic model: its name is the id, its docstring says what it is about.

        `Literal` becomes label, `list[Literal]` labels, `list[str]` texts, `bool` boolean, `int` with ge and le score,
        `int` and `float` number, `str` text; a field that may be None is not required. A field's
        description is what the model is told. `examples` are pairs of a record's columns and its answer.
        Raises TaskError for any other type and for an example that breaks the schema.
        """
        about = (model.__doc__ or model.__name__).strip()
        definition = Definition(
            about=about, columns={name: Column() for name in columns}, fields=fields_of_model(model)
        )
        return cls.define(_snake(model.__name__), definition, examples=examples)

    @classmethod
    def define(
        cls,
        task_id: str,
        definition: Definition,
        *,
        examples: tuple[tuple[Mapping[str, str], Mapping[str, Any]], ...] = (),
        folder: Path | None = None,
    ) -> Task:
        """A task from its definition, asked with the general template.

        `examples` are pairs of a record's columns and its answer; in `folder` lie its plan and calibrations, if
        any. Raises TaskError for an example that breaks the schema and a plan that does not fit.
        """
        refuse_taken_names(definition.fields, task_id)
        asked = partial(asked_fields, definition)
        shots = tuple(
            example_of({"record": r, "answer": a}, f"example {n}", n, definition.columns, asked, "answer")
            for n, (r, a) in enumerate(examples, 1)
        )
        return _build(task_id, definition, environment([prompts_folder()]), DEFAULT_TEMPLATE, shots, folder)


def load_task(name: str | Path) -> Task:
    """The task in a folder, or the shipped one of that name.

    Raises TaskError with file, line or key for anything that is wrong with it, before any model is loaded.
    """
    folder = _find(name)
    definition = read_definition(folder / "task.toml")
    path = folder / "examples.jsonl"
    ask = partial(asked_fields, definition)
    examples = read_examples(path, definition.columns, ask, "answer") if path.exists() else []
    env = environment([folder, folder.parent, prompts_folder()])
    own = (folder / "prompt.jinja").is_file()
    template = "prompt.jinja" if own else DEFAULT_TEMPLATE
    return _build(folder.name, definition, env, template, tuple(examples), folder)


def prompts_folder() -> Path:
    """The shipped tasks: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "_prompts"
    return installed if installed.is_dir() else package.parent / "prompts"


def task_names() -> list[str]:
    """Names of the shipped tasks."""
    return sorted(path.parent.name for path in prompts_folder().glob("*/task.toml"))


def _build(
    task_id: str,
    definition: Definition,
    env: jinja2.Environment,
    template: str,
    examples: tuple[Example, ...],
    folder: Path | None,
) -> Task:
    where = str(folder / template) if folder else template
    source = check_template(env, template, definition.columns, where)
    plan = load_plan(folder / definition.plan, definition.fields) if folder else default_plan(definition.fields)
    if all(column.kind == "image" for column in definition.columns.values()) and any(a.shortlist for a in plan.ask):
        hint = "leave out `shortlist`, or declare a column of text"
        raise TaskError(
            "a shortlist is drawn up by a record's text, and the task reads pictures alone", where=where, hint=hint
        )
    try:
        compiled = env.get_template(template)
    except jinja2.TemplateError as error:
        raise TaskError(f"template: {error}", where=where) from None
    rules = load_rules(folder / RULES, definition.fields, definition.columns) if folder else None
    if rules:
        _check_rules(rules, definition.fields, examples, folder)
    return Task(task_id, definition, compiled, source, examples, plan, folder, rules)


def _find(name: str | Path) -> Path:
    for folder in (Path(name), prompts_folder() / name):
        if (folder / "task.toml").is_file():
            return folder
    alike = closest([str(name)], task_names())
    meant = f"is {alike!r} meant? " if alike else ""
    hint = f"{meant}give a folder with a task.toml, or one of: {', '.join(task_names())}"
    raise TaskError(f"no task {str(name)!r}", hint=hint)


def _told(example: Example) -> list[Any]:
    pictures = {name: picture.digest.hex() for name, picture in example.record.pictures.items()}
    return [dict(example.record.values), example.answer, *([pictures] if pictures else [])]


def _check_rules(
    rules: RuleBook, fields: Mapping[str, FieldBase], examples: tuple[Example, ...], folder: Path | None
) -> None:
    """Raise TaskError for a field with the name of a column of rules, and for an example that breaks one: it would
    teach what is withheld."""
    where = str(folder)
    if clash := [name for name in RULE_COLUMNS if name in fields]:
        told = f"field {clash[0]!r} has the name of a column that a task with rules has in a table of tags"
        raise TaskError(told, where=where, hint="rename it")
    for number, example in enumerate(examples, start=1):
        if broken := rules.broken(example.record.values, example.answer):
            told = f"example {number} breaks the rule {broken.rule!r}: {example.answer.get(broken.field)!r}"
            hint = f"correct its {broken.field!r}, or the rule in {RULES}"
            raise TaskError(told, where=f"{where}/examples.jsonl", hint=hint)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
