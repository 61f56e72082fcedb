"""The page on which two states of a task are held against each other: the verdict, the flips, the slices."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Sequence

from nicegui import ui

from eval.compare import Comparison, Flip
from eval.show import in_points
from eval.workbench.access import Person
from eval.workbench.chosen import DRAFT, LIVE, choices, chosen_task
from eval.workbench.desk import RUNS, Desk
from eval.workbench.judging import fair, held_against
from eval.workbench.pages.frame import frame, progress, telling
from eval.workbench.pages.versions import promoted
from eval.workbench.pictures import apart
from eval.workbench.reviews import labelled, reviews
from eval.workbench.trial import Trial
from eval.workbench.versions import live
from tagger.errors import EngineError
from tagger.example import Example
from tagger.task import load_task

COLOURS = {"better": "positive", "worse": "negative", "cannot tell yet": "accent"}


def compare_page(desk: Desk, person: Person, name: str) -> None:
    """Build the page of comparisons."""
    with frame(desk, person, f"Compare {name}", name, "compare"):
        Comparing(desk, person, name).build()


class Comparing:
    """Two states of a task over the reviewed rows, in one tab of a browser."""

    def __init__(self, desk: Desk, person: Person, name: str) -> None:
        self.desk, self.person, self.name = desk, person, name
        self.folder = desk.folder(name)
        self.place = self.folder / RUNS / "compared"
        self.live, self.known = live(self.folder), choices(self.folder, person.name)
        self.found: Comparison | None = None
        self.pair = LIVE, LIVE
        """What `found` holds against what, whatever is chosen since."""
        self.texts: dict[str, str] = {}
        self.under_way: list[Trial] = []

    def build(self) -> None:
        """What is held against what, and what came of it."""
        known = self.known
        other = DRAFT if DRAFT in known else next((c for c in known if c != LIVE), LIVE)
        dev = labelled(reviews(self.folder, load_task(self.folder)).valid, "dev")
        with ui.row().classes("sheet p-4 w-full items-end gap-3"):
            self.a = ui.select(known, value=LIVE, label="This").props("outlined dense").classes("w-64")
            self.b = ui.select(known, value=other, label="against this").props("outlined dense").classes("w-64")
            ui.label(f"on {len(dev):,} reviewed rows, but for those that are examples").classes("quiet pb-2")
            ui.space()
            for choice in (self.a, self.b):
                choice.on_value_change(self._drop)
            self.go = ui.button("Compare", icon="balance", on_click=lambda: self._compare(dev)).props("unelevated")
        self.bar = progress()
        self.bar.set_visibility(False)
        self._result()
        ui.timer(0.3, self._look)

    def _look(self) -> None:
        total = sum(len(trial.records) for trial in self.under_way)
        self.bar.set_visibility(any(not trial.over for trial in self.under_way))
        self.bar.set_value(sum(len(trial.taggings) for trial in self.under_way) / total if total else 0)

    def _drop(self) -> None:
        """What was found is not of what is chosen now."""
        self.found = None
        self._result.refresh()

    async def _compare(self, dev: Sequence[Example]) -> None:
        pair = self.a.value, self.b.value
        asked = self.a, self.b, self.go  # what is chosen stands for what is shown
        for part in asked:
            part.disable()
        with telling():
            with chosen_task(self.folder, self.person.name, pair[0]) as a, chosen_task(
                self.folder, self.person.name, pair[1]
            ) as b:  # fmt: skip
                rows = fair(dev, a, b)
            self.under_way = [self._start(choice, rows) for choice in pair]
            for trial in self.under_way:
                await to_thread(self.desk.trials.wait, self.place, trial.name)
                if trial.state != "done":
                    raise EngineError(f"{trial.what}: {trial.reason or trial.state}")
            said = self.under_way[0].taggings, self.under_way[1].taggings
            engine = self.desk.trials.engine
            found = await to_thread(held_against, self.folder, self.person.name, pair, engine, rows, said)
            self.found, self.pair = found, pair
            columns = load_task(self.folder).columns
            self.texts = {row.record.id: " · ".join(apart(columns, row.record)[0].values.values()) for row in rows}
            self.desk.note(self.person, "compared", self.name, a=pair[0], b=pair[1], verdict=found.verdict)
            self._result.refresh()
        for part in asked:
            part.enable()

    def _start(self, choice: str, rows: Sequence[Example]) -> Trial:
        return self.desk.trials.start(
            chosen_task(self.folder, self.person.name, choice), [row.record for row in rows], self.place,
            what=self.known[choice], rows="", author=self.person.name, beside=self.folder, calibrated=False,
        )  # fmt: skip

    @ui.refreshable_method
    def _result(self) -> None:
        found = self.found
        if found is None:
            ui.label("Both are asked about the same rows; only rows on which they differ say anything.").classes(
                "quiet"
            )
            return
        with ui.column().classes("sheet p-5 gap-1 w-full"):
            with ui.row().classes("items-center gap-3"):
                ui.badge(found.verdict, color=COLOURS[found.verdict]).classes("text-base px-3 py-1")
                ui.label(_sentence(found)).classes("text-lg")
            figure = found.figure
            ui.label(
                f"{found.measure}: {figure.a:.1%} and {figure.b:.1%} over {figure.rows:,} rows; the difference in "
                f"points is {in_points(figure.b - figure.a, figure.low, figure.high)} (95 %), p = {figure.p:.2g}"
            ).classes("quiet")
            second = self.pair[1]
            if found.verdict != "worse" and second.isdecimal() and self.person.may("promote", self.name):
                ui.button(f"Make version {second} live", on_click=self._promote).props("outline").classes("mt-2")
        with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-2 gap-4 w-full items-start"):
            self._flips("Gained: only the second is right", found.gained)
            self._flips("Lost: only the first is right", found.lost)
        self._slices(found)

    def _flips(self, title: str, flips: Sequence[Flip]) -> None:
        with ui.column().classes("sheet p-4 gap-2 w-full min-w-0"):
            ui.label(f"{title} ({len(flips):,})").classes("font-medium")
            if not flips:
                ui.label("none").classes("quiet")
                return
            ui.aggrid({
                "columnDefs": [
                    {"field": "text", "flex": 2, "tooltipField": "text"},
                    {"field": "gold", "headerName": "right", "flex": 1},
                    {"field": "a", "headerName": "first said", "flex": 1},
                    {"field": "b", "headerName": "second said", "flex": 1},
                ],
                "rowData": [{"text": self.texts.get(f.id, f.id), "gold": f.gold, "a": f.a, "b": f.b} for f in flips],
            }).classes("w-full h-64")  # fmt: skip

    def _slices(self, found: Comparison) -> None:
        if not found.slices:
            return
        shown = sorted(found.slices, key=lambda part: (part.adjusted, -abs(part.b - part.a)))[:15][::-1]
        with ui.column().classes("sheet p-4 gap-2 w-full"):
            ui.label("By group of rows, the clearest difference first").classes("font-medium")
            ui.echart({
                "animation": False,
                "grid": {"left": 8, "right": 24, "top": 30, "bottom": 8, "containLabel": True},
                "legend": {"top": 0}, "tooltip": {"trigger": "axis"},
                "xAxis": {"type": "value", "max": 100, "axisLabel": {"formatter": "{value} %"}},
                "yAxis": {"type": "category", "data": [f"{part.name} ({part.rows})" for part in shown]},
                "series": [
                    {"name": "first", "type": "bar", "data": [round(100 * part.a, 1) for part in shown],
                     "itemStyle": {"color": "#94a3b8"}},
                    {"name": "second", "type": "bar", "data": [round(100 * part.b, 1) for part in shown],
                     "itemStyle": {"color": "#0f766e"}},
                ],
            }).classes("w-full").style(f"height: {80 + 34 * len(shown)}px")  # fmt: skip

    async def _promote(self) -> None:
        if await promoted(self.desk, self.person, self.name, int(self.pair[1]), self.live):
            ui.navigate.to(f"/task/{self.name}/versions")


def _sentence(found: Comparison) -> str:
    return found.sentence.replace("b is", "The second is").replace("than a", "than the first")
