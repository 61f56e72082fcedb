"""Taggings in, what a table and a page show of them out: text with its proofs marked, values, probabilities."""

from __future__ import annotations

import csv
import html
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from eval import slices
from tagger.evidence import Evidence
from tagger.record import ID, Record
from tagger.result import Tag, Tagging
from tagger.schema import ClaimsField
from tagger.tables import columns_of, untraced_column
from tagger.task import Task

FEW = 2
"""Up to so many fields have columns of their own in a table; more are told in one."""
SHADES = 6
"""Colours of proofs: each field of a record has its own, as far as they reach."""


def marked(record: Record, tags: Mapping[str, Tag]) -> dict[str, str]:
    """The columns of a record as HTML in which the characters that prove a value are marked; all else is escaped, so
    whatever markup a product text has is shown as text."""
    found = {}
    for column, text in record.values.items():
        places = [(place, name) for name, tag in tags.items() for place in _places(tag) if place.column == column]
        proofs = sorted((place.start, place.end, name) for place, name in places)
        shades = {name: n % SHADES for n, name in enumerate(tags)}
        parts, at = [], 0
        for start, end, name in proofs:
            if start >= at:
                parts += [html.escape(text[at:start]), _mark(text[start:end], name, shades[name])]
                at = end
        found[column] = "".join([*parts, html.escape(text[at:])])
    return found


def said(tag: Tag) -> str:
    """A value as a person reads it; a guess that was withheld has a question mark."""
    if tag.abstained:
        return f"? {shown(tag.alternatives[0].value)}" if tag.alternatives else "?"
    return shown(tag.value)


def shown(value: Any) -> str:
    """Any value as text, a list by its items."""
    return ", ".join(map(slices.shown, value)) if isinstance(value, list) else slices.shown(value)


def conflict_lines(tagging: Tagging) -> list[str]:
    """What the task's rules need a person for: the rules by name, and why."""
    return [f"Rule {' and '.join(one.rules)}: {one.reason}" for one in tagging.conflicts]


def untraced_lines(tag: Tag) -> list[str]:
    """The sentences of a description that no tag proves, and what they say beyond the tags."""
    return [f"Withheld: {one.text} ({one.reason})" for one in tag.untraced]


def correction_lines(tag: Tag) -> list[str]:
    """What a rule has made of what the model had said."""
    return [
        f"Rule {one.rule}: {'nothing' if one.before is None else shown(one.before)} → {shown(one.after)}"
        for one in tag.corrections
    ]


def row_of(number: int, record: Record | None, tagging: Tagging, names: Sequence[str]) -> dict[str, Any]:
    """A line of the table of results; `record` is None for a row that is none."""
    row: dict[str, Any] = {
        "n": number,
        "id": tagging.id,
        "outcome": tagging.outcome,
        "text": " · ".join(marked(record, tagging.tags).values()) if record else html.escape(tagging.reason or ""),
        "least": min((tag.probability for tag in tagging.tags.values()), default=None),
    }
    if tagging.reason and not tagging.tags:  # of a tagged row, a reason says what was withheld beside the values
        row["why"] = tagging.reason
    elif len(names) > FEW:
        row["said"] = "; ".join(f"{name}: {said(tag)}" for name, tag in tagging.tags.items() if said(tag))
    for name in names[:FEW] if len(names) <= FEW else ():
        if name in tagging.tags:
            row[f"value_{name}"], row[f"p_{name}"] = said(tagging.tags[name]), tagging.tags[name].probability
    return row


def as_csv(task: Task, records: Mapping[str, Record], taggings: Iterable[Tagging]) -> str:
    """Tagged rows as a table: id, columns, of each field the value and its probability, of a description what was
    withheld as well (JSON), outcome, reason. Write it as utf-8-sig, or Excel garbles Chinese."""
    heads: dict[str, tuple[str, ...]] = {name: columns_of(name)[:2] for name in task.fields}
    heads |= {n: (*heads[n], untraced_column(n)) for n, field in task.fields.items() if isinstance(field, ClaimsField)}
    taken = [ID, *(name for name in task.columns if name != ID)]
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow([*taken, *(head for some in heads.values() for head in some), "outcome", "reason"])
    for tagging in taggings:
        record = records.get(tagging.id)
        cells = [record.values.get(name, "") if record else "" for name in taken[1:]]
        for name in heads:
            tag = tagging.tags.get(name)
            said_so = tag is not None and not tag.abstained
            cells += [shown(tag.value), f"{tag.probability:.4f}"] if tag and said_so else ["", ""]
            if len(heads[name]) > 2:
                told = [{"text": one.text, "reason": one.reason} for one in (tag.untraced if tag else ())]
                cells.append(json.dumps(told, ensure_ascii=False) if told else "")
        table.writerow([tagging.id, *cells, tagging.outcome, tagging.reason or ""])
    return out.getvalue()


def outcomes(taggings: Iterable[Tagging]) -> dict[str, int]:
    """How many records came to what, the most frequent first."""
    return dict(Counter(tagging.outcome for tagging in taggings).most_common())


def label_mix(taggings: Iterable[Tagging], name: str) -> dict[str, int]:
    """How often each value of a field was said, the most frequent first."""
    counts = Counter(shown(t.value(name)) for t in taggings if t.outcome == "tagged")
    return {value: count for value, count in counts.most_common() if value}


def _places(tag: Tag) -> list[Evidence]:
    return [place for place in (tag.evidence, *tag.evidences, *chain(*tag.proofs)) if place]


def _mark(text: str, name: str, shade: int) -> str:
    return f'<mark class="shade{shade}" title="{html.escape(name, quote=True)}">{html.escape(text)}</mark>'
