"""The scores of a field in, its Tag out: the value that is said, with the characters that prove it, and the others."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tagger.calibration import Calibration
from tagger.confidence import Scores
from tagger.decide import ALTERNATIVES, decide
from tagger.evidence import find, find_number
from tagger.grammar import read_value
from tagger.proved import proved
from tagger.record import Record
from tagger.result import Alternative, Tag
from tagger.schema import ClaimsField, FieldBase, NumberField, takes_several, takes_spans


def tag_of(
    name: str,
    field: FieldBase,
    written: Any,
    scores: Scores,
    record: Record,
    *,
    prior: float,
    calibration: Calibration | None,
) -> Tag:
    """The tag of field `name`, for which the model has `written` a value; as for `decide`."""
    spans, several = takes_spans(field), takes_several(field)
    place = find_number if isinstance(field, NumberField) else find if spans and not several else None
    if place and scores.model:
        likeliest = read_value(field, json.loads(max(scores.model, key=lambda text: scores.model[text])))
        scores = replace(scores, inferred=place(likeliest, record.values) is None)
    found = decide(name, field, written, scores, prior=prior, calibration=calibration)
    if isinstance(field, ClaimsField):
        return proved(field, found.each, scores, record, written or ())
    value, others = found.value, [Alternative(other, p) for other, p in found.others]
    placed = [(item, find(item, record.values)) for item in (value if several else [value])] if spans else []
    if several and spans:
        columns = list(record.values)
        placed.sort(key=lambda at: (columns.index(at[1].column), at[1].start) if at[1] else (len(columns), 0))
        value = [item for item, _ in placed]
    if found.abstained:
        value, others = None, [Alternative(found.value, found.p), *others]
    places = tuple(place for _, place in placed)
    if isinstance(field, NumberField) and value is not None:
        places = (find_number(value, record.values),)
    return Tag(
        value=value,
        probability=found.p,
        evidence=places[0] if places and not several else None,
        inferred=None in places,
        abstained=found.abstained,
        doubt=found.doubt,
        alternatives=tuple(others[:ALTERNATIVES]),
        evidences=places if several and not found.abstained else (),
        each=found.each,
        scores=scores,
    )
