"""The page on which a task is written: what it is about, its labels, prompt and examples, and what the model reads."""

from __future__ import annotations

from asyncio import Lock, to_thread
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from nicegui import events, ui

from eval.workbench.access import Person
from eval.workbench.desk import Desk
from eval.workbench.drafts import discard_draft, must_be, open_draft, save_draft
from eval.workbench.pages.frame import agreed, frame, telling, told
from eval.workbench.pages.panels import PANELS, mark
from eval.workbench.pages.prompt_view import PromptView
from eval.workbench.shop import prompt_text
from eval.workbench.texts import Problem, check
from eval.workbench.versions import keep
from tagger.errors import TaggerError

PAUSE = 0.3
"""Seconds without a keystroke after which a draft is checked and saved."""


def write_page(desk: Desk, person: Person, name: str) -> None:
    """Build the page of a task's draft."""
    with frame(desk, person, f"Write {name}", name, "write"):
        Editor(desk, person, name).build()


class Editor:
    """One person's draft, as it is being edited in one tab of a browser."""

    def __init__(self, desk: Desk, person: Person, name: str) -> None:
        self.desk, self.person, self.name = desk, person, name
        self.folder = desk.folder(name)
        self.draft = open_draft(self.folder, person.name)
        self.files = dict(self.draft.files)
        self.problems: list[Problem] = []
        self.panel = next(iter(PANELS))
        self.may_edit = person.may("edit", name)
        self.view = PromptView(desk, self.folder, name)
        self._due: ui.timer | None = None
        self._one = Lock()
        """Held by whoever saves or ends the draft: two saves at once would take each other for another tab's."""
        self._over = False
        """Whether the draft was kept or discarded from here: a late save would bring it back."""
        self.editors: dict[str, ui.codemirror] = {}
        self.columns, self.general = self.view.columns, prompt_text(self.folder)

    def build(self) -> None:
        """Two columns: what is written, and what the model reads."""
        self.outside = ui.element()
        with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-[3fr_2fr] gap-4 w-full items-start"):
            with ui.column().classes("gap-3 min-w-0 w-full"):
                self._bar()
                with ui.tabs().props("align=left dense no-caps").classes("w-full") as tabs:
                    for name in PANELS:
                        ui.tab(name)
                tabs.set_value(self.panel).on_value_change(self._turn)  # else what is typed at once is built away
                self._told()
                with ui.column().classes("sheet p-4 w-full gap-3"):
                    self._panel()
            self.view.build()
        ui.timer(0.05, self._settle, once=True)

    def _bar(self) -> None:
        """From which version the draft is, and the ways to end it."""
        base = f"made from version {self.draft.base}" if self.draft.base else "not made from a version"
        with ui.row().classes("w-full items-center gap-2"):
            self.said = ui.label(f"Your draft, {base}").classes("quiet text-sm")
            ui.space()
            if not self.may_edit:
                ui.label("Your key allows to look, not to change.").classes("quiet text-sm")
                return
            message = ui.input("What changed").props("outlined dense").classes("w-56")
            message.on("keydown.enter", lambda: self._keep(message.value))
            ui.button("Keep as version", on_click=lambda: self._keep(message.value)).props("unelevated")
            ui.button("Discard", on_click=self._discard).props("flat color=secondary")

    def edit(self, make: Callable[[], Mapping[str, str]]) -> None:
        """Take the files that `make` gives; the draft is checked and saved when nothing more comes."""
        with telling():
            self.files = dict(make())
        self._wait_no_more()
        with self.outside:  # a panel that is built anew takes all with it that was made inside
            self._due = ui.timer(PAUSE, self._settle, once=True)

    def _wait_no_more(self) -> None:
        if self._due:
            self._due.cancel()

    async def _settle(self) -> bool:
        async with self._one:
            return await self._settled()

    async def _settled(self) -> bool:
        """Check, show and save what is here; whether it is what lies on disk then. The caller holds the lock."""
        if self._over:
            return False
        begun = perf_counter()
        self.problems = await to_thread(check, self.files, self.name)
        self._told.refresh()
        mark(self)
        if self.problems:
            self.view.outdated()
        else:
            await self.view.show(self.files, begun)
        return self.may_edit and await self._saved()

    async def _saved(self) -> bool:
        """Save what is here if it is not yet; whether nobody else has changed what lies on disk, which is told."""
        try:
            if self.files == self.draft.files:
                await to_thread(must_be, self.folder, self.person.name, self.draft.digest)
            else:
                self.draft = await to_thread(save_draft, self.folder, self.person.name, self.files, self.draft.digest)
                self.said.set_text("Draft saved")
        except TaggerError as error:
            told(error)
            return False
        return True

    def again(self) -> None:
        """Build the panel anew, from the files as they are."""
        self._panel.refresh()

    def _turn(self, event: events.ValueChangeEventArguments[Any]) -> None:
        self.panel = event.value
        self.again()

    async def _keep(self, message: str) -> None:
        self._wait_no_more()
        async with self._one:
            if not await self._settled():
                return
            with telling():
                draft = self.draft  # what is saved: whatever is typed meanwhile nobody has checked
                made = await to_thread(keep, self.folder, draft.files, message, self.person.name, draft.base)
                self.desk.note(self.person, "kept a version", self.name, version=made.number)
                self.said.set_text(f"Kept as version {made.number}")
                discard_draft(self.folder, self.person.name, draft.digest)
                self._over = True
                ui.navigate.to(f"/task/{self.name}/versions")

    async def _discard(self) -> None:
        if not await agreed("Throw your draft away? What is in it and in no version is lost.", "Throw it away"):
            return
        self._wait_no_more()
        async with self._one:
            with telling():
                discard_draft(self.folder, self.person.name, self.draft.digest)
                self._over = True
                self.desk.note(self.person, "discarded a draft", self.name)
                ui.navigate.reload()

    @ui.refreshable_method
    def _told(self) -> None:
        """What is wrong, with its place and the way out."""
        if not self.problems:
            with ui.row().classes("items-center gap-1"):
                ui.icon("check_circle", color="positive")
                ui.label("Nothing is wrong with it").classes("text-sm quiet")
        with ui.column().classes("w-full gap-2").props("role=alert" if self.problems else ""):
            for problem in self.problems[:20]:
                with ui.row().classes("items-start gap-2 no-wrap sheet p-3 w-full"):
                    ui.icon("error", color="negative").classes("mt-1")
                    with ui.column().classes("gap-0 min-w-0"):
                        place = f"{problem.file}, line {problem.line}" if problem.line else problem.file
                        ui.label(place).classes("text-sm quiet")
                        ui.label(problem.message).classes("whitespace-pre-wrap")
                        if problem.hint:
                            ui.label(f"What to do: {problem.hint}").classes("text-sm quiet")

    @ui.refreshable_method
    def _panel(self) -> None:
        self.editors = {}
        with telling():
            PANELS[self.panel](self)
