"""The first page: the tasks of the shop, and the ways to a new one."""

from __future__ import annotations

import re
from asyncio import to_thread

from nicegui import ui

from eval.workbench.access import Person
from eval.workbench.desk import Desk
from eval.workbench.pages.bring import NONE, BringForm
from eval.workbench.pages.frame import frame, telling
from eval.workbench.records import row_files
from eval.workbench.versions import live, versions
from tagger.errors import TaggerError
from tagger.task import load_task, task_names

EACH = "one a line; after a colon what each means, if the name does not say it"
ABOUT = {"categories": "The kind of product, from its text", "attributes": "What a product's text says of it"}
"""What a new task is about, as long as nobody says it better."""


def home_page(desk: Desk, person: Person) -> None:
    """Build the page of all tasks."""
    with frame(desk, person, "Tasks"):
        tasks = [name for name in desk.shop.tasks() if person.may("view", name)]
        with ui.row().classes("w-full items-center gap-3"):
            ui.label("Tasks").classes("text-2xl font-medium")
            ui.space()
            if person.may("edit", ""):
                _shipped(desk, person, tasks)
                ui.button("New task", icon="add", on_click=lambda: ui.navigate.to("/new")).props("unelevated")
        if not tasks:
            _welcome()
        with ui.element("div").classes("grid grid-cols-1 md:grid-cols-2 xl:grid-cols-3 gap-4 w-full"):
            for name in tasks:
                _card(desk, name)


def _welcome() -> None:
    with ui.column().classes("sheet w-full items-center gap-2 p-12"):
        ui.icon("sell", size="3rem", color="primary")
        ui.label("Bring products, name the categories, get tags").classes("text-xl font-medium")
        ui.label(
            "A task says what you want to know of a product. Start one with a file of yours; five minutes will do."
        ).classes("quiet")
        ui.button("Start with a file", icon="upload_file", on_click=lambda: ui.navigate.to("/new")).props(
            "unelevated size=lg"
        ).classes("mt-4")


def _card(desk: Desk, name: str) -> None:
    folder = desk.folder(name)
    with (
        ui.link(target=f"/task/{name}/write").classes("no-underline").style("color: inherit"),
        ui.column().classes("sheet p-5 gap-2 h-full hover:shadow-md"),
    ):
        ui.label(name).classes("text-lg font-medium")
        try:
            task = load_task(folder)
        except TaggerError as error:
            ui.label(f"{error.where}: {error.message}").classes("text-sm text-negative")
            return
        ui.label(task.definition.about).classes("quiet line-clamp-2")
        now, kept, files = live(folder), len(versions(folder)), len(row_files(folder))
        facts = [
            f"{len(task.fields)} field{'s' if len(task.fields) > 1 else ''}",
            f"{len(task.examples)} examples",
            f"version {now} of {kept} is live" if now else f"{kept} versions" if kept else "no version kept yet",
            f"rows of {files} file{'s' if files != 1 else ''}",
        ]
        ui.label(" · ".join(facts)).classes("text-sm quiet mt-auto")


def _shipped(desk: Desk, person: Person, tasks: list[str]) -> None:
    left = [name for name in task_names() if name not in tasks]
    if not left:
        return

    async def take(name: str) -> None:
        with telling():
            await to_thread(desk.shop.copy_shipped, name)
            desk.note(person, "copied a shipped task", name)
            ui.navigate.to(f"/task/{name}/write")

    with ui.button("Take a ready one", icon="inventory_2").props("outline"), ui.menu():
        for name in left:
            ui.menu_item(f"{name}: {load_task(name).definition.about[:60]}", on_click=lambda name=name: take(name))


def new_page(desk: Desk, person: Person) -> None:
    """Build the page that leads from a file to a task."""
    with frame(desk, person, "New task"):
        if person.may("edit", ""):
            NewTask(desk, person).build()
        else:
            ui.label("Your key allows to look, not to make a task.").classes("quiet")


class NewTask:
    """What is known so far of a task that is being made."""

    def __init__(self, desk: Desk, person: Person) -> None:
        self.desk, self.person = desk, person
        self.form = BringForm({"text": "Column with the product text"}, self._read)

    def build(self) -> None:
        """Three questions, one under the other, and a button."""
        with ui.column().classes("sheet p-6 gap-4 w-full max-w-4xl mx-auto"):
            ui.label("1. Which products?").classes("text-lg font-medium")
            self.form.build()
            ui.label("2. What do you want to know?").classes("text-lg font-medium")
            self.kind = ui.toggle(
                {"categories": "One of some categories", "attributes": "Attributes that the text states"},
                value="categories", on_change=self._asked,
            ).props("no-caps unelevated")  # fmt: skip
            self.listed = ui.textarea(f"Categories, {EACH}")
            self.listed.props("outlined autogrow").classes("w-full")
            ui.label("3. What is it called?").classes("text-lg font-medium")
            self.name = ui.input("Name").props("outlined dense").classes("w-72")
            self.about = ui.input("In one sentence: what is it about?").props("outlined dense").classes("w-full")
            self.go = ui.button("Make the task", icon="check", on_click=self._make).props("unelevated size=lg")
            self.go.disable()

    def _asked(self) -> None:
        several = self.kind.value == "attributes"
        what = "Attributes" if several else "Categories"
        if self.about.value in ABOUT.values():
            self.about.set_value(ABOUT[self.kind.value])
        self.listed.props(f'label="{what}, {EACH}"')

    def _read(self) -> None:
        """Guess from the file whatever has not been said."""
        found = self.form.look
        self.go.set_enabled(found is not None)
        if found and not self.listed.value:
            self.listed.set_value("\n".join(self.form.known))
        if found and not self.name.value:
            self.name.set_value(re.sub(r"[^\w-]+", "_", self.form.labels).strip("_") or "category")
        if not self.about.value:
            self.about.set_value(ABOUT[self.kind.value])

    async def _make(self) -> None:
        note = ui.notification("Making the task ...", spinner=True, timeout=None)
        with telling():
            self.person.must("edit", self.name.value)
            self.desk.news[self.person.name] = ["\n".join(await to_thread(self._made))]
            ui.navigate.to(f"/task/{self.name.value}/try")
        note.dismiss()

    def _made(self) -> list[str]:
        text = self.form.columns["text"]
        asked = {self.kind.value: self.listed.value}
        folder = self.desk.shop.new_task(self.name.value, self.about.value, [text], **asked)
        self.form.columns = {text: text}
        if self.kind.value == "attributes":  # a column answers one field
            self.form.labels = NONE
        self.desk.note(self.person, "made a task", self.name.value)
        return self.form.into(folder, self.person.name)[1]
