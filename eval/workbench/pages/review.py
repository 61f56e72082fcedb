"""The page on which people say what is right: a record at a time, from the keyboard, in seconds."""

from __future__ import annotations

from asyncio import to_thread
from functools import partial
from typing import Any

from nicegui import events, ui

from eval.workbench.access import Person
from eval.workbench.desk import RUNS, Desk
from eval.workbench.pages.answer_form import AnswerForm
from eval.workbench.pages.exchange import exchange_menu
from eval.workbench.pages.frame import frame, telling, told
from eval.workbench.pages.picture import picture
from eval.workbench.pages.standing import Uses, how_right
from eval.workbench.pictures import apart, glimpse
from eval.workbench.queues import QUEUES, mix, queue, reviewable
from eval.workbench.results import conflict_lines, marked, shown, untraced_lines
from eval.workbench.reviews import Review, add, content, reviews, test_contents
from eval.workbench.trial import Trial, earlier, heads
from tagger.errors import TaggerError
from tagger.record import Record
from tagger.result import Tagging
from tagger.task import load_task

ABOUT = {
    "sampled": "a random sample: the fair one for an accuracy",
    "doubtful": "the least probable first",
    "abstained": "what the tagger would not say",
    "conflicts": "what the rules contradict, or cannot place",
    "rejected": "what could not be tagged",
    "drifted": "values that come more often than in the rows tried before",
    "disputed": "where reviewers disagree",
    "label errors": "where the tagger is sure of something else than a reviewer said",
}
RUNS_SHOWN = 20


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
        self.verdicts: dict[str, list[Review]] = {}
        """By content of a record, what people have said of it."""
        self.left: list[str] = []
        self.skipped: set[str] = set()
        self.passed: list[str] = []
        """What was reviewed or skipped here, in that order."""
        self.last: Record | None = None
        self.trouble = ""
        """Why there is no queue."""
        self.form: AnswerForm | None = None
        self.uses = Uses(desk, person, name, self.task, lambda: self._standing.refresh())

    def build(self) -> None:
        """The queue, what has come of it, and the record at hand."""
        with ui.row().classes("w-full items-center gap-3"):
            queues = ui.select({kind: f"{kind}: {ABOUT[kind]}" for kind in ABOUT}, value=self.kind, label="Queue")
            queues.props("outlined dense").classes("w-80").on_value_change(self._turn)
            runs = heads(self.folder / RUNS, RUNS_SHOWN)
            self.run = ui.select(runs, value=next(iter(runs), None), label="Of the run").props("outlined dense")
            self.run.classes("w-80").on_value_change(self._open)
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
            if found := await to_thread(self.desk.last, self.name, self.run.value or ""):
                self.trial, rows = found
                self.records = await to_thread(reviewable, rows, self.trial.taggings, self.task, self.folder)
                self.taggings = {tagging.id: tagging for tagging in self.trial.taggings}
        self.skipped, self.passed = set(), []
        await self._fill()

    async def _turn(self, event: events.ValueChangeEventArguments[Any]) -> None:
        self.kind, self.skipped, self.passed = event.value, set(), []
        await self._fill()

    async def _fill(self) -> None:
        self.left, self.trouble = [], ""
        try:
            found = await to_thread(self._queue)
            self.left = [name for name in found if name not in self.skipped and name in self.records]
        except TaggerError as error:
            self.trouble = str(error)
        self._record.refresh()
        self._standing.refresh()

    def _queue(self) -> list[str]:
        kind = next(one for one in QUEUES if one == self.kind)
        valid = reviews(self.folder, self.task).valid
        self.verdicts = {}
        for review in valid:
            self.verdicts.setdefault(content(review.record), []).append(review)
        before = earlier(self.folder / RUNS, self.trial) if kind == "drifted" and self.trial else None
        return queue(
            kind, list(self.taggings.values()), self.records, valid, test_contents(self.folder), task=self.task,
            author=self.person.name, baseline=mix(before.taggings, self.task) if before else None,
        )  # fmt: skip

    @ui.refreshable_method
    def _record(self) -> None:
        self.far.set_text(f"{len(self.left):,} left")
        self.form = None
        if self.trial is None:
            ui.label("Nothing has been tagged yet.").classes("text-lg")
            ui.link("Try the task on some rows first", f"/task/{self.name}/try")
            return
        if self.trouble:
            ui.label(self.trouble).classes("whitespace-pre-wrap").props("role=alert")
            return
        if not self.left:
            ui.label("This queue is done.").classes("text-lg")
            ui.link("Compare versions on what was reviewed", f"/task/{self.name}/compare")
            if self.passed:
                ui.button("Back", on_click=self._back).props("flat color=secondary")
            return
        self._at_hand(self.records[self.left[0]])

    def _at_hand(self, record: Record) -> None:
        """The record, what was said of it by the tagger and by people, and the form for the right answer."""
        tagging = self.taggings[record.id]
        texts, pictures = apart(self.task.columns, record)
        with ui.row().classes("w-full gap-5 items-start"):
            for column, called in pictures.items():
                with ui.column().classes("gap-1 max-w-full"):
                    ui.label(column).classes("quiet text-xs")
                    picture(partial(glimpse, called, self.folder), f"{column} of {record.id}")
            with ui.column().classes("flex-1 min-w-60 gap-4"):
                for column, text in marked(texts, tagging.tags).items():
                    with ui.column().classes("gap-1 w-full"):
                        ui.label(column).classes("quiet text-xs")
                        ui.html(text, sanitize=False).classes("text-lg w-full break-words")  # `marked` escapes it all
        said = ", ".join(f"{shown(t.value)} {t.probability:.0%}" for t in tagging.tags.values() if t.value is not None)
        ui.label(f"The tagger says: {said or 'nothing'}").classes("quiet text-sm")
        for line in (
            *conflict_lines(tagging),
            *(line for tag in tagging.tags.values() for line in untraced_lines(tag)),
        ):
            ui.label(line).classes("text-sm text-negative")
        known = self.verdicts.get(content(record), [])
        for review in known:
            answer = ", ".join(f"{name}: {shown(value)}" for name, value in review.answer.items())
            ui.label(f"{review.author} said: {answer or 'nothing'}").classes("text-sm")
        own = next((review.answer for review in known if review.author == self.person.name), None)
        self.form = AnswerForm(self.task.asked(record), texts, tagging.tags, own, self._save)
        self.form.build()
        with ui.row().classes("w-full items-center gap-2"):
            save = ui.button("Right as it stands", icon="check", on_click=self._save).props("unelevated")
            self.form.changed = lambda: save.set_text("Save the answer")
            save.set_enabled(self.person.may("edit", self.name))
            ui.button("Skip", on_click=self._skip).props("flat color=secondary")
            if self.passed:
                ui.button("Back", on_click=self._back).props("flat color=secondary")
            ui.space()
            labels = "1 to 9: another label · " if self.form.keyed else ""
            ui.label(f"Enter: save · {labels}S: skip · B: back").classes("text-sm quiet")

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
        known = self.verdicts.get(content(record), [])
        self.verdicts[content(record)] = [*(one for one in known if one.author != given.author), given]
        self.passed.append(name)
        self.last = record
        self.desk.note(self.person, "reviewed", self.name, record=record.id, queue=self.kind)
        self._record.refresh()
        self._standing.refresh()

    def _skip(self) -> None:
        if self.left:
            name = self.left.pop(0)
            self.skipped.add(name)
            self.passed.append(name)
            self._record.refresh()

    def _back(self) -> None:
        """The record before, reviewed or skipped, with what was said of it."""
        if self.passed:
            name = self.passed.pop()
            self.skipped.discard(name)
            self.left.insert(0, name)
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
        """How right the tagger was, and what the reviewed rows are used for."""
        how_right(self.task, self.folder, list(self.taggings.values()), self.records)
        self.uses.build(self.last)
