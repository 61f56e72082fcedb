"""The form by which a file is brought: what is in it, which column is read, and where the right answers stand."""

from __future__ import annotations

import re
from asyncio import to_thread
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nicegui import events, ui

from eval.workbench.access import Person
from eval.workbench.desk import Desk
from eval.workbench.encodings import ENCODINGS
from eval.workbench.known import take_known
from eval.workbench.pages.frame import telling, told
from eval.workbench.records import picture_notes, row_files, rows_file, write_mapping
from eval.workbench.uploads import Look, bring, look, values
from tagger.errors import TaggerError
from tagger.task import load_task

LARGEST = 1 << 30
"""Bytes of a file that is taken through the browser."""
NONE = ""


class BringForm:
    """A file on its way in. `changed` hears when there is one, or another."""

    def __init__(
        self, wanted: Mapping[str, str], changed: Callable[[], object], *, answers: bool = True,
        pictures: Collection[str] = (),
    ) -> None:  # fmt: skip
        """`wanted` are the columns that are looked for, with what each means; `answers`: whether one may hold right
        answers, which it can of a task with one field; `pictures` are the columns that hold some."""
        self._wanted, self._changed, self._answers, self._pictures = wanted, changed, answers, pictures
        self._folder = TemporaryDirectory()
        self.path = Path(self._folder.name) / "file"
        self.name = ""
        self.encoding: str | None = None
        self.sheet: str | None = None
        self.look: Look | None = None
        self.columns: dict[str, str] = {}
        """Wanted column -> that of the file."""
        self.labels = NONE
        """The file's column with right answers, if it has one."""
        self.known: list[str] = []
        """What stands in that column."""

    def build(self) -> None:
        """The place to drop a file, and under it what was found in it."""
        drop = ui.upload(
            label="CSV, Excel, JSON or Parquet: drop it here, or choose it below", auto_upload=True,
            max_file_size=LARGEST, on_upload=self._came,
        )  # fmt: skip
        drop.on_rejected(lambda: ui.notify("one file, of at most 1 GB", type="negative"))
        drop.props("flat bordered hide-upload-btn").classes("w-full")
        self._drop = drop
        pick = f"() => getElement({drop.id}).$refs.qRef.pickFiles()"
        ui.button("Choose a file", icon="upload_file").props("outline").on("click", js_handler=pick)
        self._found()

    async def _came(self, event: events.UploadEventArguments) -> None:
        await event.file.save(self.path)
        self.name, self.encoding, self.sheet = event.file.name, None, None
        await self._look()

    async def _look(self) -> None:
        self.look = None
        try:
            shown = bool(self._pictures)
            found = await to_thread(look, self.path, self.name, self.encoding, self.sheet, pictures=shown)
            self.columns = {name: self._guess(found, name) for name in self._wanted}
            self.labels, self.look = (found.label_column or NONE) if self._answers else NONE, found
            await self._take_known()
        except TaggerError as error:
            told(error)
            self._drop.reset()
        self._found.refresh()
        self._changed()

    def _guess(self, found: Look, name: str) -> str:
        """The file's column that is likely the wanted one."""
        alike = found.picture_column if name in self._pictures else found.text_column
        return name if name in found.columns else alike or found.columns[0]

    @ui.refreshable_method
    def _found(self) -> None:
        if self.look is None:
            return
        found = self.look
        for note in found.notes:
            ui.label(note).classes("text-sm quiet")
        with ui.row().classes("w-full gap-3"):
            for name, about in self._wanted.items():
                choice = ui.select(list(found.columns), value=self.columns[name], label=about or f"Which is {name}?")
                choice.on_value_change(lambda e, name=name: self._read(name, e.value))
                choice.props("outlined dense").classes("min-w-56")
            if self._answers:
                none = {NONE: "none", **{name: name for name in found.columns}}
                known = ui.select(none, value=self.labels, label="Column with right answers", on_change=self._answered)
                known.props("outlined dense").classes("min-w-56")
            if len(found.sheets) > 1:
                sheet = ui.select(list(found.sheets), value=found.sheet, label="Sheet", on_change=self._leafed)
                sheet.props("outlined dense").classes("min-w-40")
            if found.encoding:
                codes = sorted({*ENCODINGS, found.encoding})
                code = ui.select(codes, value=found.encoding, label="Characters as", on_change=self._decoded)
                code.props("outlined dense").classes("min-w-40")
        ui.aggrid({
            "columnDefs": [{"field": f"c{n}", "headerName": name, "flex": 1, "tooltipField": f"c{n}"}
                           for n, name in enumerate(found.columns)],
            "rowData": [{f"c{n}": row.get(name, "") for n, name in enumerate(found.columns)} for row in found.rows],
        }).classes("w-full h-56")  # fmt: skip

    def _read(self, name: str, column: str) -> None:
        self.columns[name] = column
        self._changed()

    async def _answered(self, event: events.ValueChangeEventArguments[Any]) -> None:
        self.labels = event.value
        with telling():
            await self._take_known()
        self._changed()

    async def _take_known(self) -> None:
        self.known = []
        if self.labels != NONE:
            self.known = await to_thread(values, self.path, self.name, self.labels, self.encoding, self.sheet)

    async def _leafed(self, event: events.ValueChangeEventArguments[Any]) -> None:
        self.sheet = event.value
        await self._look()

    async def _decoded(self, event: events.ValueChangeEventArguments[Any]) -> None:
        self.encoding = event.value
        await self._look()

    def into(self, folder: Path, author: str) -> tuple[str, list[str]]:
        """Write the rows to a task's folder; returns what they are called there, and what to know about them."""
        stem = re.sub(r"[^\w-]+", "_", Path(self.name).stem)[:50] or "rows"
        taken = set(row_files(folder))
        name = next(n for n in (stem, *(f"{stem}-{k}" for k in range(2, 1000))) if n not in taken)
        brought = bring(
            self.path, self.name, rows_file(folder, name), encoding=self.encoding, sheet=self.sheet,
            pictures=folder if self._pictures else None,
        )  # fmt: skip
        write_mapping(folder, name, {ours: theirs for ours, theirs in self.columns.items() if ours != theirs})
        notes = [f"{brought.rows:,} rows", *brought.notes, *(picture_notes(folder, name) if self._pictures else ())]
        if self.labels != NONE:
            notes.append(take_known(folder, name, self.labels, author))
        return name, notes


async def bring_dialog(desk: Desk, person: Person, task: str) -> str | None:
    """Let a person bring a file to a task; what its rows are called there, None if it was left."""
    folder = desk.folder(task)
    loaded = load_task(folder)
    wanted = {name: column.about for name, column in loaded.columns.items() if column.required}
    with ui.dialog() as dialog, ui.card().classes("w-[56rem] max-w-full gap-3"):
        ui.label("Bring a file").classes("text-lg font-medium")
        form = BringForm(
            wanted, lambda: take.set_enabled(form.look is not None), answers=len(loaded.fields) == 1,
            pictures=loaded.picture_columns,
        )  # fmt: skip
        form.build()
        with ui.row().classes("w-full justify-end gap-2"):
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat color=secondary")
            take = ui.button("Take it", on_click=lambda: dialog.submit(True)).props("unelevated")
            take.disable()
    if not await dialog:
        return None
    note = ui.notification("Reading the file ...", spinner=True, timeout=None)
    name = None
    with telling():
        person.must("edit", task)
        name, notes = await to_thread(form.into, folder, person.name)
        desk.note(person, "brought rows", task, rows=name)
        ui.notify("\n".join(notes), multi_line=True, type="positive", timeout=8000)
    note.dismiss()
    return name
