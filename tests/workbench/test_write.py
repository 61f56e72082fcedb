"""Two tabs, a timer and a button: nothing that was saved is lost, and nobody is told of another tab that is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.workbench.drafts import Draft, open_draft, save_draft
from eval.workbench.pages import frame, write
from eval.workbench.pages.write import Editor
from eval.workbench.versions import files_of, versions

TASK = "about = 'goods'\n[columns.title]\n[fields.kind]\nkind = 'label'\nlabels = ['coffee', 'tea']\n"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a person was told, and where the browser was sent."""
    said: list[str] = []

    async def yes(*_: str) -> bool:
        return True

    for module in (write, frame):
        monkeypatch.setattr(module, "told", lambda error: said.append(str(error).partition(",")[0]))
    monkeypatch.setattr(write, "agreed", yes)
    monkeypatch.setattr(write.ui.navigate, "to", said.append)
    monkeypatch.setattr(write.ui.navigate, "reload", lambda: said.append("reload"))
    return said


def tab(folder: Path) -> Editor:
    """The page in one tab of ann's browser, of which nothing is shown."""

    async def show(*_: Any) -> None:
        pass

    desk: Any = SimpleNamespace(folder=folder.parent.joinpath, trials=SimpleNamespace(opened=None), note=_nothing)
    person: Any = SimpleNamespace(name="ann", may=lambda *_: True)
    editor = Editor(desk, person, folder.name)
    shown = SimpleNamespace(show=show, refresh=_nothing, set_text=_nothing)
    vars(editor).update(view=shown, said=shown, _told=shown)
    return editor


def about(files: Any) -> str:
    return str(files["task.toml"].splitlines()[0])


def typed(editor: Editor, text: str) -> None:
    editor.files = {**editor.files, "task.toml": TASK.replace("goods", text)}


def on_disk(folder: Path) -> str:
    return about(open_draft(folder, "ann").files)


def run(*steps: Callable[[], Awaitable[Any]]) -> None:
    """One step after the other, in a loop of their own."""

    async def all_of_them() -> None:
        for step in steps:
            await step()

    asyncio.run(all_of_them())


def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which saving takes its time."""

    def save(*a: Any) -> Draft:
        time.sleep(0.1)
        return save_draft(*a)

    monkeypatch.setattr(write, "save_draft", save)


def _nothing(*_: Any, **__: Any) -> None:
    pass


@pytest.mark.parametrize("edited", [True, False])
def test_what_another_tab_has_saved_is_not_kept_away(folder: Path, heard: list[str], edited: bool) -> None:
    run_over, other = tab(folder), tab(folder)
    typed(other, "an hour of work")
    if edited:
        typed(run_over, "something else")

    run(other._settle, lambda: run_over._keep("why"), run_over._discard)

    whose = "your draft was changed meanwhile"
    assert heard == [whose, whose]
    assert (versions(folder), on_disk(folder)) == ([], "about = 'an hour of work'")


def test_what_another_tab_saves_while_a_version_is_kept_stays(
    folder: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    editor, kept = tab(folder), write.keep
    typed(editor, "mine")

    def keep(*a: Any) -> Any:
        save_draft(folder, "ann", {"task.toml": TASK.replace("goods", "later")}, open_draft(folder, "ann").digest)
        return kept(*a)

    monkeypatch.setattr(write, "keep", keep)
    run(lambda: editor._keep("why"))

    assert heard == ["your draft was changed meanwhile"]
    assert (about(files_of(folder, 1)), on_disk(folder)) == ("about = 'mine'", "about = 'later'")


def test_a_timer_and_the_button_save_one_after_the_other(
    folder: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch)
    editor = tab(folder)
    typed(editor, "typed")

    async def both() -> None:
        await asyncio.gather(editor._settle(), editor._keep("why"), editor._settle())

    run(both)

    assert heard == ["/task/goods/versions"]
    assert (about(files_of(folder, 1)), on_disk(folder)) == ("about = 'typed'", "about = 'goods'")


@pytest.mark.parametrize("end", ["_keep", "_discard"])
def test_what_waits_to_be_saved_does_not_bring_a_draft_back(folder: Path, heard: list[str], end: str) -> None:
    editor, cancelled = tab(folder), list[bool]()
    vars(editor)["_due"] = SimpleNamespace(cancel=lambda: cancelled.append(True))
    typed(editor, "typed")

    async def late() -> None:
        typed(editor, "typed while the page goes")
        await editor._settle()

    run(lambda: editor._keep("why") if end == "_keep" else editor._discard(), late)

    assert cancelled == [True]
    assert len(heard) == 1
    assert not (folder / "drafts" / "ann").exists()
