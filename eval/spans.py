"""Verdicts, texts and labelled spans in, counts of spans out: right only if type, start and end are.

A tagger names the values of a record, not each place where one stands, so a value is taken to stand wherever its text
occurs, and where values overlap the longest stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from eval.score import Counts, Verdict
from eval.sets import Span


def span_counts(found: Sequence[Verdict], texts: Mapping[str, str], gold: Mapping[str, set[Span]]) -> dict[str, Counts]:
    """Counts of spans by record id; `texts` has the text in which the spans of `gold` count characters."""
    said: dict[str, list[tuple[str, str]]] = {verdict.id: [] for verdict in found}
    for verdict in found:
        if verdict.kind in ("right", "invented", "wrong"):
            said[verdict.id].append((verdict.field, verdict.value))
    counts = {}
    for name, values in said.items():
        spans = placed(values, texts[name])
        counts[name] = Counts(len(spans & gold[name]), len(spans), len(gold[name]))
    return counts


def placed(values: Iterable[tuple[str, str]], text: str) -> set[Span]:
    """Where values (field, text) stand: longer ones first, no character in two spans."""
    spans: set[Span] = set()
    taken: set[int] = set()
    for field, value in sorted(values, key=lambda item: -len(item[1])):
        for match in re.finditer(re.escape(value), text):
            if taken.isdisjoint(range(*match.span())):
                spans.add((field, *match.span()))
                taken.update(range(*match.span()))
    return spans
