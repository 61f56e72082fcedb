"""A plan's ask and the fields of a record in, the Constraint out, and completions back into values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tagger.engines.base import Completion, Constraint
from tagger.grammar import choice_grammar, first_value, object_grammar, read_value, spell
from tagger.plan import Ask, codes
from tagger.schema import PATH_SEPARATOR, FieldBase, PathField, problems


@dataclass(frozen=True, slots=True)
class Answer:
    """Values by field, schema-valid, with the completion that they were read from."""

    values: Mapping[str, Any]
    completion: Completion


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why a completion is no answer; `failed` when the engine, not the record, is to blame."""

    reason: str
    failed: bool = False


def constraint(ask: Ask, fields: Mapping[str, FieldBase]) -> Constraint:
    """What the engine may write: one of the values' texts or codes, or a JSON object."""
    if ask.as_object:
        dense = ask.form == "dense"
        least = {name: first_value(field) for name, field in fields.items() if field.required}
        return Constraint(object_grammar(fields, dense=dense), sample=spell(fields, least, dense=dense))
    choices = tuple(choice_values(ask, fields))
    return Constraint(choice_grammar(choices), choices)


def choice_values(ask: Ask, fields: Mapping[str, FieldBase]) -> Mapping[str, Any]:
    """Text that may be written -> the value it stands for, for a label or codes ask."""
    field = fields[ask.fields[0]]
    values = field.closed or {}
    if ask.shortlist and isinstance(field, PathField):
        return short_names(list(values))
    if ask.form == "codes":
        return {code: values[text] for code, text in codes(list(values)).items()}
    return values


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """For each path the fewest of its last levels that tell it from the others, and the path.

    Of 20 candidates of a large taxonomy the whole paths take three times the tokens.
    """
    levels = {path: path.split(PATH_SEPARATOR) for path in paths}
    names = {}
    for path, parts in levels.items():
        depth = 1
        while depth < len(parts) and sum(other[-depth:] == parts[-depth:] for other in levels.values()) > 1:
            depth += 1
        names[PATH_SEPARATOR.join(parts[-depth:])] = path
    return names


def read_answer(ask: Ask, fields: Mapping[str, FieldBase], completion: Completion) -> Answer | NoAnswer:
    """The values of a completion, or why there are none. Nothing is repaired or guessed."""
    if completion.finish_reason == "error":
        return NoAnswer(f"the engine could not answer: {completion.text}", failed=True)
    if completion.finish_reason == "refused":
        return NoAnswer(f"the prompt does not fit: {completion.text}")
    if completion.finish_reason == "length":
        return NoAnswer(f"the answer did not end within {completion.tokens_out} tokens")
    if not ask.as_object:
        choices = choice_values(ask, fields)
        if completion.text not in choices:
            return NoAnswer(f"{completion.text!r} is none of the values that may be answered")
        return Answer({ask.fields[0]: choices[completion.text]}, completion)
    try:
        found = json.loads(completion.text)
    except (ValueError, RecursionError) as error:
        return NoAnswer(f"not JSON ({error}): {completion.text!r:.80}")
    if not isinstance(found, dict):
        return NoAnswer(f"expected a JSON object, found {completion.text!r:.80}")
    dense = ask.form == "dense"
    told = {name: value for name, value in found.items() if not (dense and value is None)}
    values = {name: read_value(fields[name], value) if name in fields else value for name, value in told.items()}
    if wrong := problems(fields, values):
        return NoAnswer("; ".join(wrong))
    if spell(fields, values, dense=dense) != completion.text:
        return NoAnswer(f"not written as the grammar has it: {completion.text!r:.80}")
    return Answer(values, completion)
