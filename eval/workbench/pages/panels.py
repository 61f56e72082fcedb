"""The panels in which a draft is written: guidelines, labels, prompt, examples, plan, and the files as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from nicegui import ui

from eval.workbench import forms
from eval.workbench.desk import Desk
from eval.workbench.exchange import cell, read_number
from eval.workbench.pages.frame import editor_theme
from eval.workbench.pages.helps import description_button, example_buttons
from eval.workbench.results import FEW
from eval.workbench.texts import Problem
from tagger.errors import TaskError
from tagger.task import load_task


class Draft(Protocol):
    """What the panels change."""

    desk: Desk
    folder: Path
    name: str
    files: dict[str, str]
    problems: list[Problem]
    may_edit: bool
    columns: list[str]
    general: str
    """The general prompt, for a task without one of its own."""
    editors: dict[str, ui.codemirror]

    def edit(self, make: Callable[[], Mapping[str, str]]) -> None:
        """Take the files that `make` gives."""
        ...

    def again(self) -> None:
        """Build the panel anew."""
        ...


def guidelines(draft: Draft) -> None:
    """What the task and each field mean."""
    told = ui.textarea("What the model is told that this is about", value=forms.about(draft.files))
    told.on_value_change(lambda e: draft.edit(lambda: forms.with_about(draft.files, e.value)))
    told.props("outlined autogrow").classes("w-full").set_enabled(draft.may_edit)
    for field in forms.fields(draft.files):
        means = ui.input(f"{field.name} ({field.kind}): what it means", value=field.about)
        means.on_value_change(lambda e, name=field.name: _means(draft, name, e.value))
        means.props("outlined dense").classes("w-full").set_enabled(draft.may_edit)


def labels(draft: Draft) -> None:
    """The labels of every field that has some."""
    closed = [field for field in forms.fields(draft.files) if field.labels is not None]
    if not closed:
        ui.label("No field of this task has labels.").classes("quiet")
    for field in closed:
        ui.label(f"{field.name}: {len(field.labels or {}):,} labels").classes("font-medium")
        grid = _grid(
            [
                {"field": "label", "headerName": "label", "editable": draft.may_edit, "flex": 1},
                {"field": "about", "headerName": "what it means", "editable": draft.may_edit, "flex": 2},
            ],
            [{"label": label, "about": text} for label, text in (field.labels or {}).items()],
        )
        grid.on("cellValueChanged", lambda e, name=field.name: _label_changed(draft, name, e.args), CELL)
        if draft.may_edit:
            _label_buttons(draft, field.name, grid)


def prompt(draft: Draft) -> None:
    """The template, by an editor that knows Jinja."""
    if "prompt.jinja" in draft.files:
        ui.label("This task has a prompt of its own. Empty it, and the general one is used.").classes("quiet text-sm")
    else:
        ui.label("This is the general prompt. Change it, and it becomes this task's own.").classes("quiet text-sm")
    _edits(draft, "prompt.jinja", draft.files.get("prompt.jinja", draft.general), "h-[28rem]")
    named = ", ".join(f"{{{{ {_said_of(name)} }}}}" for name in draft.columns)
    ui.label(f"A record's columns: {named}. The instruction is the same for all records, and cached.").classes(
        "quiet text-sm"
    )


def examples(draft: Draft) -> None:
    """The examples with their right answers."""
    rows = forms.examples(draft.files)
    cells = _Cells(draft, rows)
    ui.label(f"{len(rows):,} examples, shown to the model with their right answers").classes("font-medium")
    grid = _grid(cells.columns(draft.may_edit), [cells.line(n, row) for n, row in enumerate(rows)])

    def changed(line: Mapping[str, Any]) -> None:
        now, place = forms.examples(draft.files), line["n"]
        draft.edit(lambda: forms.with_examples(draft.files, [*now[:place], cells.example(line), *now[place + 1 :]]))

    async def remove() -> None:
        gone = {line["n"] for line in await grid.get_selected_rows()}
        now = forms.examples(draft.files)
        draft.edit(lambda: forms.with_examples(draft.files, [row for n, row in enumerate(now) if n not in gone]))
        draft.again()

    def add() -> None:
        blank = {"record": {key: "..." for key in cells.keys if key not in pictures}, "answer": {}}
        draft.edit(lambda: forms.with_examples(draft.files, [blank, *forms.examples(draft.files)]))
        draft.again()

    grid.on("cellValueChanged", lambda e: changed(e.args["data"]), ["data"])
    columns = load_task(draft.folder).columns
    pictures = [key for key, column in columns.items() if column.kind == "image"]
    if draft.may_edit:
        with ui.row().classes("gap-2"):
            if not any(columns[key].required for key in pictures):  # no picture can be put in here
                ui.button("Add one", on_click=add).props("outline")
            example_buttons(draft)
            ui.button("Remove the selected", on_click=remove).props("flat color=secondary")


def plan(draft: Draft) -> None:
    """How it is asked: form, examples in the prompt, votes."""
    found = forms.plan(draft.files)
    ui.label("How the model is asked. What is best for a task depends on its rows: compare before you keep.").classes(
        "quiet text-sm"
    )
    for name, about in forms.PLAN.items():
        number = ui.number(about, value=found[name], min=0, step=0.5 if name == "prior" else 1)
        number.on_value_change(lambda e, name=name: _planned(draft, name, e.value))
        number.props("outlined dense").classes("w-full max-w-xl").set_enabled(draft.may_edit)
    ui.label("The form of each question stands in plan.toml, on the panel Files.").classes("quiet text-sm")


def raw(draft: Draft) -> None:
    """Every file as it is, for whoever wants to."""
    for name, text in draft.files.items():
        ui.label(name).classes("font-medium")
        _edits(draft, name, text, "max-h-80")


PANELS: Mapping[str, Callable[[Draft], None]] = {
    "Guidelines": guidelines,
    "Labels": labels,
    "Prompt": prompt,
    "Examples": examples,
    "Plan": plan,
    "Files": raw,
}
CELL = ["data", "colId", "oldValue", "newValue"]
"""What is heard of a cell that was changed; the rest of the event is the grid itself."""


class _Cells:
    """Examples as lines of a table and back; of a task with many fields an answer is one cell of JSON."""

    def __init__(self, draft: Draft, rows: Sequence[Mapping[str, Any]]) -> None:
        self.keys = list(dict.fromkeys(key for row in rows for key in row["record"])) or draft.columns
        self._kinds = {field.name: field.kind for field in forms.fields(draft.files)}
        self._apart = len(self._kinds) <= FEW

    def columns(self, editable: bool) -> list[dict[str, Any]]:
        """The columns of the record, and those of the answer."""
        found: list[dict[str, Any]] = [
            {"field": f"r{n}", "headerName": key, "flex": 2, "tooltipField": f"r{n}"} for n, key in enumerate(self.keys)
        ]
        if self._apart:
            found += [{"field": f"a{n}", "headerName": name, "flex": 1} for n, name in enumerate(self._kinds)]
        else:
            found.append({"field": "answer", "headerName": "answer", "flex": 2})
        return [{**column, "editable": editable} for column in found]

    def line(self, number: int, row: Mapping[str, Any]) -> dict[str, Any]:
        """An example as a line."""
        cells = {"n": number, **{f"r{n}": row["record"].get(key, "") for n, key in enumerate(self.keys)}}
        if self._apart:
            return {**cells, **{f"a{n}": _told(row["answer"].get(name)) for n, name in enumerate(self._kinds)}}
        return {**cells, "answer": json.dumps(row["answer"], ensure_ascii=False)}

    def example(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """A line as an example; TaskError for a cell that is no JSON where it has to be."""
        record = {key: line[f"r{n}"] for n, key in enumerate(self.keys) if line.get(f"r{n}")}
        if not self._apart:
            return {"record": record, "answer": _object(line.get("answer") or "{}")}
        said = {name: line.get(f"a{n}") for n, name in enumerate(self._kinds)}
        answer = {name: _value(self._kinds[name], text) for name, text in said.items() if text}
        return {"record": record, "answer": answer}


def mark(draft: Draft) -> None:
    """Mark the lines at which something is wrong."""
    for file, editor in draft.editors.items():
        editor.decorations = [
            {"kind": "line", "line": problem.line, "class": "wrong"}
            for problem in draft.problems
            if problem.file == file and problem.line and problem.line <= editor.value.count("\n") + 1
        ]


def _edits(draft: Draft, file: str, text: str, classes: str) -> None:
    language: Any = {"toml": "TOML", "jinja": "Jinja2"}.get(file.rpartition(".")[2])
    editor = ui.codemirror(text, language=language, line_wrapping=True, theme=editor_theme())
    editor.on_value_change(lambda e: draft.edit(lambda: _with(draft.files, file, e.value)))
    editor.classes(f"w-full {classes}").set_enabled(draft.may_edit)
    draft.editors[file] = editor
    mark(draft)


def _with(files: Mapping[str, str], file: str, text: str) -> dict[str, str]:
    """The files with this text; a prompt without one is none, so that the general one is used."""
    if file == "prompt.jinja" and not text.strip():
        return {name: told for name, told in files.items() if name != file}
    return {**files, file: text}


def _said_of(column: str) -> str:
    """How a template names a column."""
    return f"record.{column}" if column.isidentifier() else f"record[{json.dumps(column, ensure_ascii=False)}]"


def _grid(columns: list[dict[str, Any]], rows: list[dict[str, Any]]) -> ui.aggrid:
    options = {"columnDefs": columns, "rowData": rows, "stopEditingWhenCellsLoseFocus": True}
    return ui.aggrid({**options, "rowSelection": {"mode": "multiRow"}}).classes("w-full h-96")


def _means(draft: Draft, field: str, text: str) -> None:
    draft.edit(lambda: forms.with_field_about(draft.files, field, text))


def _planned(draft: Draft, name: str, value: float | None) -> None:
    if value is not None:
        draft.edit(lambda: forms.with_plan(draft.files, name, value))


def _labels_of(draft: Draft, field: str) -> dict[str, str]:
    return dict(next(one.labels or {} for one in forms.fields(draft.files) if one.name == field))


def _label_changed(draft: Draft, field: str, cell: Mapping[str, Any]) -> None:
    row, before, after = cell["data"], cell.get("oldValue") or "", str(cell.get("newValue") or "").strip()
    if cell["colId"] == "label":
        draft.edit(lambda: forms.renamed_label(draft.files, field, before, after))
    else:
        draft.edit(lambda: forms.with_labels(draft.files, field, {**_labels_of(draft, field), row["label"]: after}))


def _label_buttons(draft: Draft, field: str, grid: ui.aggrid) -> None:
    async def remove() -> None:
        gone = {row["label"] for row in await grid.get_selected_rows()}
        left = {label: text for label, text in _labels_of(draft, field).items() if label not in gone}
        draft.edit(lambda: forms.with_labels(draft.files, field, left))
        draft.again()

    def add() -> None:
        label, _, about = (part.strip() for part in fresh.value.partition(":"))
        if label in _labels_of(draft, field):
            ui.notify(f"{label!r} is there already", type="warning")
        elif label:
            draft.edit(lambda: forms.with_labels(draft.files, field, {**_labels_of(draft, field), label: about}))
            draft.again()

    with ui.row().classes("items-center gap-2"):
        fresh = ui.input("New label: what it means").props("outlined dense").on("keydown.enter", add)
        ui.button("Add", on_click=add).props("outline")
        description_button(draft, field)
        ui.button("Remove the selected", on_click=remove).props("flat color=secondary")


def _told(value: Any) -> str:
    return "" if value is None else cell(value)


def _value(kind: str, text: Any) -> Any:
    """A cell's text as a value: a number or a quantity where the field has such, JSON where it is a list or true or
    false. What is none of it stays, for the task's check to say so."""
    if kind == "number" and isinstance(text, str):
        return text if (number := read_number(text)) is None else number
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text
    return found if isinstance(found, list | dict | bool) else text


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TaskError(f"not JSON: {error}", where="answer", hint='write {"field": "value"}') from None
