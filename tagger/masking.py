"""A record in, the record without personal data out, and the taggings of that back in the words of the text.

Each find gives way to a placeholder, "[EMAIL_1]", the same one for the same characters, so a model still reads that
there is an address. What is found, personal.py says.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tagger.evidence import Evidence, find
from tagger.personal import BLANK, Span, pieces
from tagger.record import Column, Record
from tagger.result import Alternative, Tag, Tagging


@dataclass(frozen=True, slots=True)
class Find:
    """Personal data: `text` stands in `column` from `start` up to, not including, `end`, and is shown as
    `placeholder`. `kind` is EMAIL, IBAN, ID, CARD, SSN or PHONE."""

    kind: str
    column: str
    start: int
    end: int
    text: str
    placeholder: str


@dataclass(frozen=True, slots=True)
class Masked:
    """`record` is what may be shown, `original` what came; `finds` are in the order of the text, column by column."""

    record: Record
    original: Record
    finds: tuple[Find, ...]


def masked(record: Record, columns: Mapping[str, Column]) -> Masked:
    """The record with a placeholder for each piece of personal data in the free-text columns of a task.

    `columns` are those of the task; one with `allowed` values holds no free text, and no picture is looked into. A
    placeholder whose name stands in the record already, in whatever case or width, is passed over for the next number.
    """
    finds: list[Find] = []
    shown: dict[tuple[str, str], str] = {}
    standing: str | None = None
    for column, setting in columns.items():
        text = record.values.get(column, "")  # of a picture
        for start, end, kind in [] if setting.allowed else pieces(text):
            if standing is None:
                standing = unicodedata.normalize("NFKC", "\n".join(record.values.values())).casefold()
            piece = text[start:end]
            if (kind, piece) not in shown:
                shown[kind, piece] = _placeholder(kind, standing, set(shown.values()))
            finds.append(Find(kind, column, start, end, piece, shown[kind, piece]))
    if not finds:
        return Masked(record, record, ())
    values = {
        name: _replaced(text, [(f.start, f.end, f.placeholder) for f in finds if f.column == name])
        for name, text in record.values.items()
    }
    return Masked(replace(record, values=values), record, tuple(finds))


def restored(tagging: Tagging, masked: Masked) -> Tagging:
    """The tagging of a masked record as one of the record that came: placeholders in values and alternatives are the
    text again, evidence counts the characters of the original.

    A value that only a placeholder held ("EMAIL", the 1 of "[PHONE_1]") is looked for in the rest of the record, and
    marked inferred if it does not stand there. The reason of an outcome keeps its placeholders: it goes to logs.
    `scores`, which speak of the masked text, are left out.
    """
    if not masked.finds:
        return tagging
    return replace(
        tagging,
        tags={name: _restored(tag, masked) for name, tag in tagging.tags.items()},
        conflicts=tuple(replace(one, reason=_unmasked(one.reason, masked)) for one in tagging.conflicts),
    )


def hidden(text: str) -> str:
    """A text for logs: "[PHONE]" in the place of a phone number, and so on."""
    return _replaced(text, [(start, end, f"[{kind}]") for start, end, kind in pieces(text)])


def _placeholder(kind: str, standing: str, taken: set[str]) -> str:
    """The next placeholder of a kind whose name does not stand in the text, with or without its brackets."""
    number = 1
    while f"[{kind}_{number}]" in taken or f"{kind}_{number}".casefold() in standing:
        number += 1
    return f"[{kind}_{number}]"


def _replaced(text: str, pieces: list[tuple[int, int, str]]) -> str:
    for start, end, instead in reversed(pieces):
        text = text[:start] + instead + text[end:]
    return text


def _restored(tag: Tag, masked: Masked) -> Tag:
    value = _unmasked(tag.value, masked)
    others = tuple(Alternative(_unmasked(other.value, masked), other.probability) for other in tag.alternatives)
    evidence, evidences = tag.evidence, tag.evidences
    if evidence:  # of an abstained value, which leads the alternatives, there is evidence, too
        said = tag.alternatives[0].value if tag.abstained else tag.value
        evidence = _proof(_as_written(tag, said), evidence, masked)
    if evidences:
        evidences = tuple(
            place and _proof(_as_written(tag, item), place, masked)
            for item, place in zip(tag.value, evidences, strict=True)
        )
    return replace(
        tag,
        value=value,
        alternatives=others,
        evidence=evidence,
        evidences=evidences,
        proofs=tuple(tuple(_original(place, masked) for place in each) for each in tag.proofs),
        untraced=tuple(
            replace(one, text=_unmasked(one.text, masked), reason=_unmasked(one.reason, masked)) for one in tag.untraced
        ),
        corrections=tuple(
            replace(one, before=_unmasked(one.before, masked), after=_unmasked(one.after, masked))
            for one in tag.corrections
        ),
        inferred=tag.inferred or (tag.evidence is not None and evidence is None) or None in evidences,
        each={json.dumps(_unmasked(json.loads(text), masked), ensure_ascii=False): p for text, p in tag.each.items()},
        scores=None,
    )


def _as_written(tag: Tag, item: Any) -> Any:
    """What stood there before a rule of the task rewrote it: the text that evidence is of."""
    for one in reversed(tag.corrections):
        if one.after == item and one.before is not None:
            item = one.before
    return item


def _unmasked(value: Any, masked: Masked) -> Any:
    """A value with the characters that came in the place of placeholders, which a model may write without brackets."""
    if isinstance(value, list):
        return [_unmasked(item, masked) for item in value]
    if not isinstance(value, str):
        return value
    texts = {f.placeholder[1:-1].casefold(): f.text for f in masked.finds}
    names = "|".join(texts)
    pattern = rf"\[({names})\]|(?<![a-z0-9])({names})(?![0-9])"
    return re.sub(pattern, lambda match: texts[(match[1] or match[2]).casefold()], value, flags=re.IGNORECASE)


def _original(evidence: Evidence, masked: Masked) -> Evidence:
    """The characters of the original that stand where evidence of the masked text does, of a placeholder all."""
    finds = [f for f in masked.finds if f.column == evidence.column]
    text = masked.original.values[evidence.column]
    origin: list[Span] = []  # of each character of the masked text
    at = 0
    for one in finds:
        origin += [(i, i + 1) for i in range(at, one.start)] + [(one.start, one.end)] * len(one.placeholder)
        at = one.end
    origin += [(i, i + 1) for i in range(at, len(text))]
    start, end = origin[evidence.start][0], origin[evidence.end - 1][1]
    return Evidence(evidence.column, start, end, text[start:end])


def _proof(value: str, evidence: Evidence, masked: Masked) -> Evidence | None:
    """Evidence of the masked text as that of the original, where a placeholder is proof as a whole or not at all."""
    place = _original(evidence, masked)
    if not any(f.start < place.end and place.start < f.end for f in masked.finds if f.column == place.column):
        return place
    said = _unmasked(value, masked)
    if said != value and find(said, {place.column: place.text}):
        return place
    rest = {
        name: _replaced(whole, [(f.start, f.end, BLANK * len(f.text)) for f in masked.finds if f.column == name])
        for name, whole in masked.original.values.items()
    }
    return find(said, rest)
