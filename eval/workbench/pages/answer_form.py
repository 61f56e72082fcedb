"""The right answer of one record, as a person puts it in: labels by button or key, texts by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from nicegui import ui

from eval.workbench.exchange import cell, read_number
from eval.workbench.pages.frame import telling
from tagger.errors import TaskError
from tagger.evidence import find
from tagger.record import Record
from tagger.result import Tag
from tagger.schema import BooleanField, ClaimsField, FieldBase, LabelsField, NumberField, TextField, TextsField

KEYS = 9
"""Labels that have a number key: the likeliest."""
FEW = 8
"""Up to so many fields each have a line; of more, those that nothing is said of stand behind a choice."""


class AnswerForm:
    """What stands in the form is the answer; it begins with what this person said before, else with the tagger's."""

    def __init__(
        self,
        fields: Mapping[str, FieldBase],
        record: Record,
        tags: Mapping[str, Tag],
        own: Mapping[str, Any] | None,
        done: Callable[[], Awaitable[None]],
    ) -> None:
        """`own` is what was said before; `done` is called when a label of the only field is chosen, and by Enter."""
        self._fields, self._record, self._tags, self._done = fields, record, tags, done
        said = {name: value for name in fields if (value := _said(tags.get(name))) is not None}
        self.answer: dict[str, Any] = dict(said if own is None else own)
        self.keyed: list[Callable[[], Awaitable[None]]] = []
        """What the number keys do, from 1."""
        self.changed: Callable[[], object] = lambda: None
        """Hears when the answer is another."""

    def build(self) -> None:
        """A line for each field; of many, those that have no value behind a choice."""
        shown = [n for n in self._fields if len(self._fields) <= FEW or n in self.answer or n in self._tags]
        for name in shown:
            self._field(name, self._fields[name])
        left = [name for name in self._fields if name not in shown]
        if left:
            ui.select(left, label="Another field", with_input=True, on_change=lambda e: self._also(e.value)).props(
                "outlined dense"
            ).classes("w-72")
        self._added = ui.column().classes("w-full gap-2")

    async def key(self, number: int) -> None:
        """The label behind a number key, from 1."""
        if 0 < number <= len(self.keyed):
            await self.keyed[number - 1]()

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
            number = len(self.keyed) + 1
            self.keyed.append(partial(choose, text))
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
        if isinstance(field, TextsField | ClaimsField):
            chips = ui.input_chips(value=list(value or []), on_change=lambda e: self._set(name, list(e.value) or None))
            chips.props("outlined dense").classes("grow")
            return
        text = "" if value is None else cell(value)
        with ui.column().classes("grow gap-0 min-w-0"):
            box = ui.input(value=text).props(f'outlined dense aria-label="{name}"').classes("w-full")
            doubt = ui.label("This does not stand in the text.").classes("text-sm text-negative")
            box.on_value_change(lambda e: self._typed(name, field, e.value, doubt))
            box.on("keydown.enter", self._done)
            doubt.set_visibility(self._strange(field, value))

    def _typed(self, name: str, field: FieldBase, text: str, doubt: ui.label) -> None:
        with telling():
            value = _read(name, field, text)
            self._set(name, value)
            doubt.set_visibility(self._strange(field, value))

    def _strange(self, field: FieldBase, value: Any) -> bool:
        """Whether a text is none of the record's: it may be right, if it was inferred, but seldom is."""
        return isinstance(field, TextField) and isinstance(value, str) and find(value, self._record.values) is None

    def _set(self, name: str, value: Any) -> None:
        self.answer.pop(name, None)
        if value is not None:
            self.answer[name] = value
        self.changed()


def _said(tag: Tag | None) -> Any:
    """What the tagger has said, or its best guess where it kept silent."""
    if tag is None:
        return None
    return tag.alternatives[0].value if tag.abstained and tag.alternatives else tag.value


def _read(name: str, field: FieldBase, text: str) -> Any:
    """What was typed, as a value of the field: text as it is, a number or a quantity; None for nothing."""
    if not text.strip():
        return None
    if isinstance(field, TextField):
        return text.strip()
    value = read_number(text)
    if value is None or field.problem(value):
        units = field.units if isinstance(field, NumberField) else ()
        hint = f"for instance 5 {units[0]}; there are {', '.join(units)}" if units else "for instance 5, or 2.5"
        raise TaskError(f"{text!r} is no {'quantity' if units else 'number'}", where=name, hint=hint)
    return value
