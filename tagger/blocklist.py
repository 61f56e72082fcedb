"""A person's list of words and texts in, out: which of its entries they hold, and answers without the values that do.

The list is a text file, one entry a line; lines that begin with # are comments. Texts are compared as a reader does:
case, width (NFKC), white space and characters that show nothing aside; "9mm" is "9 mm". An entry matches as a whole
word, "gun" not in "begun" nor in "guns"; in scripts that put no spaces between words (Chinese, Japanese, Korean, Thai)
it matches wherever it stands. Nothing else is guessed: inflections, other spellings, traditional beside simplified
characters, a quantity in another unit are entries of their own.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tagger.errors import SourceError
from tagger.example import Example
from tagger.result import Tagging, line_of, tagging_of
from tagger.schema import ClosedField, FieldBase, NumberField, is_quantity, plain_number, plain_quantity
from tagger.task import Task

_UNSPACED = (
    "\u0e00-\u0e7f\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_WITHIN = re.compile(f"[^\\W_{_UNSPACED}]{{2}}")
"""Two letters or digits of a script with spaces between words: no word ends between them."""
_UNIT = re.compile(r"(?<=\d)(?=[^\W\d_])")
"""Between a number and a letter behind it: 9mm is read as 9 mm."""
_SHOWS_NOTHING = re.compile("[\u034f\u1160\u115f\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0000-\U000e0fff]")
"""What Unicode calls ignorable and no format (Cf): joiners, fillers, variation selectors."""
_EXCERPT = 60
_OTHERS = ("alternatives", "untraced", "corrections")
"""What a tag tells of values that it does not say."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A text of a task that holds an entry."""

    where: str
    text: str
    """The text, or its beginning."""
    line: int
    """Of the blocklist, where the entry stands."""


@dataclass(frozen=True)
class Blocklist:
    """The entries of a file called `name`: their folded texts, each with its line there."""

    name: str
    entries: Mapping[str, int]

    @cached_property
    def id(self) -> str:
        """Eight hex digits that change with what it withholds and how that is told."""
        told = json.dumps([self.name, dict(self.entries)], ensure_ascii=False)
        return hashlib.sha256(told.encode()).hexdigest()[:8]

    @cached_property
    def _by_head(self) -> Mapping[str, list[str]]:
        """The entries by their first two characters, the longest first: a service looks through a list of thousands
        while others wait for it."""
        found: dict[str, list[str]] = {}
        for entry in sorted(self.entries, key=len, reverse=True):
            found.setdefault(entry[:2], []).append(entry)
        return found

    def line(self, text: str) -> int | None:
        """The line of the first entry that stands in a text, of several there the longest; None where none does."""
        folded = _folded(text)
        for start in range(len(folded)):
            for head in (folded[start : start + 2], folded[start]):
                for entry in self._by_head.get(head, ()):
                    if folded.startswith(entry, start) and _whole(folded, start, start + len(entry)):
                        return self.entries[entry]
        return None

    def told(self, line: int) -> str:
        """What is said of a value: where its entry stands, not what it is, which nobody may want to read again."""
        return f"on the blocklist ({self.name}, line {line})"


def load_blocklist(path: Path) -> Blocklist:
    """The blocklist in a file; SourceError where there is none, or it holds no entry or no UTF-8."""
    if not path.is_file():
        raise SourceError("no such blocklist", where=str(path))
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise SourceError(f"not UTF-8: {error}", where=str(path)) from None
    entries: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if (entry := _folded(line)) and not line.lstrip().startswith("#"):
            entries.setdefault(entry, number)
    if not entries:
        hint = "write one entry a line; lines that begin with # are comments"
        raise SourceError("the blocklist holds no entry", where=str(path), hint=hint)
    return Blocklist(path.name, entries)


def kept_back(tagging: Tagging, blocklist: Blocklist) -> tuple[Tagging, list[str]]:
    """A tagging without values on the list, and what was withheld, both as `screened` has them."""
    answer, lost = screened(tagging.answer(), blocklist)
    return (tagging_of(line_of(tagging.id, answer, tagging.provenance), tagging.fields) if lost else tagging), lost


def screened(answer: Mapping[str, Any], blocklist: Blocklist) -> tuple[Mapping[str, Any], list[str]]:
    """An answer (result.py: Tagging.answer) without values on the list, and what was withheld: fields by name.

    A field whose value holds an entry, or whose list has one that does, is withheld as a whole, with its evidence:
    it has no value, `abstained`, and a reason in `withheld`, which the row's `reason` repeats. Alternatives, untraced
    sentences and corrections on the list are left out; where nothing else is, `withheld` says so beside the value, and
    the field is named with "(alternatives)". A row that has no value any more is abstained. What `conflicts` and
    `reason` quote is withheld, too, and evidence that holds an entry: that of a value which a rule or a threshold took
    back, or which a rule words in another way.
    """
    tags, lost, silenced = dict(answer["tags"]), {}, False
    for name, tag in answer["tags"].items():
        others = {key: tag[key] for key in _OTHERS if key in tag}
        left = {key: [o for o in each if _first(o, blocklist) is None] for key, each in others.items()}
        kept = {key: each for key, each in left.items() if each}
        unsaid = {*_OTHERS, "evidence"} if _first(_cited(tag.get("evidence")), blocklist) is not None else {*_OTHERS}
        if (line := _first(tag["value"], blocklist)) is not None:
            reason = f"withheld, {blocklist.told(line)}"
            said = {"value": None, "probability": tag["probability"], "abstained": True}
            lost[name], silenced = f"{name}: {reason}", True
        elif left != others or "evidence" in unsaid:
            reason = f"other values withheld, on the blocklist ({blocklist.name})"
            said = {key: value for key, value in tag.items() if key not in unsaid}
            lost[f"{name} (alternatives)"] = f"{name}: {reason}"
        else:
            continue
        tags[name] = {**said, **kept, "withheld": reason}
    told, conflicts = answer.get("reason"), [_unquoted(one, blocklist) for one in answer.get("conflicts", ())]
    if conflicts != answer.get("conflicts", []):
        lost["conflicts"] = f"conflicts: withheld, on the blocklist ({blocklist.name})"
    if told and (line := blocklist.line(told)) is not None:
        lost["reason"], told = f"reason: withheld, {blocklist.told(line)}", None
    if not lost:
        return answer, []
    silent = silenced and all(tag["value"] is None for tag in tags.values())
    found = {
        "outcome": "abstained" if silent else answer["outcome"],
        "reason": "; ".join(filter(None, [told, *lost.values()])),
        "tags": tags,
        **({"conflicts": conflicts} if conflicts else {}),
    }
    return {**answer, **found}, list(lost)


def hits(task: Task, blocklist: Blocklist) -> list[Hit]:
    """Every text of a task that holds an entry: what it is about, columns, fields, labels, prompt and examples."""
    return [
        Hit(where, text if len(text) <= _EXCERPT else text[:_EXCERPT] + "...", line)
        for where, text in _texts(task)
        if (line := blocklist.line(text)) is not None
    ]


def _texts(task: Task) -> Iterator[tuple[str, str]]:
    """The texts of a task, each with its place."""
    settings = task.place("task.toml")
    yield f"{settings}: about", task.definition.about
    for name, column in task.columns.items():
        for text in (column.about, *column.allowed):
            yield f"{settings}: columns.{name}", text
    for name, field in task.fields.items():
        for key, text in _of_field(name, field):
            yield f"{settings}: fields.{name}{key}", text
    for number, line in enumerate(task.template_source.splitlines(), start=1):
        yield f"{task.template_place}, with what it includes, line {number}", line
    for number, example in enumerate(task.examples, start=1):
        for text in _of_example(example):
            yield f"{task.place('examples.jsonl')}, example {number}", text


def _of_field(name: str, field: FieldBase) -> Iterator[tuple[str, str]]:
    yield "", name
    yield ".about", field.about
    if isinstance(field, ClosedField):
        for label, about in field.labels.items():
            yield ".labels", label
            yield f".labels, description of {label!r}", about
    if isinstance(field, NumberField):
        for unit in field.units:
            yield ".units", unit


def _of_example(example: Example) -> Iterator[str]:
    yield from example.record.values.values()
    for value in example.answer.values():
        yield from _strings(value)


def _unquoted(conflict: Mapping[str, Any], blocklist: Blocklist) -> Mapping[str, Any]:
    """A conflict without a reason that quotes what is on the list."""
    line = blocklist.line(conflict["reason"])
    return conflict if line is None else {**conflict, "reason": f"withheld, {blocklist.told(line)}"}


def _first(value: Any, blocklist: Blocklist) -> int | None:
    """The line of the first entry that some text of a value holds."""
    return next((line for text in _strings(value) if (line := blocklist.line(text)) is not None), None)


def _cited(evidence: Any) -> list[str]:
    """The texts of evidence: of one place, of a place for each item of a list, or of places for each."""
    if isinstance(evidence, Mapping):
        return [evidence["text"]]
    return [text for place in evidence or () for text in _cited(place)]


def _strings(value: Any) -> Iterator[str]:
    """The texts of a value: itself, those of a list, a number or a quantity as it is written."""
    if isinstance(value, str):
        yield value
    elif is_quantity(value):
        yield plain_quantity(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield plain_number(value)
    elif isinstance(value, list | Mapping):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, item in parts:
            if name != "probability":
                yield from _strings(item)


def _whole(text: str, start: int, end: int) -> bool:
    """Whether the characters from `start` up to `end` are cut out of no word, at either side."""
    before, after = text[max(0, start - 1) : start + 1], text[end - 1 : end + 1]
    return not (_WITHIN.fullmatch(before) or _WITHIN.fullmatch(after))


def _folded(text: str) -> str:
    """A text as a reader compares it; characters that only format (zero-width ones) are left out."""
    for _ in range(2):  # an accent behind a character that shows nothing is joined to its letter once that is gone
        text = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
        text = _SHOWS_NOTHING.sub("", text)
    return " ".join(_UNIT.sub(" ", unicodedata.normalize("NFKC", text).casefold()).split())
