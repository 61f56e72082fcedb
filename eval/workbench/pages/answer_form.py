"""The right answer of one record, as a person puts it in: labels by button or key, texts by hand."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from nicegui import ui

from eval.workbench.results import shown
from tagger.errors import TaskError
from tagger.result import Tag
from tagger.schema import BooleanField, FieldBase, LabelsField, TextField, TextsField

KEYS = 9
"""Labels that have a number key: the likeliest."""


class AnswerForm:
    """What stands in the form is the answer; it begins with what the tagger has said."""

    def __init__(
        self, fields: Mapping[str, FieldBase], tags: Mapping[str, Tag], done: Callable[[], Awaitable[None]]
    ) -> None:
        """`done` is called when a label of the only field is chosen: there is nothing else to say."""
        self._fields, self._tags, self._done = fields, tags, done
        self.answer: dict[str, Any] = {name: value for name in fields if (value := _said(tags.get(name))) is not None}
        self._keyed: list[Callable[[], Awaitable[None]]] = []

    def build(self) -> None:
        """A line for each field that has a value; the others behind a choice."""
        single = len(self._fields) == 1
        for name, field in self._fields.items():
            if single or name in self.answer or name in self._tags:
                self._field(name, field)
        left = [name for name in self._fields if not single and name not in self.answer and name not in self._tags]
        if left:
            ui.select(left, label="Another field", with_input=True, on_change=lambda e: self._also(e.value)).props(
                "outlined dense"
            ).classes("w-72")
        self._added = ui.column().classes("w-full gap-2")

    async def key(self, number: int) -> None:
        """The label behind a number key, from 1."""
        if 0 < number <= len(self._keyed):
            await self._keyed[number - 1]()

    def _also(self, name: str | None) -> None:
        if name and name not in self.answer:
            with self._added:
                self._field(name, self._fields[name])

    def _field(self, name: str, field: FieldBase) -> None:
        with ui.row().classes("w-full items-start gap-3 no-wrap"):
            ui.label(name).classes("quiet text-sm w-32 pt-2 break-words")
            with ui.row().classes("grow items-center gap-2 min-w-0"):
                if isinstance(field, BooleanField):
                    self._one_of(name, {"yes": True, "no": False})
                elif field.closed:
                    self._one_of(name, field.closed)
                elif isinstance(field, LabelsField):
                    self._several(name, list(field.labels))
                else:
                    self._text(name, field)

    def _one_of(self, name: str, values: Mapping[str, Any]) -> None:
        """The likeliest as buttons with a number key, and all in a choice that is searched by typing."""
        tag = self._tags.get(name)
        likely = [tag.value] if tag and tag.value is not None else []
        likely += [other.value for other in tag.alternatives] if tag else []
        texts = {text: value for text, value in values.items() if value in likely}
        ordered = sorted(texts, key=lambda text: likely.index(texts[text]))
        ordered += [text for text in values if text not in texts][: KEYS - len(ordered)]
        single = len(self._fields) == 1

        async def choose(text: str) -> None:
            self.answer[name] = values[text]
            if single:
                await self._done()
            else:
                choice.set_value(text)

        for text in ordered[:KEYS] if single else ():
            number = len(self._keyed) + 1
            self._keyed.append(partial(choose, text))
            said = text == ordered[0] and bool(likely)
            button = ui.button(f"{number}  {text}", on_click=partial(choose, text))
            button.props("unelevated" if said else "outline color=secondary")
        now = next((text for text, value in values.items() if value == self.answer.get(name)), None)
        choice = ui.select(list(values), value=now, with_input=True, label="all", clearable=True)
        choice.props("outlined dense").classes("w-64")
        choice.on_value_change(lambda e: self._set(name, values[e.value] if e.value else None))

    def _several(self, name: str, labels: list[str]) -> None:
        choice = ui.select(labels, value=self.answer.get(name) or [], multiple=True, with_input=True)
        choice.props("outlined dense use-chips").classes("grow")
        choice.on_value_change(lambda e: self._set(name, [label for label in labels if label in e.value]))

    def _text(self, name: str, field: FieldBase) -> None:
        value = self.answer.get(name)
        if isinstance(field, TextsField):
            chips = ui.input_chips(value=list(value or []), on_change=lambda e: self._set(name, list(e.value) or None))
            chips.props("outlined dense").classes("grow")
            return
        text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
        box = ui.input(value=text, on_change=lambda e: self._set(name, _read(name, field, e.value)))
        box.props(f'outlined dense aria-label="{name}"').classes("grow")

    def _set(self, name: str, value: Any) -> None:
        self.answer.pop(name, None)
        if value is not None:
            self.answer[name] = value


def _said(tag: Tag | None) -> Any:
    """What the tagger has said, or its best guess where it kept silent."""
    if tag is None:
        return None
    return tag.alternatives[0].value if tag.abstained and tag.alternatives else tag.value


def _read(name: str, field: FieldBase, text: str) -> Any:
    """What was typed, as a value of the field: text as it is, all else as JSON; None for nothing."""
    if not text.strip():
        return None
    if isinstance(field, TextField):
        return text.strip()
    try:
        return json.loads(text)
    except ValueError:
        raise TaskError(
            f"{shown(text)!r} is no value", where=name, hint='for instance {"value": 5, "unit": "kg"}'
        ) from None
