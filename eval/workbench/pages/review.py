"""The page on which people say what is right: a record at a time, from the keyboard, in seconds."""

from __future__ import annotations

from asyncio import to_thread
from typing import Any

from nicegui import events, ui

from eval.workbench.access import Person
from eval.workbench.desk import Desk
from eval.workbench.pages.answer_form import AnswerForm
from eval.workbench.pages.exchange import exchange_menu
from eval.workbench.pages.frame import frame, telling, told
from eval.workbench.queues import QUEUES, accuracy, queue
from eval.workbench.results import conflict_lines, marked, shown
from eval.workbench.reviews import (
    USES,
    Review,
    add,
    agreement,
    disputes,
    labelled,
    reviews,
    set_use,
    test_contents,
)
from eval.workbench.trial import Trial
from tagger.errors import SourceError, TaggerError
from tagger.record import Record
from tagger.result import Tagging
from tagger.task import load_task

ABOUT = {
    "sampled": "a random sample: the fair one for an accuracy",
    "doubtful": "the least probable first",
    "abstained": "what the tagger would not say",
    "conflicts": "what the rules contradict, or cannot place",
    "rejected": "what could not be tagged",
    "drifted": "values that come more often than before",
    "disputed": "where reviewers disagree",
    "label errors": "where the tagger is sure of something else than a reviewer said",
}


def review_page(desk: Desk, person: Person, name: str) -> None:
    """Build the page of reviews."""
    with frame(desk, person, f"Review {name}", name, "review"):
        Reviewing(desk, person, name).build()


class Reviewing:
    """One person's way through a queue, in one tab of a browser."""

    def __init__(self, desk: Desk, person: Person, name: str) -> None:
        self.desk, self.person, self.name = desk, person, name
        self.folder = desk.folder(name)
        self.task = load_task(self.folder)
        self.kind = "sampled"
        self.trial: Trial | None = None
        self.records: dict[str, Record] = {}
        self.taggings: dict[str, Tagging] = {}
        self.left: list[str] = []
        self.skipped: set[str] = set()
        self.before: list[str] = []
        self.form: AnswerForm | None = None

    def build(self) -> None:
        """The queue, what has come of it, and the record at hand."""
        with ui.row().classes("w-full items-center gap-3"):
            queues = ui.select({kind: f"{kind}: {ABOUT[kind]}" for kind in ABOUT}, value=self.kind, label="Queue")
            queues.props("outlined dense").classes("w-96").on_value_change(self._turn)
            self.far = ui.label().classes("quiet").props("role=status")
            ui.space()
            exchange_menu(self.desk, self.person, self.name, lambda: self.trial, lambda: self.records)
        with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-[3fr_2fr] gap-4 w-full items-start"):
            with ui.column().classes("sheet p-5 w-full gap-4 min-w-0"):
                self._record()
            with ui.column().classes("w-full gap-4"):
                self._standing()
        ui.keyboard(on_key=self._key)
        ui.timer(0.05, self._open, once=True)

    async def _open(self) -> None:
        with telling():
            if found := await to_thread(self.desk.last, self.name):
                self.trial, rows = found
                self.records = {row.id: row for row in rows if isinstance(row, Record)}
                self.taggings = {tagging.id: tagging for tagging in self.trial.taggings}
        await self._fill()

    async def _turn(self, event: events.ValueChangeEventArguments[Any]) -> None:
        self.kind, self.skipped, self.before = event.value, set(), []
        await self._fill()

    async def _fill(self) -> None:
        self.left = []
        with telling():
            found = await to_thread(self._queue)
            self.left = [name for name in found if name not in self.skipped and name in self.records]
        self._record.refresh()
        self._standing.refresh()

    def _queue(self) -> list[str]:
        kind = next(one for one in QUEUES if one == self.kind)
        valid = reviews(self.folder, self.task).valid
        return queue(
            kind, list(self.taggings.values()), self.records, valid, test_contents(self.folder), task=self.task,
            author=self.person.name,
        )  # fmt: skip

    @ui.refreshable_method
    def _record(self) -> None:
        self.far.set_text(f"{len(self.left):,} left")
        self.form = None
        if self.trial is None:
            ui.label("Nothing has been tagged yet.").classes("text-lg")
            ui.link("Try the task on some rows first", f"/task/{self.name}/try")
            return
        if not self.left:
            ui.label("This queue is done.").classes("text-lg")
            ui.link("Compare versions on what was reviewed", f"/task/{self.name}/compare")
            return
        record = self.records[self.left[0]]
        tagging = self.taggings[record.id]
        for column, text in marked(record, tagging.tags).items():
            ui.label(column).classes("quiet text-xs")
            ui.html(text, sanitize=False).classes("text-lg w-full break-words")  # `marked` escapes all of the text
        said = ", ".join(f"{shown(t.value)} {t.probability:.0%}" for t in tagging.tags.values() if t.value is not None)
        ui.label(f"The tagger says: {said or 'nothing'}").classes("quiet text-sm")
        for line in conflict_lines(tagging):
            ui.label(line).classes("text-sm text-negative")
        self.form = AnswerForm(self.task.asked(record), tagging.tags, self._save)
        self.form.build()
        with ui.row().classes("w-full items-center gap-2"):
            save = ui.button("Right as it stands", icon="check", on_click=self._save).props("unelevated")
            save.set_enabled(self.person.may("edit", self.name))
            ui.button("Skip", on_click=self._skip).props("flat color=secondary")
            if self.before:
                ui.button("Back", on_click=self._back).props("flat color=secondary")
            ui.space()
            ui.label("Enter: right as it stands · 1 to 9: another label · S: skip · B: back").classes("text-sm quiet")

    async def _save(self) -> None:
        if self.form is None or not self.left:
            return
        name, form, self.form = self.left.pop(0), self.form, None  # a second key before this is kept is for the next
        record, answer = self.records[name], dict(form.answer)
        tags = self.taggings[record.id].tags
        said = {name: (tag.value, tag.probability) for name, tag in tags.items()}
        given = Review(self.person.name, record, answer, "dev", said, self.trial.rows if self.trial else "")
        try:
            self.person.must("edit", self.name)
            await to_thread(add, self.folder, self.task, given)
        except TaggerError as error:
            self.left.insert(0, name)
            self.form = form
            told(error)
            return
        self.before.append(name)
        self.desk.note(self.person, "reviewed", self.name, record=record.id, queue=self.kind)
        self._record.refresh()
        self._standing.refresh()

    def _skip(self) -> None:
        if self.left:
            self.skipped.add(self.left.pop(0))
            self._record.refresh()

    def _back(self) -> None:
        if self.before:
            self.left.insert(0, self.before.pop())
            self._record.refresh()

    async def _key(self, event: events.KeyEventArguments) -> None:
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.meta or event.modifiers.alt:
            return
        if event.key.enter:
            await self._save()
        elif event.key.number is not None and self.form:
            await self.form.key(event.key.number)
        elif event.key == "s":
            self._skip()
        elif event.key == "b":
            self._back()

    @ui.refreshable_method
    def _standing(self) -> None:
        """How right the tagger was, how far the reviewers agree, and what the reviewed rows are used for."""
        found = reviews(self.folder, self.task)
        with ui.column().classes("sheet p-4 w-full gap-2"):
            ui.label("How right is it?").classes("font-medium")
            self._accuracy(found.valid)
        with ui.column().classes("sheet p-4 w-full gap-2"):
            ui.label("Reviewed rows").classes("font-medium")
            counts = {use: len(labelled(found.valid, use)) for use in USES}
            ui.label(
                f"{counts['dev']:,} judge, {counts['train']:,} may train, {counts['example']:,} are examples"
            ).classes("quiet")
            if stale := found.stale:
                ui.label(f"{len(stale):,} no longer fit the task: {stale[0].reason}").classes("text-sm text-negative")
            for pair in agreement(found.valid):
                kappa = f", kappa {pair.kappa:.2f}" if pair.kappa is not None else ""
                ui.label(f"{pair.a} and {pair.b}: {pair.same:,} of {pair.records:,} the same{kappa}").classes("text-sm")
            if disputed := disputes(found.valid):
                ui.label(f"{len(disputed):,} disputed: they judge nothing until people agree").classes("text-sm quiet")
            if self.before and self.person.may("edit", self.name):
                uses = ui.select({"dev": "judge", "train": "train", "example": "example"}, value="dev")
                uses.props('outlined dense label="Use the last one to"').classes("w-48")
                uses.on_value_change(lambda e: self._use(e.value))

    def _accuracy(self, valid: tuple[Review, ...]) -> None:
        try:
            figure = accuracy(
                list(self.taggings.values()), self.records, valid, test_contents(self.folder), task=self.task
            )
        except SourceError as error:
            ui.label(f"{error.message}.").classes("quiet")
            return
        ui.label(f"{figure.value:.0%} right").classes("text-2xl")
        ui.label(
            f"between {figure.low:.0%} and {figure.high:.0%} (95 %), from {figure.n:,} rows of the random sample"
        ).classes("quiet text-sm")

    def _use(self, use: str) -> None:
        with telling():
            set_use(self.folder, self.records[self.before[-1]], next(one for one in USES if one == use))
            self._standing.refresh()
