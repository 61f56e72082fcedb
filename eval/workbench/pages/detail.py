"""One record with what was said of it: the proofs in its text, the probabilities, the alternatives, and why."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from nicegui import ui

from eval.workbench.access import Person
from eval.workbench.chosen import chosen_task
from eval.workbench.desk import Desk
from eval.workbench.pages.frame import telling
from eval.workbench.pages.picture import picture
from eval.workbench.pictures import apart, glimpse, opened
from eval.workbench.results import conflict_lines, correction_lines, marked, said, shown, untraced_lines
from eval.workbench.why import Why, why
from tagger.errors import SourceError
from tagger.pipeline import Tagger
from tagger.record import Column, Record, Rejected
from tagger.result import Tag, Tagging


class Detail:
    """The panel beside the table of results."""

    def __init__(self, desk: Desk, person: Person, name: str, folder: Path, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self._desk, self._person, self._name, self._folder = desk, person, name, folder
        self._record: Record | None = None
        self._tagging: Tagging | None = None
        self._asked, self._why = "live", dict[str, Why]()

    def build(self) -> None:
        """The panel, empty."""
        with ui.column().classes("sheet p-4 w-full gap-3 min-w-0"):
            self._shown()

    def clear(self) -> None:
        """Show nothing."""
        self._record = self._tagging = None
        self._shown.refresh()

    def show(self, record: Record | None, tagging: Tagging, asked: str) -> None:
        """Show a record, None for a row that is none; `asked` is the state of the task by which it was tagged
        (chosen.py)."""
        self._record, self._tagging, self._asked, self._why = record, tagging, asked, {}
        self._shown.refresh()

    @ui.refreshable_method
    def _shown(self) -> None:
        if self._tagging is None:
            ui.label("Choose a row to see what proves its values, and why they were said.").classes("quiet")
            return
        if self._record:
            self._said(self._record, self._tagging)
        if self._tagging.reason:
            reason = ui.label(f"{self._tagging.outcome}: {self._tagging.reason}").classes("break-words")
            reason.props(
                "" if self._tagging.tags else "role=alert"
            )  # of a tagged row, it says what was withheld beside
        for told in conflict_lines(self._tagging):
            ui.label(told).classes("text-sm text-negative")
        for name, tag in self._tagging.tags.items():
            self._tag(name, tag)

    def _said(self, record: Record, tagging: Tagging) -> None:
        """What the record says, and what it shows."""
        texts, pictures = apart(self._columns, record)
        for column, called in pictures.items():
            ui.label(column).classes("quiet text-xs")
            picture(partial(glimpse, called, self._folder), f"{column} of {record.id}")
        for column, text in marked(texts, tagging.tags).items():
            ui.label(column).classes("quiet text-xs")
            ui.html(text, sanitize=False).classes("turn w-full")  # made by `marked`, which escapes all of the text

    def _tag(self, name: str, tag: Tag) -> None:
        with ui.column().classes("w-full gap-1 border-t pt-2").style("border-color: var(--line)"):
            with ui.row().classes("w-full items-center gap-2 no-wrap"):
                ui.label(name).classes("quiet text-sm w-28 truncate")
                ui.label(said(tag)).classes("font-medium grow min-w-0 break-words")
                ui.label(f"{tag.probability:.0%}").classes("text-sm")
                ui.button("Why?", on_click=lambda: self._ask(name)).props(f'flat dense aria-label="Why {name}?"')
            for told in (*correction_lines(tag), *untraced_lines(tag)):
                ui.label(told).classes("text-sm quiet")
            if tag.abstained and tag.alternatives:
                ruled = any(name in one.fields[:1] for one in self._tagging.conflicts) if self._tagging else False
                why_not = "Withheld by a rule" if ruled else "Too doubtful to say"
                ui.label(f"{why_not}: this is the likeliest guess.").classes("text-sm quiet")
            if tag.inferred:
                ui.label("This text does not stand in the record: it was inferred.").classes("text-sm quiet")
            for other in tag.alternatives[1 if tag.abstained else 0 :]:
                with ui.row().classes("w-full items-center gap-2 no-wrap text-sm quiet"):
                    ui.label(shown(other.value)).classes("grow min-w-0 truncate pl-28")
                    ui.label(f"{other.probability:.0%}")
            if name in self._why:
                _reasons(self._why[name])

    async def _ask(self, name: str) -> None:
        record, note = self._record, ui.notification("Asking again without each word ...", spinner=True, timeout=None)
        with telling():
            found = await to_thread(self._because, name)
            if record is self._record and found:
                self._why[name] = found
                self._shown.refresh()
        note.dismiss()

    def _because(self, name: str) -> Why | None:
        if self._record is None:
            return None
        with chosen_task(self._folder, self._person.name, self._asked) as task:
            record = opened(self._record, task.columns, self._folder)
            if isinstance(record, Rejected):
                raise SourceError(record.reason, where=record.where)
            return why(Tagger(task, engine=self._desk.trials.engine), record, name)


def _reasons(found: Why) -> None:
    """The words that carry the answer, the heaviest first, and the shots that were shown."""
    heavy = sorted((word for word in found.words if word.fall > 0.005), key=lambda word: -word.fall)[:8]
    ui.label("Without this word the probability falls by" if heavy else "No single word carries this answer.").classes(
        "text-sm quiet"
    )
    for word in heavy:
        with ui.row().classes("w-full items-center gap-2 no-wrap text-sm"):
            ui.label(word.text).classes("w-40 truncate")
            bar = ui.linear_progress(value=min(1.0, word.fall), show_value=False, color="accent")
            bar.props('size=6px rounded aria-label="Fall"').classes("grow")
            ui.label(f"{100 * word.fall:.0f} points" + (f", then {shown(word.then)}" if word.then is not None else ""))
    if found.shots:
        with ui.expansion(f"{len(found.shots)} examples stand in the prompt").classes("w-full text-sm"):
            for record, answer in found.shots:
                ui.label(f"{record}  →  {answer}").classes("text-sm whitespace-pre-wrap")
