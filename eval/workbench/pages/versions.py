"""The page of a task's versions: what changed from one to the next, which is live, and the way back."""

from __future__ import annotations

from asyncio import to_thread
from pathlib import Path

from nicegui import ui

from eval.workbench.access import Person
from eval.workbench.desk import Desk
from eval.workbench.drafts import has_draft, open_draft, save_draft
from eval.workbench.pages.frame import agreed, frame, telling
from eval.workbench.reviews import reviews
from eval.workbench.texts import own_files, task_of
from eval.workbench.versions import Change, Line, Version, diff, files_of, live, versions
from tagger.task import load_task

COLOURS = {
    "added": "bg-green-500/15",
    "removed": "bg-red-500/15",
    "changed": "bg-amber-500/15",
    "same": "",
    "note": "quiet",
}
SIGNS = {"added": "+", "removed": "−", "changed": "~", "same": " ", "note": "·"}


def versions_page(desk: Desk, person: Person, name: str) -> None:
    """Build the page of all versions of a task."""
    with frame(desk, person, f"Versions of {name}", name, "versions"):
        History(desk, person, name).build()


class History:
    """The versions of a task as one tab of a browser shows them."""

    def __init__(self, desk: Desk, person: Person, name: str) -> None:
        self.desk, self.person, self.name = desk, person, name
        self.folder = desk.folder(name)
        self.kept = versions(self.folder)
        self.live = live(self.folder)
        self.left = self.right = 0

    def build(self) -> None:
        """The list, and beside it what differs."""
        if not self.kept:
            with ui.column().classes("sheet p-8 w-full items-center gap-2"):
                ui.label("No version has been kept yet.").classes("text-lg")
                ui.label("Keep one on the page Write: it can be compared, made live, gone back to.").classes("quiet")
            return
        newest = self.kept[-1]
        self.left, self.right = newest.base or self.live, newest.number
        with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-[2fr_3fr] gap-4 w-full items-start"):
            with ui.column().classes("gap-2 w-full"):
                for version in reversed(self.kept):
                    self._version(version)
            with ui.column().classes("sheet p-4 gap-3 w-full min-w-0"):
                names = {0: "the live files", **{v.number: f"version {v.number}" for v in self.kept}}
                with ui.row().classes("items-center gap-3"):
                    ui.label("What differs")
                    before = ui.select(names, value=self.left, label="from")
                    after = ui.select(names, value=self.right, label="to")
                    for choice in (before, after):
                        choice.props("outlined dense").classes("w-40")
                        choice.on_value_change(lambda: self._hold(before.value, after.value))
                self._differences()

    def _version(self, version: Version) -> None:
        with ui.column().classes("sheet p-4 gap-1 w-full"):
            with ui.row().classes("w-full items-center gap-2"):
                ui.label(f"Version {version.number}").classes("font-medium")
                if version.number == self.live:
                    ui.badge("live", color="positive")
                ui.space()
                if self.person.may("edit", self.name):
                    ui.button("To my draft", on_click=lambda: self._restore(version)).props(
                        "flat dense color=secondary"
                    )
                if version.number != self.live and self.person.may("promote", self.name):
                    ui.button("Make live", on_click=lambda: self._promote(version)).props("outline dense")
            ui.label(version.message)
            base = f", from version {version.base}" if version.base else ""
            ui.label(f"{version.author}, {version.at[:16].replace('T', ' ')}{base}").classes("text-sm quiet")

    def _hold(self, left: int, right: int) -> None:
        self.left, self.right = left, right
        self._differences.refresh()

    def _files(self, number: int) -> dict[str, str]:
        return files_of(self.folder, number) if number else own_files(self.folder)

    @ui.refreshable_method
    def _differences(self) -> None:
        with telling():
            changes = diff(self._files(self.left), self._files(self.right))
            if not changes:
                ui.label("Nothing differs.").classes("quiet")
            for change in changes:
                _change(change)

    async def _promote(self, version: Version) -> None:
        if await promoted(self.desk, self.person, self.name, version.number, self.live):
            ui.navigate.reload()

    async def _restore(self, version: Version) -> None:
        with telling():
            self.person.must("edit", self.name)
            draft = open_draft(self.folder, self.person.name)
            files = files_of(self.folder, version.number)
            question = "Put this version in the place of your draft? What is in the draft and in no version is lost."
            lost = has_draft(self.folder, self.person.name) and draft.files != files
            if lost and not await agreed(question, "Replace my draft"):
                return
            await to_thread(
                save_draft, self.folder, self.person.name, files, draft.digest, base=version.number
            )  # fmt: skip
            self.desk.note(self.person, "took a version to a draft", self.name, version=version.number)
            ui.navigate.to(f"/task/{self.name}/write")


async def promoted(desk: Desk, person: Person, name: str, number: int, expected: int) -> bool:
    """Make a version live; whether that came about. Who would leave reviewed rows behind is asked before."""
    with telling():
        lost = await to_thread(_left_behind, desk.folder(name), number)
        question = (
            f"{lost:,} reviewed rows do not fit this version: their labels or columns are gone from it. They judge "
            "nothing there, until the page Review is told which labels stand for theirs."
        )
        if not lost or await agreed(question, "Make it live"):
            await to_thread(desk.promote, person, name, number, expected)
            desk.news[person.name] = [f"Version {number} is live"]
            return True
    return False


def _left_behind(folder: Path, number: int) -> int:
    """Reviewed rows that fit the live task and would not fit the version."""
    with task_of(files_of(folder, number), folder.name) as task:
        return max(0, len(reviews(folder, task).stale) - len(reviews(folder, load_task(folder)).stale))


def _change(change: Change) -> None:
    with ui.column().classes("w-full gap-0"):
        ui.label(f"{change.file} ({change.kind})").classes("font-medium")
        for line in change.lines[:400]:
            _line(line)
        if len(change.lines) > 400:
            ui.label(f"and {len(change.lines) - 400:,} more lines").classes("quiet text-sm")


def _line(line: Line) -> None:
    with ui.row().classes(f"w-full no-wrap gap-2 px-2 items-start {COLOURS[line.kind]}"):
        ui.label(SIGNS[line.kind]).classes("font-mono w-3").props(f'aria-label="{line.kind}"')
        with ui.column().classes("gap-0 min-w-0"):
            if line.was:
                ui.label(line.was).classes("turn line-through quiet")
            ui.label(line.text).classes("turn")
