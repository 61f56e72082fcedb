"""What stands around every page: where one is, where one can go, light or dark, and who one is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from nicegui import ElementFilter, ui

from eval.workbench.access import Person
from eval.workbench.desk import Desk
from tagger.errors import TaggerError

TABS = {
    "write": ("Write", "edit_note"),
    "try": ("Try", "play_circle"),
    "review": ("Review", "fact_check"),
    "compare": ("Compare", "balance"),
    "versions": ("Versions", "history"),
}
"""The pages of a task: the last part of the address, what it is called, and its sign."""

EDITOR_LIGHT: Final = "basicLight"
EDITOR_DARK: Final = "vscodeDark"
_STYLE = """
:root { --surface: #ffffff; --ground: #f6f7f9; --line: #e2e5ea; --quiet: #5b6472; --proof: #ffe9a8; }
body.body--dark { --surface: #171b21; --ground: #0f1216; --line: #2b323c; --quiet: #a3adbb; --proof: #6b5a1e; }
body { background: var(--ground); }
.nicegui-content { padding: 0; }
.q-header { background: var(--surface) !important; border-bottom: 1px solid var(--line); }
body.body--light .q-header { color: #1b2230 !important; }
.sheet { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; }
.quiet { color: var(--quiet); }
mark { background: var(--proof); color: inherit; border-radius: 3px; padding: 0 1px; }
mark.shade1 { background: color-mix(in srgb, #0ea5e9 34%, transparent); }
mark.shade2 { background: color-mix(in srgb, #22c55e 34%, transparent); }
mark.shade3 { background: color-mix(in srgb, #a855f7 34%, transparent); }
mark.shade4 { background: color-mix(in srgb, #ef4444 30%, transparent); }
mark.shade5 { background: color-mix(in srgb, #94a3b8 40%, transparent); }
.q-notification__message { white-space: pre-line; }
.q-tab, .q-btn { text-transform: none; }
.turn { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; line-height: 1.45; }
.picture { display: block; max-width: 100%; border: 1px solid var(--line); border-radius: 8px; background: #fff; }
.nicegui-codemirror { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
body.body--dark { --q-secondary: #cbd5e1 !important; }
@layer overrides {
  .q-notification__actions, .q-notification__actions .q-btn { color: inherit !important; }
  body.body--dark .text-primary { color: #5eead4 !important; }
  body.body--dark .nicegui-link:not(.tab):not(.no-underline) { color: #5eead4 !important; }
  body.body--light .nicegui-link:not(.tab):not(.no-underline) { color: #0f766e !important; }
  body.body--dark .text-negative { color: #fca5a5 !important; }
}
.wrong { background: color-mix(in srgb, #ef4444 22%, transparent) !important; }
a.tab { color: inherit; text-decoration: none; padding: 6px 12px; border-radius: 8px; }
a.tab:hover, a.tab[aria-current=page] { background: var(--ground); }
a.tab[aria-current=page] { font-weight: 600; }
"""


class Shade:
    """Light or dark: as this browser was left, else as its system is. Editors follow."""

    def __init__(self) -> None:
        self._mode = ui.dark_mode(None)
        ui.timer(0.01, self._ask, once=True)

    async def _ask(self) -> None:
        stored = "localStorage.getItem('tagger-dark')"
        system = "matchMedia('(prefers-color-scheme: dark)').matches"
        self._set(await ui.run_javascript(f"return {stored} === null ? {system} : {stored} === 'true'"))

    def turn(self) -> None:
        """The other one from here on."""
        self._set(not self._mode.value)
        ui.run_javascript(f"localStorage.setItem('tagger-dark', '{str(bool(self._mode.value)).lower()}')")

    def _set(self, dark: bool) -> None:
        self._mode.set_value(dark)
        for editor in ElementFilter(kind=ui.codemirror):
            editor.theme = EDITOR_DARK if dark else EDITOR_LIGHT


def editor_theme() -> Literal["basicLight", "vscodeDark"]:
    """The theme of an editor that is made now."""
    mode = next(iter(ElementFilter(kind=ui.dark_mode)), None)
    return EDITOR_DARK if mode and mode.value else EDITOR_LIGHT


@contextmanager
def frame(desk: Desk, person: Person, title: str, task: str = "", tab: str = "") -> Iterator[ui.column]:
    """A page's surroundings; what is made inside stands in its middle."""
    ui.page_title(f"{title} · tagger")
    ui.colors(primary="#0f766e", secondary="#475569", accent="#b45309", positive="#15803d", negative="#b91c1c")
    ui.add_css(_STYLE)
    dark = Shade()
    with ui.header().classes("items-center gap-2 px-6 py-2"):
        ui.link("tagger", "/").classes("text-lg font-bold no-underline").style("color: inherit")
        if task:
            ui.label("/").classes("quiet")
            ui.link(task, f"/task/{task}/write").classes("text-lg no-underline").style("color: inherit")
            with ui.element("nav").classes("flex gap-1 ml-4").props('aria-label="Pages of the task"'):
                for name, (text, _) in TABS.items():
                    current = 'aria-current="page"' if name == tab else ""
                    ui.link(text, f"/task/{task}/{name}").classes("tab").props(current)
        ui.space()
        ui.label(desk.model).classes("quiet text-sm")
        ui.button(icon="contrast", on_click=dark.turn).props(
            'flat round dense color=secondary aria-label="Light or dark"'
        )
        with ui.row().classes("items-center gap-1"):
            ui.icon("person").classes("quiet")
            ui.label(person.name).classes("text-sm")
            if desk.access.keys:
                ui.link("Sign out", "/signout").classes("text-sm ml-2")
    main = ui.column().classes("w-full max-w-screen-2xl mx-auto p-6 gap-4").props("role=main")
    with main:
        for text in desk.news.pop(person.name, []):
            ui.notify(text, multi_line=True, type="positive", timeout=10_000, close_button="Close")
        yield main


def progress() -> ui.linear_progress:
    """A bar that says how far something is."""
    bar = ui.linear_progress(value=0, show_value=False)
    return bar.props('rounded size=8px instant-feedback aria-label="Progress"').classes("w-64")


async def agreed(question: str, yes: str) -> bool:
    """Whether a person says yes to a question."""
    with ui.dialog() as dialog, ui.card().classes("gap-4"):
        ui.label(question).classes("whitespace-pre-line")
        with ui.row().classes("w-full justify-end gap-2"):
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat color=secondary")
            ui.button(yes, on_click=lambda: dialog.submit(True)).props("unelevated")
    said: bool | None = await dialog
    return bool(said)


def told(error: TaggerError) -> None:
    """Show what is wrong and what to do."""
    ui.notify(str(error), type="negative", multi_line=True, close_button="Close", timeout=0)


@contextmanager
def telling() -> Iterator[None]:
    """Whatever a person has to do about an error is said, not thrown."""
    try:
        yield
    except TaggerError as error:
        told(error)
