"""While a run goes on: how far it is, whether it is to stop, and that what is loaded stays."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tagger.cli_options import err
from tagger.run import Progress

EVERY = 30.0
"""Seconds from one line of progress to the next in a file."""
STOPPED = 130
"""Exit code of a run that was told to stop, as of a process that Ctrl-C has ended."""


@contextmanager
def bar_of(total: int) -> Iterator[Callable[[Progress], None]]:
    """A progress bar with rate, time left, tokens and what goes wrong; into a file a line every EVERY seconds."""
    columns = (BarColumn(10), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=err) as bar:
        line, said = bar.add_task("", total=total), [monotonic()]

        seen = Progress()

        def show(done: Progress) -> None:
            nonlocal seen
            seen = done
            speed = bar.tasks[0].speed
            rate = [f"{speed:,.1f}/s"] if speed else []
            tokens = [f"{_short(n)} {what}" for what, n in done.tokens.items()]
            wrong = [f"{n:,} {name}" for name, n in done.outcomes.items() if name != "tagged"]
            rows, told = done.rows + done.partly, ", ".join([*rate, *tokens, *wrong])
            bar.update(line, completed=rows, description=told)
            if not err.is_terminal and monotonic() - said[-1] >= EVERY:
                said.append(monotonic())
                err.print(f"{rows:,} of about {total:,} rows, {told}", soft_wrap=True, highlight=False)

        yield show
        if seen.finished:
            bar.update(line, total=seen.rows)  # it was an estimate


@contextmanager
def bars_of_steps() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each step, how much of it is done, of how much; into a file a line where a step begins and
    ends, and else every EVERY seconds."""
    columns = (TextColumn("{task.description}"), BarColumn(10), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=err) as bar:
        lines: dict[str, TaskID] = {}
        said = [monotonic()]

        def show(step: str, done: int, count: int) -> None:
            first = step not in lines
            if first:
                lines[step] = bar.add_task(step, total=count)
            bar.update(lines[step], completed=done)
            if not err.is_terminal and (first or done == count or monotonic() - said[-1] >= EVERY):
                said.append(monotonic())
                err.print(f"{step}: {done:,} of {count:,}", soft_wrap=True, highlight=False)

        yield show


def _short(count: int) -> str:
    """A count of tokens in a few letters."""
    return f"{count / 1e6:,.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}k" if count >= 1e4 else str(count)


@contextmanager
def loaded_for_good() -> Iterator[None]:
    """What is loaded stays: meanwhile no search for garbage looks at it."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()  # else what is frozen is never taken down, of which libraries complain when the process ends


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, or SIGTERM came; the second time ends the process as ever."""
    pressed: list[Any] = []

    def press(*_: Any) -> None:
        if pressed:
            os._exit(STOPPED)  # as safe as a kill: what is answered is kept
        pressed.append(True)
        err.print("stopping when what is being asked is answered (Ctrl-C again: at once)")

    before = {kind: signal.signal(kind, press) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(pressed)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
