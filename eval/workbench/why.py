"""A Tagger and a record in, why it said so out: the words that carry the answer, and the shots that were shown.

A word carries as much as the probability falls by when the record is asked again without it (occlusion, Zeiler and
Fergus 2014; erasure of a representation, Li et al. 2016).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from tagger.errors import EngineError
from tagger.likeness import Word, words
from tagger.pipeline import Tagger
from tagger.prompt import Turn
from tagger.record import Record
from tagger.result import Tag, Tagging

MOST = 60
"""Times that a record is asked again at most: of a longer one neighbouring words are left out together."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A piece of a column: how far the probability of what was said falls without it (below 0: it rises), and what is
    then said if it is something else."""

    column: str
    start: int
    end: int
    text: str
    fall: float
    then: Any = None


@dataclass(frozen=True, slots=True)
class Why:
    """What was said of a field, and what it hangs on; `shots` are those that the record's prompt shows."""

    value: Any
    probability: float
    words: tuple[Weight, ...]
    shots: tuple[Turn, ...]


def why(tagger: Tagger, record: Record, field: str) -> Why | None:
    """Why a field has its value; None where nothing was said of it. A value withheld is explained as the guess.

    A piece without which the model gave no answer at all has no weight. Raises EngineError if the engine fails: that
    would look like a fall.
    """
    pieces = _pieces(record, tagger.task.text_columns)
    without = [_without(record, column, start, end) for column, start, end in pieces]
    first, *others = found = tagger.tag_records([record, *without])
    if broken := next((tagging for tagging in found if tagging.outcome == "failed"), None):
        raise EngineError(f"the engine could not answer: {broken.reason}", hint="ask again")
    tag = first.tags.get(field)
    if tag is None:
        return None
    value = _value(tag)
    weights = [
        Weight(column, start, end, record.values[column][start:end], tag.probability - _chance(other, field, value),
               then=said if (said := _said(other, field)) != value else None)
        for (column, start, end), other in zip(pieces, others, strict=True)
        if other.outcome != "rejected"
    ]  # fmt: skip
    return Why(value, tag.probability, tuple(weights), _shots(tagger, record, field))


def _shots(tagger: Tagger, record: Record, field: str) -> tuple[Turn, ...]:
    """The shots with which the record was asked about a field."""
    ask = next(ask for ask in tagger.task.plan.ask if field in ask.fields)
    (prompt,) = tagger.prompts(ask, [record])
    return (*prompt.head.shots, *prompt.shots)


def _pieces(record: Record, columns: Sequence[str]) -> list[tuple[str, int, int]]:
    """Column, start and end of each word, or of as many neighbours as keep the number at MOST."""
    found = [(column, word) for column in columns for word in words(record.values.get(column, ""))]
    size = -(-len(found) // (MOST - len(columns))) or 1  # the last piece of each column may be a short one
    pieces = []
    for column, group in groupby(found, key=lambda item: item[0]):
        listed: list[Word] = [word for _, word in group]
        pieces += [(column, part[0].start, part[-1].end) for part in _parts(listed, size)]
    return pieces


def _parts(listed: Sequence[Word], size: int) -> list[Sequence[Word]]:
    return [listed[n : n + size] for n in range(0, len(listed), size)]


def _without(record: Record, column: str, start: int, end: int) -> Record:
    text = record.values[column]
    values = {**record.values, column: text[:start] + text[end:]}
    return replace(record, id=f"{record.id}-{column}-{start}", values=values)


def _value(tag: Tag) -> Any:
    return tag.alternatives[0].value if tag.abstained and tag.alternatives else tag.value


def _said(tagging: Tagging, field: str) -> Any:
    return _value(tagging.tags[field]) if field in tagging.tags else None


def _chance(tagging: Tagging, field: str, value: Any) -> float:
    """The probability that the value has there; 0 where it is not even an alternative."""
    tag = tagging.tags.get(field)
    if tag is None:
        return 0.0
    if isinstance(value, list):
        chances = [tag.each.get(json.dumps(item, ensure_ascii=False), 0.0) for item in value]
        return min(chances, default=0.0)
    if _value(tag) == value:
        return tag.probability
    return next((other.probability for other in tag.alternatives if other.value == value), 0.0)
