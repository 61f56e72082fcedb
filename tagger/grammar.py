"""Fields in, the bytes of an answer out: the grammar that allows them and the function that writes them.

Every engine is given this one grammar text (GBNF, the EBNF dialect of llama.cpp that xgrammar reads),
so the bytes of an answer are the same everywhere. `spell` writes exactly the bytes that the grammar
allows; prompts show them in examples and training targets are made of them. Change both together:
`tests/tagger/test_grammar.py` compares them byte by byte for every kind of field.

One thing the grammar leaves to the check: that a text is not longer than `max_chars` and not blank. Said in
the grammar it would make a token mask cost 300 to 1,000 ms (`char{1,200}`) or 40 ms (a first character
other than a space) instead of 0.6 ms, measured with xgrammar 0.2.8 and 151,665 tokens; such an answer is rejected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tagger.schema import (
    ClaimsField,
    FieldBase,
    LabelsField,
    NumberField,
    TextsField,
    plain_number,
    plain_quantity,
)

_TERMINALS = r"""
char ::= [^"\\\x00-\x1f\x7f-\x9f] | "\\" ["\\]
number ::= "0" | "-"? (whole fraction? | "0" fraction)
whole ::= [1-9] [0-9]{0,8}
fraction ::= "." [0-9]{0,5} [1-9]
"""


def choice_grammar(choices: Sequence[str]) -> str:
    """A grammar whose only sentences are `choices`, as they stand."""
    return "root ::= " + " | ".join(_literal(choice) for choice in choices) + "\n"


def object_grammar(fields: Mapping[str, FieldBase], *, dense: bool = False) -> str:
    """A grammar of JSON objects with the fields in the declared order: absent ones left out, or null if `dense`."""
    items = []
    for name, field in fields.items():
        value = f'({_value(field)} | "null")' if dense and not field.required else _value(field)
        items.append((f"{_literal(json.dumps(name, ensure_ascii=False) + ': ')} {value}", field.required or dense))
    return f'root ::= "{{" {_sequence("m", items)} "}}"\n' + _rules("m", items) + _value_rules(fields) + _TERMINALS


def spell(fields: Mapping[str, FieldBase], values: Mapping[str, Any], *, dense: bool = False) -> str:
    """The one way to write `values` as an answer: what `object_grammar` of the same allows."""
    members = [
        f"{json.dumps(name, ensure_ascii=False)}: {spell_value(field, values[name]) if name in values else 'null'}"
        for name, field in fields.items()
        if name in values or dense
    ]
    return "{" + ", ".join(members) + "}"


def spell_value(field: FieldBase, value: Any) -> str:
    """The JSON text of one value; a quantity is written as a string, number and unit."""
    if isinstance(field, NumberField):
        if field.units:
            return json.dumps(plain_quantity(value), ensure_ascii=False)
        return plain_number(value)
    return json.dumps(value, ensure_ascii=False)


def read_value(field: FieldBase, value: Any) -> Any:
    """The inverse of `spell_value` after JSON parsing: a quantity string becomes value and unit."""
    if isinstance(field, NumberField) and field.units and isinstance(value, str):
        number, _, unit = value.partition(" ")
        try:
            return {"value": json.loads(number), "unit": unit}
        except ValueError:
            return value
    return value


def first_value(field: FieldBase) -> Any:
    """A value of the field: the first of a closed one."""
    if (values := field.closed) is not None:
        return next(iter(values.values()))
    if isinstance(field, LabelsField):
        return []
    if isinstance(field, NumberField):
        return {"value": 1, "unit": field.units[0]} if field.units else 1
    return ["x"] if isinstance(field, TextsField | ClaimsField) else "x"


def value_text(field: FieldBase, value: Any) -> str:
    """The text of a closed field's value: the inverse of `closed_values`."""
    return next(text for text, known in (field.closed or {}).items() if known is value or known == value)


def _value(field: FieldBase) -> str:
    if isinstance(field, LabelsField):
        return f"labels{_key(field)}"
    if (values := field.closed) is not None:
        return "(" + " | ".join(_literal(json.dumps(value, ensure_ascii=False)) for value in values.values()) + ")"
    if isinstance(field, NumberField):
        if not field.units:
            return "number"
        units = " | ".join(_literal(json.dumps(unit, ensure_ascii=False)[1:-1]) for unit in field.units)
        return rf'"\"" number " " ({units}) "\""'
    text = r'"\"" char+ "\""'
    if isinstance(field, ClaimsField):
        more = ""
        for _ in range(field.most - 1):
            more = f' (", " {text}{more})?'
        return f'"[" {text}{more} "]"'
    return f'"[" {text} (", " {text})* "]"' if isinstance(field, TextsField) else text


def _value_rules(fields: Mapping[str, FieldBase]) -> str:
    text = ""
    for field in {id(f): f for f in fields.values() if isinstance(f, LabelsField)}.values():
        items = [(_literal(json.dumps(label, ensure_ascii=False)), False) for label in field.labels]
        name = f"l{_key(field)}x"
        text += f'labels{_key(field)} ::= "[" {_sequence(name, items)} "]"\n' + _rules(name, items)
    return text


def _sequence(name: str, items: Sequence[tuple[str, bool]]) -> str:
    return f"{name}first0" if items else '""'


def _rules(name: str, items: Sequence[tuple[str, bool]]) -> str:
    """Items in order, each optional unless required, with ', ' between those present.

    Two rules an item keep the grammar linear in their number: nothing written yet, and something.
    """
    lines = [f'{name}first{len(items)} ::= ""', f'{name}rest{len(items)} ::= ""']
    for i, (item, required) in reversed(list(enumerate(items))):
        first, rest = f"{item} {name}rest{i + 1}", f'", " {item} {name}rest{i + 1}'
        lines.append(f"{name}first{i} ::= {first}" + ("" if required else f" | {name}first{i + 1}"))
        lines.append(f"{name}rest{i} ::= {rest}" + ("" if required else f" | {name}rest{i + 1}"))
    return "\n".join(lines) + "\n"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _key(field: FieldBase) -> str:
    """A rule name for a field: stable for equal definitions, so that equal fields give equal grammars."""
    return hashlib.sha256(field.model_dump_json().encode()).hexdigest()[:8]
