"""A picture on a page: made when it is looked at, small, with words for whoever cannot see it, or why there is none."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable

from nicegui import ui

from eval.workbench.desk import Desk
from tagger.errors import TaggerError
from tagger.picture import UnreadableError
from tagger.task import Task


def picture(make: Callable[[], str], about: str, height: int = 60) -> None:
    """The picture that `make` gives as a data URL; `about` says what it is. It is at most `height` quarters of a rem
    high; so much room is kept for it, that nothing moves under a hand when it comes."""
    place = ui.element("div").classes(f"min-h-{height} max-w-full")

    async def fill() -> None:
        try:
            url, why = await to_thread(make), ""
        except (UnreadableError, TaggerError) as error:
            url, why = "", str(error)
        if place.is_deleted:  # another record is at hand by now
            return
        with place:
            if why:
                place.classes(remove=f"min-h-{height}")
                ui.label(f"cannot be shown: {why}").classes("quiet text-sm break-words")
                return
            shown = ui.element("img").classes(f"picture max-h-{height}")
            shown.props["src"], shown.props["alt"] = url, about

    ui.timer(0.01, fill, once=True)


def sight(desk: Desk, task: Task) -> None:
    """Says so where the model sees no pictures and the task has some to show."""
    if not task.picture_columns:
        return
    told = ui.label().classes("text-negative").props("role=alert")
    told.set_visibility(False)

    async def tell() -> None:
        try:
            why = await to_thread(desk.trials.blind)
        except TaggerError:  # what else is wrong with the model is said when a row is asked about
            return
        if why and not told.is_deleted:
            told.set_text(blindness(desk.model, task, why))
            told.set_visibility(True)

    ui.timer(0.05, tell, once=True)


def blindness(model: str, task: Task, why: str) -> str:
    """That a model sees no pictures, in words for whoever did not choose it."""
    columns = ", ".join(task.picture_columns)
    return (
        f"This task shows pictures ({columns}), and the model {model} cannot look at them: {why}. No row can be tagged "
        "until whoever runs the workbench starts it with a vision-language model (--model)."
    )
