"""The page on which a task is tried: rows in, results as they come, with proofs, doubts and reasons."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Sequence
from typing import Any

from nicegui import events, ui

from eval.workbench.access import Person
from eval.workbench.chosen import choices, chosen_task
from eval.workbench.desk import RUNS, Desk
from eval.workbench.pages.bring import bring_dialog
from eval.workbench.pages.detail import Detail
from eval.workbench.pages.frame import agreed, frame, progress, telling
from eval.workbench.pages.picture import sight
from eval.workbench.pictures import apart
from eval.workbench.records import row_files, rows_of
from eval.workbench.results import FEW, as_csv, label_mix, outcomes, row_of
from eval.workbench.trial import Trial
from tagger.record import Record, Rejected
from tagger.task import load_task

LOOK = 0.5
"""Seconds between two looks at a trial that runs."""
SOME = 100
"""Rows that are tried if nobody says otherwise."""
MANY = 5_000
"""Rows from which on a person is asked first: others wait meanwhile."""
BARS = 12
GREY = "#7c8794"
"""Of what is written in charts: legible on light and dark."""


def try_page(desk: Desk, person: Person, name: str) -> None:
    """Build the page; it shows the last trial."""
    with frame(desk, person, f"Try {name}", name, "try"):
        Tries(desk, person, name).build()


class Tries:
    """Rows on their way through a task, seen from one tab of a browser."""

    def __init__(self, desk: Desk, person: Person, name: str) -> None:
        self.desk, self.person, self.name = desk, person, name
        self.folder = desk.folder(name)
        self.task = load_task(self.folder)
        self.fields = list(self.task.fields)
        self.known = choices(self.folder, person.name)
        self.may_run = person.may("edit", name)
        self.trial: Trial | None = None
        self.records: dict[str, Record] = {}
        self.told = 0
        """How many results the table has."""
        self.others: list[Trial] = []

    def build(self) -> None:
        """What is run, how far it is, and what came of it."""
        self._controls()
        sight(self.desk, self.task)
        with ui.row().classes("w-full items-center gap-4"):
            self.bar = progress()
            self.state = ui.label().classes("quiet whitespace-pre-line").props("role=status")
            self.halt = ui.button("Stop", icon="stop", on_click=self._stop).props("outline dense")
            self.halt.set_visibility(False)
            ui.space()
            ui.button("Take the tags along", icon="download", on_click=self._leave).props("flat color=secondary")
        self._elsewhere()
        with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-[3fr_2fr] gap-4 w-full items-start"):
            with ui.column().classes("w-full min-w-0"):
                self.grid = ui.aggrid(self._table(), html_columns=[1]).classes("w-full h-[34rem]")
                self.grid.on("rowClicked", lambda e: self._pick(e.args["data"]["n"]), ["data"])
                self.grid.on("cellFocused", lambda e: self._focus(e.args.get("rowIndex")), ["rowIndex"])
            with ui.column().classes("w-full gap-4 min-w-0"):
                self.detail = Detail(self.desk, self.person, self.name, self.folder, self.task.columns)
                self.detail.build()
                self.mix = ui.echart({"series": []}).classes("w-full h-72 sheet p-2")
                self.mix.set_visibility(False)
        ui.timer(0.05, self._show, once=True)
        ui.timer(LOOK, self._look)

    def _controls(self) -> None:
        if not self.may_run:
            ui.label("Your key allows to look, not to run.").classes("quiet text-sm")
        with ui.row().classes("sheet p-4 w-full items-end gap-3") as controls:
            files = row_files(self.folder)
            self.rows = ui.select(files, value=files[-1] if files else None, label="Rows")
            self.rows.props("outlined dense").classes("w-56")
            ui.button("Bring a file", icon="upload_file", on_click=self._bring).props("outline")
            self.most = ui.number("How many", value=SOME, min=1, precision=0).props("outlined dense").classes("w-28")
            self.what = ui.select(self.known, value="live", label="Asked by").props("outlined dense").classes("w-56")
            self.go = ui.button("Run", icon="play_arrow", on_click=self._run).props("unelevated")
        controls.set_visibility(self.may_run)

    def _table(self) -> dict[str, Any]:
        percent = {":valueFormatter": "p => p.value == null ? '' : (100 * p.value).toFixed(0) + ' %'", "width": 95}
        if len(self.fields) > FEW:
            values = [{"field": "said", "headerName": "says", "flex": 2, "minWidth": 200, "tooltipField": "said"},
                      {"field": "least", "headerName": "least sure", **percent}]  # fmt: skip
        else:
            values = [
                column
                for name in self.fields
                for column in (
                    {"field": f"value_{name}", "headerName": name, "flex": 1, "minWidth": 130, "filter": True},
                    {"field": f"p_{name}", "headerName": "how sure", **percent},
                )
            ]
        by_number = "(a, b) => isNaN(a) || isNaN(b) ? String(a).localeCompare(b) : a - b"
        return {
            "columnDefs": [
                {"field": "id", "width": 95, "tooltipField": "id", ":comparator": by_number},
                {"field": "text", "flex": 3, "minWidth": 220},
                *values,
                {"field": "outcome", "width": 110, "filter": True},
            ],
            "rowData": [],
            ":getRowId": "p => String(p.data.n)",
            ":tabToNextCell": "() => false",  # the arrow keys go through the cells, Tab goes on
            "defaultColDef": {"sortable": True, "resizable": True},
        }

    async def _run(self) -> None:
        self.go.disable()
        with telling():
            self.person.must("edit", self.name)
            count = int(self.most.value or SOME)
            if count < MANY or await agreed(f"Run up to {count:,} rows? Whoever runs something else waits.", "Run"):
                rows = await to_thread(rows_of, self.folder, self.rows.value or "", count)
                task = chosen_task(self.folder, self.person.name, self.what.value)
                what = self.known[self.what.value]
                trial = self.desk.trials.start(
                    task, rows, self.folder / RUNS, what=what, rows=self.rows.value, author=self.person.name,
                    beside=self.folder,
                )  # fmt: skip
                self.desk.note(self.person, "tried", self.name, what=what, rows=self.rows.value, records=len(rows))
                self._take(trial, rows)
        self.go.enable()

    def _stop(self) -> None:
        if self.trial:
            self.desk.trials.stop(self.trial)
            self._look()

    async def _show(self) -> None:
        """Show the last trial."""
        with telling():
            if found := await to_thread(self.desk.last, self.name):
                trial, rows = found
                if trial.rows in (self.rows.options or ()):
                    self.rows.set_value(trial.rows)
                    self.most.set_value(len(rows) or SOME)
                self._take(trial, rows)

    def _take(self, trial: Trial, rows: Sequence[Record | Rejected]) -> None:
        self.trial, self.told = trial, 0
        self.records = {row.id: row for row in rows if isinstance(row, Record)}
        self.grid.run_grid_method("setGridOption", "rowData", [])
        self.detail.clear()
        self._look()

    def _look(self) -> None:
        """Put what has come since the last look into the table."""
        trial, running = self.trial, self.desk.trials.under_way()
        others = [other for _, other in running if other is not trial]
        if [other.name for other in others] != [other.name for other in self.others]:
            self.others = others
            self._elsewhere.refresh()
        self.halt.set_visibility(bool(trial and not trial.over and self.may_run))
        if trial is None:
            self.state.set_text("Nothing has been tried yet: bring a file, and run.")
            return
        fresh = trial.taggings[self.told :]
        if fresh:
            rows = [
                row_of(n, self._texts(tagging.id), tagging, self.fields) for n, tagging in enumerate(fresh, self.told)
            ]
            self.grid.run_grid_method("applyTransaction", {"add": rows})
            self.told += len(fresh)
            self._chart(trial)
        total = len(trial.records) or len(trial.taggings)
        self.bar.set_value(len(trial.taggings) / total if total else 0)
        self.state.set_text(_told(trial, total, loading=self.desk.trials.opened is None))

    def _texts(self, name: str) -> Record | None:
        """What the table shows of a record: thousands of pictures would be too many."""
        record = self.records.get(name)
        return apart(self.task.columns, record)[0] if record else None

    @ui.refreshable_method
    def _elsewhere(self) -> None:
        """What else runs or waits: all are asked by one model, one after another."""
        for other in self.others:
            with ui.row().classes("items-center gap-2 text-sm quiet"):
                ui.icon("hourglass_top")
                ui.label(f"Also under way: {other.what} over {other.rows}, {len(other.records):,} rows, {other.author}")
                if self.may_run and self.person.may("edit", ""):
                    stop = ui.button("Stop it", on_click=lambda other=other: self.desk.trials.stop(other))
                    stop.props("flat dense")

    def _chart(self, trial: Trial) -> None:
        mix = label_mix(trial.taggings, self.fields[0])
        top = list(mix.items())[:BARS][::-1]
        told = {"color": GREY, "fontSize": 12}
        self.mix.set_visibility(bool(top))
        self.mix.options.clear()
        self.mix.options.update(
            animation=False,
            title={"text": f"{self.fields[0]}: what was said most", "textStyle": {**told, "fontSize": 13}},
            grid={"left": 8, "right": 48, "top": 36, "bottom": 8, "containLabel": True},
            xAxis={"type": "value", "show": False},
            yAxis={"type": "category", "data": [value for value, _ in top], "axisTick": {"show": False},
                   "axisLabel": told},
            series=[{"type": "bar", "barMaxWidth": 28, "data": [n for _, n in top], "itemStyle": {"color": "#0f9a8c"},
                     "label": {"show": True, "position": "right", "textBorderWidth": 0, **told}}],
        )  # fmt: skip
        self.mix.update()

    async def _focus(self, index: int | None) -> None:
        """The arrow keys lead through the rows as the mouse does."""
        if index is not None:
            node = f"getElement({self.grid.id}).api.getDisplayedRowAtIndex({int(index)})"
            row = await ui.run_javascript(f"return {node}?.data?.n")
            self._pick(row)

    def _pick(self, number: int | None) -> None:
        if self.trial and number is not None and number < len(self.trial.taggings):
            found = self.trial.taggings[number]
            self.detail.show(self.records.get(found.id), found, self.what.value)

    def _leave(self) -> None:
        if self.trial is None or not self.trial.taggings:
            ui.notify("Nothing has been tried yet", type="warning")
            return
        table = as_csv(load_task(self.folder), self.records, self.trial.taggings)
        ui.download.content(table.encode("utf-8-sig"), f"{self.name}.tags.csv")
        self.desk.note(self.person, "took tags along", self.name, trial=self.trial.name)

    async def _bring(self, _: events.ClickEventArguments) -> None:
        brought = await bring_dialog(self.desk, self.person, self.name)
        if brought:
            self.rows.set_options(row_files(self.folder), value=brought)


def _told(trial: Trial, total: int, loading: bool) -> str:
    done = len(trial.taggings)
    parts = [f"{trial.what}: {done:,} of {total:,}"]
    if trial.seconds:
        parts.append(f"{done / trial.seconds:,.1f} rows/s")
    if trial.left:
        parts.append(f"{trial.left:,.0f} s left")
    parts += [f"{n:,} {what}" for what, n in outcomes(trial.taggings).items()]
    if trial.state == "waiting":
        parts.append("waits for its turn")
    elif loading and not trial.over:
        parts.append("the model is being loaded")
    elif trial.halt.is_set() and not trial.over:
        parts.append("stops after these rows")
    elif trial.state in ("stopped", "failed"):
        parts.append(trial.state)
    return " · ".join(parts) + (f"\n{trial.reason}" if trial.reason else "")
