"""What may help a draft: examples against confusions, and descriptions that the model drafts. A person decides."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from nicegui import ui

from eval.workbench import forms
from eval.workbench.desk import Desk
from eval.workbench.pages.frame import telling
from eval.workbench.pictures import apart
from eval.workbench.queues import against
from eval.workbench.results import shown
from eval.workbench.reviews import labelled, native, reviews
from eval.workbench.suggest import Suggestion, describe, examples_worth_adding
from eval.workbench.texts import task_of
from tagger.errors import SourceError
from tagger.example import Example
from tagger.likeness import plain_text
from tagger.record import Record
from tagger.task import Task, load_task


class Helped(Protocol):
    """What is helped: a draft as it is being written."""

    desk: Desk
    folder: Path
    name: str
    files: dict[str, str]

    def edit(self, make: Callable[[], Mapping[str, str]]) -> None:
        """Take the files that `make` gives."""
        ...

    def again(self) -> None:
        """Build the panel anew."""
        ...


def example_buttons(draft: Helped) -> None:
    """Two ways to examples: reviewed rows that were marked as such, and suggestions against confusions."""
    ui.button("Add what was reviewed as examples", on_click=lambda: _from_reviews(draft)).props("outline")
    ui.button("Suggest some", icon="lightbulb", on_click=lambda: _suggest(draft)).props("outline")


def description_button(draft: Helped, field: str) -> None:
    """A way to descriptions of labels that have none."""
    ui.button("Draft what is missing", icon="lightbulb", on_click=lambda: _describe(draft, field)).props("outline")


def _from_reviews(draft: Helped) -> None:
    with telling():
        shown_already = {plain_text(Record("", row["record"])) for row in forms.examples(draft.files)}
        task = load_task(draft.folder)
        chosen = in_words(task, labelled(reviews(draft.folder, task).valid, "example"))
        fresh = [row for row in chosen if plain_text(row.record) not in shown_already]
        if not fresh:
            hint = "on the page Review, use a row as an example once you have said what is right"
            raise SourceError("no reviewed row is marked as an example and not yet in the draft", hint=hint)
        _add(draft, fresh)


def in_words(task: Task, rows: Sequence[Example]) -> list[Example]:
    """The rows without pictures: a model is shown no others as examples. SourceError where that leaves none."""
    found = [row for row in rows if not apart(task.columns, row.record)[1]]
    if rows and not found:
        raise SourceError("rows with pictures are not shown to the model as examples, and all of these have some")
    return found


def _add(draft: Helped, rows: Sequence[Example]) -> None:
    lines = [{**native(row), "record": dict(row.record.values)} for row in rows]
    draft.edit(lambda: forms.with_examples(draft.files, [*forms.examples(draft.files), *lines]))
    draft.again()


async def _suggest(draft: Helped) -> None:
    found: Sequence[Suggestion] = ()
    with telling():
        found = await to_thread(_suggestions, draft)
    if not found:
        return

    def offered(suggestion: Suggestion) -> tuple[str, str, str]:
        row = suggestion.example
        answer = ", ".join(f"{name}: {shown(value)}" for name, value in row.answer.items())
        return " · ".join(row.record.values.values()), answer, suggestion.because

    taken = await _choice("Rows that might help as examples", [offered(one) for one in found])
    if taken:
        _add(draft, [found[n].example for n in taken])


def _suggestions(draft: Helped) -> Sequence[Suggestion]:
    """Rows that may be shown, against what the last trial got wrong. Raises SourceError where nothing can be said."""
    last = draft.desk.last(draft.name)
    known = load_task(draft.folder)
    valid = reviews(draft.folder, known).valid
    spare = in_words(known, [*labelled(valid, "train"), *labelled(valid, "example")])
    if last is None or not spare:
        told = "rows that judge are never shown, so there is none to suggest" if last else "nothing has been tried yet"
        raise SourceError(told, hint="on the page Review, use some reviewed rows to train, or bring more known answers")
    trial, rows = last
    records = {row.id: row for row in rows if isinstance(row, Record)}
    with task_of(draft.files, draft.name) as task:
        verdicts, judged = against(trial.taggings, records, valid, task=task)
        found = examples_worth_adding(task, verdicts, judged, spare)
    if not found:
        raise SourceError(f"of {len(judged):,} rows of the last trial with known answers, none was confused")
    return found


async def _describe(draft: Helped, field: str) -> None:
    note = ui.notification("The model is drafting ...", spinner=True, timeout=None)
    drafts: Mapping[str, str] = {}
    with telling():
        drafts = await to_thread(_drafts, draft, field)
    note.dismiss()
    if not drafts:
        return
    offered = [(label, text, "a draft by the model: read it before you take it") for label, text in drafts.items()]
    taken = await _choice("Drafts of what labels mean", offered)
    if taken:
        labels = next(one.labels or {} for one in forms.fields(draft.files) if one.name == field)
        chosen = {label: text for n, (label, text) in enumerate(drafts.items()) if n in taken}
        draft.edit(lambda: forms.with_labels(draft.files, field, {**labels, **chosen}))
        draft.again()


def _drafts(draft: Helped, field: str) -> Mapping[str, str]:
    """Descriptions of the labels that have none. Raises SourceError where there is nothing to draft."""
    labels = next(one.labels or {} for one in forms.fields(draft.files) if one.name == field)
    missing = [label for label, text in labels.items() if not text]
    if not missing:
        raise SourceError("each label says already what it means")
    with task_of(draft.files, draft.name) as task:
        found = describe(draft.desk.trials.engine, task, field, missing, _examples_of(draft, task, field))
    if not found:
        raise SourceError("the model wrote nothing of use", hint="write the descriptions by hand")
    return found


def _examples_of(draft: Helped, task: Task, field: str) -> dict[str, list[Example]]:
    """By label the rows that may be shown; those that judge stay unseen."""
    valid = reviews(draft.folder, load_task(draft.folder)).valid
    rows = [*task.examples, *labelled(valid, "example"), *labelled(valid, "train")]
    found: dict[str, list[Example]] = {}
    for row in rows:
        values: Any = row.answer.get(field)
        for value in values if isinstance(values, list) else [values]:
            found.setdefault(str(value), []).append(row)
    return found


async def _choice(title: str, offered: Sequence[tuple[str, str, str]]) -> set[int]:
    """The numbers of what a person ticks, of lines with a text, what is said of it, and why it is offered."""
    with ui.dialog() as dialog, ui.card().classes("w-[52rem] max-w-full gap-3"):
        ui.label(title).classes("text-lg font-medium")
        boxes: list[ui.checkbox] = []
        with ui.column().classes("w-full gap-2 max-h-[26rem] overflow-auto"):
            for text, answer, because in offered:
                with ui.row().classes("w-full items-start no-wrap gap-2"):
                    boxes.append(ui.checkbox().props(f'aria-label="Take {len(boxes) + 1}"'))
                    with ui.column().classes("gap-0 min-w-0"):
                        ui.label(text).classes("break-words")
                        ui.label(answer).classes("font-medium break-words")
                        ui.label(because).classes("text-sm quiet")
        with ui.row().classes("w-full justify-end gap-2"):
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat color=secondary")
            ui.button("Take the ticked", on_click=lambda: dialog.submit(True)).props("unelevated")
    ticked: bool = await dialog
    return {n for n, box in enumerate(boxes) if box.value} if ticked else set()
