"""A line of JSON in, an Example out: a record and its right answer.

Two shapes are read, so that labelled data needs no conversion: our own
`{"record": {...}, "answer": {...}}`, and a flat row whose right answers lie in one object somewhere
inside it (`gold = "labels"` in task.toml says where).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagger.errors import TaskError
from tagger.record import Column, Record, Rejected, read_record
from tagger.schema import FieldBase, TextsField, problems, takes_several


@dataclass(frozen=True, slots=True)
class Example:
    """A record with its right answer; `answer` holds only the fields that the record has."""

    record: Record
    answer: Mapping[str, Any]
    also: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Other values that are right too, where labellers gave several."""
    annotated: frozenset[str] | None = None
    """Fields that a labeller looked at, absent ones among them; None: all of them."""
    pseudo: bool = False
    """Whether the answer is a tagger's own: it may teach, never judge."""

    def is_right(self, name: str, value: Any) -> bool:
        """Whether `value` is a right value of field `name`."""
        return name in self.answer and (value == self.answer[name] or value in self.also.get(name, ()))


MOST_SHOWN = 20
"""Wrong lines that an error names."""
Asked = Callable[[Record], Mapping[str, FieldBase]]
"""The fields that are asked of a record."""


def read_examples(path: Path, columns: Mapping[str, Column], asked: Asked, gold: str) -> list[Example]:
    """All examples of a JSONL file, in order; paths of pictures lead from its folder.

    Raises TaskError naming the file and every line (of many the first) that is no JSON object, lacks a column or
    an answer, or whose answer breaks the schema.
    """
    if not path.is_file():
        raise TaskError("no such file of examples", where=str(path))
    examples, wrong = [], []
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if line.strip():
            try:
                row = _row(line, f"{path}:{number}")
                examples.append(example_of(row, f"{path}:{number}", number, columns, asked, gold, path.parent))
            except TaskError as error:
                wrong.append(error)
    if wrong:
        first, *others = wrong
        also = "".join(f"\n{error.where}: {error.message}" for error in others[: MOST_SHOWN - 1])
        more = f"\n... and {len(wrong) - MOST_SHOWN} more lines" if len(wrong) > MOST_SHOWN else ""
        raise TaskError(first.message + also + more, where=first.where, hint=first.hint)
    if not examples:
        raise TaskError("the file holds no example", where=str(path))
    if all(example.annotated is not None and not example.annotated for example in examples):
        hint = f"they are called {', '.join(list(asked(examples[0].record))[:5])}, ..., letter for letter"
        raise TaskError("no row of the file names a field of the task", where=str(path), hint=hint)
    return examples


def _row(line: bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"not a line of JSON: {error}", where=where) from None


def example_of(
    row: Any,
    where: str,
    number: int,
    columns: Mapping[str, Column],
    asked: Asked,
    gold: str,
    folder: Path | None = None,
) -> Example:
    """A row as an example, its pictures below `folder`; TaskError if it is none, or its answer breaks the schema of
    what is asked."""
    if not isinstance(row, Mapping):
        raise TaskError(f"expected an object, found {row!r:.40}", where=where)
    native = "record" in row and "answer" in row
    record = read_record(row["record"] if native else row, columns, str(number), folder=folder)
    if isinstance(record, Rejected):
        raise TaskError(f"not a record of this task: {record.reason}", where=where)
    fields = asked(record)
    answer, also, annotated = (row["answer"], {}, None) if native else gold_answer(dig(row, gold), fields)
    if not isinstance(answer, Mapping):
        hint = f"write {{'record': ..., 'answer': ...}} or put the answers at {gold!r} (gold in task.toml)"
        raise TaskError("the line has no answer", where=where, hint=hint)
    wrong = problems(fields, answer)
    wrong += [f"{name}: {why}" for name, others in also.items() for v in others if (why := fields[name].problem(v))]
    if wrong:
        raise TaskError(f"the answer breaks the schema: {'; '.join(wrong)}", where=where)
    return Example(record, dict(answer), also, annotated, pseudo=bool(row.get("pseudo")))


def dig(row: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path ('labels.attributes') in nested objects, or None."""
    value: Any = row
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def gold_answer(
    found: Any, fields: Mapping[str, FieldBase]
) -> tuple[dict[str, Any] | None, dict[str, tuple[Any, ...]], frozenset[str] | None]:
    """The part of a gold object that answers `fields`, other right values, and the fields it mentions.

    Labelled sets write a value as a list; a list of one is that value, an empty one is absence, and of
    several values of a single-valued field the first is the answer and the others are right as well.
    """
    if not isinstance(found, Mapping):
        return None, {}, None
    answer: dict[str, Any] = {}
    also: dict[str, tuple[Any, ...]] = {}
    for name, definition in fields.items():
        value = found.get(name)
        if value == [] and isinstance(definition, TextsField):
            value = None
        if isinstance(value, list) and not takes_several(definition):
            if len(value) > 1:
                also[name] = tuple(value[1:])
            value = value[0] if value else None
        if value is not None:
            answer[name] = value
    return answer, also, frozenset(found) & frozenset(fields)
