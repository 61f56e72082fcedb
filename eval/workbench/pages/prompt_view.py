"""What the model reads of a chosen record, beside what is being written."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

from nicegui import ui

from eval.workbench.desk import Desk
from eval.workbench.pages.frame import telling
from eval.workbench.pages.picture import picture, sight
from eval.workbench.pictures import opened, small
from eval.workbench.preview import Shown, Turn, counter_of, preview
from eval.workbench.records import row_files, rows_of
from eval.workbench.texts import task_of
from tagger.errors import SourceError, TaggerError
from tagger.record import Record, Rejected
from tagger.task import load_task

MOST = 500
"""Records of a file that can be leafed through."""


class PromptView:
    """The right-hand side of the page: a record, and the conversation that is had about it."""

    def __init__(self, desk: Desk, folder: Path, name: str) -> None:
        self._desk, self._folder, self._name = desk, folder, name
        self._task = task = load_task(folder)
        self.columns = list(task.columns)
        self._examples = [example.record for example in task.examples]
        brought = row_files(folder)
        self._source = "" if self._examples or not brought else brought[0]
        self._records: Sequence[Record] = self._brought(brought[0]) if self._source else self._examples
        self._files: Mapping[str, str] = {}
        self._shown: list[Shown] = []
        self._at, self._took, self._wrong, self._old = 0, 0.0, "", False

    def _brought(self, file: str) -> list[Record]:
        """The first records of a file; what is wrong with the other rows is told where they are tried."""
        return [row for row in rows_of(self._folder, file, MOST) if isinstance(row, Record)]

    def build(self) -> None:
        """The choice of the record, and under it the turns."""
        with ui.column().classes("sheet p-4 gap-3 w-full min-w-0 lg:sticky lg:top-16"):
            with ui.row().classes("w-full items-center gap-2 no-wrap"):
                ui.label("What the model reads").classes("font-medium")
                ui.space()
                sources = {"": "examples", **{name: name for name in row_files(self._folder)}}
                ui.select(sources, value=self._source, on_change=lambda e: self._choose(e.value)).props(
                    'outlined dense aria-label="Records from"'
                ).classes("w-40")
                ui.button(icon="chevron_left", on_click=lambda: self._step(-1)).props(
                    'flat dense round aria-label="Record before"'
                )
                ui.button(icon="chevron_right", on_click=lambda: self._step(1)).props(
                    'flat dense round aria-label="Next record"'
                )
            sight(self._desk, self._task)
            self._turns()

    async def show(self, files: Mapping[str, str], begun: float | None = None) -> None:
        """Render the prompt of the record at hand by these files; `begun` is when that was asked for."""
        self._files, self._old, begun = files, False, begun or perf_counter()
        try:
            self._shown = await to_thread(self._rendered) if self._records else []
            self._wrong = ""
        except TaggerError as error:
            self._wrong = str(error)
        self._took = perf_counter() - begun
        self._turns.refresh()

    def outdated(self) -> None:
        """Say that what is shown is from before something went wrong."""
        self._old = True
        self._turns.refresh()

    def _rendered(self) -> list[Shown]:
        engine = self._desk.trials.opened
        with task_of(self._files, self._name) as task:
            record = opened(self._records[self._at], task.columns, self._folder)
            if isinstance(record, Rejected):
                raise SourceError(f"the picture cannot be shown: {record.reason}", where=record.where)
            return preview(task, record, (), counter_of(engine) if engine else None)

    async def _choose(self, file: str) -> None:
        with telling():
            self._records = await to_thread(self._brought, file) if file else self._examples
            self._at = 0
            await self.show(self._files)

    async def _step(self, by: int) -> None:
        if self._records:
            self._at = (self._at + by) % len(self._records)
            await self.show(self._files)

    @ui.refreshable_method
    def _turns(self) -> None:
        if self._old:
            ui.label("As it was before the mistake: mend that first.").classes("text-negative text-sm")
        if self._wrong:
            ui.label(self._wrong).classes("whitespace-pre-wrap").props("role=alert")
        if not self._records:
            ui.label("No record to show yet: bring a file on the page Try.").classes("quiet")
        for shown in self._shown:
            with ui.row().classes("items-center gap-2 text-sm quiet"):
                if shown.tokens:
                    ui.badge(f"{shown.tokens[0]:,} tokens cached", color="grey-8")
                    ui.badge(f"{shown.tokens[1]:,} for this record", color="primary")
                ui.label(f"asked as {shown.form}: {', '.join(shown.fields[:6])}")
                ui.label(f"rendered in {1000 * self._took:.0f} ms")
            head, *rest = shown.turns
            with ui.element("div").classes("max-h-64 overflow-auto w-full").props("tabindex=0"):
                _said(head)
            cached = [turn for turn in rest if turn.cached]
            if cached:
                with ui.expansion(f"{len(cached) // 2} examples, the same for every record").classes("w-full"):
                    for turn in cached:
                        _said(turn)
            for turn in rest:
                if not turn.cached:
                    _said(turn)


def _said(turn: Turn) -> None:
    with ui.column().classes("w-full gap-0 py-1"):
        ui.label({"system": "instruction", "user": "record", "assistant": "answer"}[turn.role]).classes("quiet text-xs")
        for number, shown in enumerate(turn.pictures, start=1):
            ui.label(f"(picture {number})").classes("turn")
            picture(partial(small, shown), f"picture {number} of the record", 40)
        ui.label(turn.text).classes("turn w-full")
