"""The menu by which reviewed rows leave, and come in, in the formats of other programs."""

from __future__ import annotations

import json
from asyncio import to_thread
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nicegui import events, ui

from eval.workbench.access import Person
from eval.workbench.desk import Desk
from eval.workbench.exchange import from_csv, from_jsonl, to_csv, to_jsonl
from eval.workbench.label_studio import from_label_studio, labelling_config, to_label_studio
from eval.workbench.pages.frame import telling
from eval.workbench.pictures import carried
from eval.workbench.reviews import USES, add, content, import_test, labelled, reviews, test_contents
from eval.workbench.trial import Trial
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Record, Rejected
from tagger.task import Task, load_task


def exchange_menu(
    desk: Desk,
    person: Person,
    name: str,
    trial: Callable[[], Trial | None],
    records: Callable[[], Mapping[str, Record]],
) -> None:
    """Two buttons: take reviewed rows along, and bring some in."""
    folder = desk.folder(name)

    async def leave(kind: str) -> None:
        with telling():
            content = await to_thread(_written, kind, folder, trial(), records())
            ui.download.content(content, f"{name}.{kind}")
            if kind in ("csv", "jsonl") and (stale := reviews(folder, load_task(folder)).stale):
                ui.notify(f"{len(stale):,} reviewed rows no longer fit the task and were left out", type="warning")
            desk.note(person, "exported", name, form=kind)

    with ui.button("Export", icon="download").props("outline"), ui.menu():
        ui.menu_item("Reviewed rows as CSV", lambda: leave("csv"))
        ui.menu_item("Reviewed rows as JSONL (for eval and finetune)", lambda: leave("jsonl"))
        ui.menu_item("Tagged rows for Label Studio", lambda: leave("json"))
        ui.menu_item("Labelling page for Label Studio (XML)", lambda: leave("xml"))
    if person.may("edit", name):
        ui.button("Import", icon="upload", on_click=lambda: _dialog(desk, person, name, folder)).props("outline")


def _written(kind: str, folder: Path, trial: Trial | None, records: Mapping[str, Record]) -> bytes:
    task = load_task(folder)
    if kind == "xml":
        return labelling_config(task).encode()
    if kind == "json":
        if trial is None:
            raise SourceError("nothing has been tagged yet", hint="try the task on some rows first")
        test = test_contents(folder)  # nobody is to label a test row
        known = [t for t in trial.taggings if t.id in records and content(records[t.id]) not in test]
        return json.dumps(to_label_studio(task, known, records, folder), ensure_ascii=False, indent=1).encode()
    rows = _all(folder, task)
    if not rows:
        raise SourceError("nothing has been reviewed yet", hint="review some rows first")
    return to_csv(task, rows).encode("utf-8-sig") if kind == "csv" else to_jsonl(_whole(task, rows, folder)).encode()


def _all(folder: Path, task: Task) -> Sequence[Example]:
    valid = reviews(folder, task).valid
    return [row for use in USES for row in labelled(valid, use)]


def _whole(task: Task, rows: Sequence[Example], folder: Path) -> list[Example]:
    """The rows with their pictures in them; SourceError for one that is not there any more."""
    found = [carried(row.record, task.columns, folder) for row in rows]
    if gone := [one for one in found if isinstance(one, Rejected)]:
        told = f"{len(gone):,} reviewed rows have pictures that cannot be read, the first: {gone[0].reason}"
        raise SourceError(told, where=gone[0].where, hint="put them back; the table as CSV names them")
    records = [one for one in found if isinstance(one, Record)]
    return [replace(row, record=record) for row, record in zip(rows, records, strict=True)]


async def _dialog(desk: Desk, person: Person, name: str, folder: Path) -> None:
    async def came(event: events.UploadEventArguments) -> None:
        with telling(), TemporaryDirectory() as place:
            path = Path(place) / Path(event.file.name).name
            await event.file.save(path)
            told = await to_thread(_read, path, folder, person.name, test.value)
            desk.note(person, "imported", name, file=path.name, test=test.value)
            ui.notify(told, type="positive")
            dialog.close()

    with ui.dialog() as dialog, ui.card().classes("w-[36rem] gap-3"):
        ui.label("Bring reviewed rows").classes("text-lg font-medium")
        ui.label("CSV or JSONL as exported here, or the JSON export of Label Studio.").classes("quiet")
        test = ui.checkbox("These are test rows: nobody reviews or shows them, they judge once, at the end (JSONL)")
        ui.upload(auto_upload=True, max_files=1, on_upload=came, label="The file").classes("w-full")
    dialog.open()


def _read(path: Path, folder: Path, author: str, test: bool) -> str:
    task = load_task(folder)
    if test:
        return f"{import_test(folder, task, path):,} test rows"
    if path.suffix == ".json":
        found = from_label_studio(task, path)
    elif path.suffix == ".jsonl":
        found = from_jsonl(task, path, author)
    else:
        found = from_csv(task, path, author)
    add(folder, task, *found.reviews)
    left = f", {found.unanswered:,} without an answer" if found.unanswered else ""
    return f"{len(found.reviews):,} reviewed rows{left}"
