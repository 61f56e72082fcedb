"""Labelled rows in, the facts of a data sheet out: how many, of which labels, languages and lengths, and what is there
twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from eval.language import language
from eval.pages import Facts
from eval.slices import shown, text_of
from tagger.example import Example
from tagger.likeness import plain_text
from tagger.task import Task

MOST_LABELS = 20
"""Values of a field whose rows are counted one by one."""
LENGTHS = (0, 25, 50, 75, 100)
"""Percentiles of the lengths of texts."""


def composition(task: Task, splits: Mapping[str, Sequence[Example]]) -> list[Facts]:
    """What each split (by name) holds; a row that stands in an earlier one too is counted as shared."""
    found: list[Facts] = []
    before: set[str] = set()
    for name, rows in splits.items():
        texts = [plain_text(row.record) for row in rows]
        found.append({
            "split": name,
            "rows": len(rows),
            "repeated": len(texts) - len(set(texts)),
            "shared": sum(text in before for text in texts),
            "pseudo": sum(row.pseudo for row in rows),
            "languages": dict(Counter(language(text_of(row.record, task.columns)) for row in rows).most_common()),
            "lengths": _lengths([len(text_of(row.record, task.columns)) for row in rows]),
            "fields": [_field(name, rows) for name in task.fields],
        })  # fmt: skip
        before |= set(texts)
    return found


def _lengths(lengths: Sequence[int]) -> dict[str, int]:
    """Characters at the LENGTHS percentiles; nothing of no rows."""
    if not lengths:
        return {}
    names = ("shortest", "a quarter up to", "half up to", "three quarters up to", "longest")
    return dict(zip(names, (int(n) for n in np.percentile(lengths, LENGTHS, method="lower")), strict=True))


def _field(name: str, rows: Sequence[Example]) -> Facts:
    """How many rows have a value, how many were looked at for one, and the most frequent values."""
    values = [row.answer[name] for row in rows if name in row.answer]
    each: Counter[str] = Counter()
    for value in values:
        each.update(map(shown, value) if isinstance(value, list) else [shown(value)])
    return {
        "field": name,
        "labelled": len(values),
        "looked_at": sum(row.annotated is None or name in row.annotated for row in rows),
        "different": len(each),
        "values": dict(each.most_common(MOST_LABELS)),
        "others": sum(count for _, count in each.most_common()[MOST_LABELS:]),
    }
