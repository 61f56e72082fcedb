"""Beside a review: how right the tagger is so far, how far people agree, and what reviewed rows are used for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nicegui import ui

from eval.workbench.access import Person
from eval.workbench.desk import Desk
from eval.workbench.pages.frame import telling
from eval.workbench.queues import Standing, accuracy
from eval.workbench.results import shown
from eval.workbench.reviews import (
    USES,
    Review,
    Reviews,
    Stale,
    agreement,
    disputes,
    labelled,
    reviews,
    reword,
    set_use,
    test_contents,
)
from tagger.errors import SourceError
from tagger.record import Record
from tagger.result import Tagging
from tagger.task import Task

USED = {"dev": "to judge", "train": "to train", "example": "as an example"}


def how_right(task: Task, folder: Path, taggings: Sequence[Tagging], records: Mapping[str, Record]) -> None:
    """The accuracy over the random sample, and what it counts."""
    valid, test = reviews(folder, task).valid, test_contents(folder)
    with ui.column().classes("sheet p-4 w-full gap-2"):
        ui.label("How right is it?").classes("font-medium")
        try:
            fair = accuracy(taggings, records, valid, test, task=task)
            counted = fair.all.n
        except SourceError as error:
            counted = 0
            ui.label(f"{error.message}: review the queue 'sampled', from its first row on.").classes("quiet")
        else:
            _told(fair)
        try:
            every = accuracy(taggings, records, valid, test, task=task, fair=False)
        except SourceError:
            return
        if every.all.n == counted:
            return
        ui.label(
            f"Of all {every.all.n:,} rows here with a known answer {every.all.value:.0%} are right; they are no random "
            "sample, so that says nothing of the rest."
        ).classes("quiet text-sm")


def _told(found: Standing) -> None:
    figure = found.all
    ui.label(f"{figure.value:.0%} right").classes("text-2xl")
    told = f"between {figure.low:.0%} and {figure.high:.0%} (95 %), from {figure.n:,} rows of the random sample"
    if found.waiting is not None:
        told += f", up to row {found.waiting}, which nobody has reviewed yet"
    ui.label(told).classes("quiet text-sm")
    if found.withheld:
        of = f"; of the others {found.said.value:.0%} are right" if found.said else ""
        ui.label(f"In {found.withheld:,} of them it kept silent, which counts as not right{of}.").classes("text-sm")


class Uses:
    """What was reviewed, and what it is used for; `again` is called when that changes."""

    def __init__(self, desk: Desk, person: Person, name: str, task: Task, again: Callable[[], object]) -> None:
        self._desk, self._person, self._name, self._task, self._again = desk, person, name, task, again
        self._folder = desk.folder(name)

    def build(self, last: Record | None) -> None:
        """The counts, and the use of the `last` record that was reviewed."""
        found = reviews(self._folder, self._task)
        may_edit = self._person.may("edit", self._name)
        with ui.column().classes("sheet p-4 w-full gap-2"):
            ui.label("Reviewed rows").classes("font-medium")
            counts = {use: len(labelled(found.valid, use)) for use in USES}
            ui.label(
                f"{counts['dev']:,} to judge prompts on, {counts['train']:,} to train on, "
                f"{counts['example']:,} to show as examples"
            ).classes("quiet")
            self._people(found.valid)
            if found.stale:
                self._stale(found, may_edit)
            if last and may_edit:
                use = next((r.use for r in found.valid if r.record.values == last.values), "dev")
                choice = ui.select(USED, value=use, label="Use the last one").props("outlined dense").classes("w-56")
                choice.on_value_change(lambda e: self._use(last, e.value))

    def _people(self, valid: Sequence[Review]) -> None:
        for pair in agreement(valid):
            kappa = f" (Cohen's kappa {pair.kappa:.2f})" if pair.kappa is not None else ""
            ui.label(f"{pair.a} and {pair.b}: {pair.same:,} of {pair.records:,} the same{kappa}").classes("text-sm")
        if disputed := disputes(valid):
            ui.label(f"{len(disputed):,} disputed: they judge nothing until people agree").classes("text-sm quiet")

    def _stale(self, found: Reviews, may_edit: bool) -> None:
        """What no longer fits the task, and for labels that are gone the word that stands for them now."""
        ui.label(f"{len(found.stale):,} no longer fit the task: {found.stale[0].reason}").classes(
            "text-sm text-negative break-words"
        )
        for field, labels in gone(found.stale, self._task).items() if may_edit else ():
            for label in labels:
                with ui.row().classes("items-center gap-2"):
                    ui.label(f"{field} {shown(label)!r} is now").classes("text-sm")
                    choice = ui.select(list(self._task.fields[field].closed or {}), with_input=True)
                    choice.props(f'outlined dense aria-label="What {shown(label)} is now"').classes("w-48")
                    choice.on_value_change(lambda e, field=field, label=label: self._reword(field, label, e.value))

    def _reword(self, field: str, before: str, after: str) -> None:
        with telling():
            count = reword(self._folder, field, before, after)
            self._desk.note(self._person, "reworded reviews", self._name, before=before, after=after, rows=count)
            ui.notify(f"{count:,} reviews say {after!r} now", type="positive")
            self._again()

    def _use(self, record: Record, use: str) -> None:
        with telling():
            set_use(self._folder, record, next(one for one in USES if one == use))
            self._again()


def gone(stale: Sequence[Stale], task: Task) -> dict[str, list[str]]:
    """By field the labels of stale verdicts that the task no longer has."""
    found: dict[str, dict[str, None]] = {}
    for one in stale:
        for name, value in one.review.answer.items():
            closed = task.fields[name].closed if name in task.fields else None
            for item in value if isinstance(value, list) else [value]:
                if closed and isinstance(item, str) and item not in closed:
                    found.setdefault(name, {})[item] = None
    return {name: list(labels) for name, labels in found.items()}
