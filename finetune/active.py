"""A catalogue and its tags in, the rows worth labelling next out.

Worth labelling is what the tagger doubts, and what prompt and adapter answer differently; of the most doubtful rows
those are taken that are unlike each other, for twenty times the same doubt teaches little more than once (Zhdanov 2019,
arXiv 1901.05954: the doubtful are clustered, weighted by their doubt, and each cluster gives one).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans

from tagger.errors import SourceError
from tagger.likeness import plain_text, vectorizer
from tagger.record import Record, Rejected
from tagger.sinks import shards

DOUBTFUL = 10
"""So many times the rows wanted are clustered."""

Tags = Mapping[str, Mapping[str, Any]]
"""Lines of tags by id."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row to label: what the tagger thinks it is, and why it is worth it (0 to 2)."""

    record: Record
    guess: Mapping[str, Any]
    doubt: float
    """One minus the probability of the least sure answer; 1 where there is none."""
    differs: float
    """Share of the fields that a second tagging answers differently."""

    @property
    def worth(self) -> float:
        """What rows are ranked by."""
        return self.doubt + self.differs


def read_tags(folder: Path, task: str) -> Tags:
    """What `tagger tag` wrote of a task, by id; SourceError where it wrote no JSONL, or of another task."""
    paths = [path for path in shards(folder) if path.suffix == ".jsonl"]
    if not paths:
        raise SourceError("no tags in JSONL", where=str(folder), hint="tag with --format jsonl")
    found = {}
    for path in paths:
        with path.open(encoding="utf-8") as file:
            found.update({line["id"]: line for line in map(json.loads, file)})
    if others := {line["task"] for line in found.values()} - {task}:
        raise SourceError(f"tags of task {min(others)!r}, not of {task!r}", where=str(folder))
    return found


def worth_labelling(
    records: Iterable[Record | Rejected], tags: Tags, count: int, *, other: Tags | None = None, seed: int = 0
) -> list[Wanted]:
    """At most `count` rows, the most worth first; `other` are the tags of a second tagger. SourceError if the tags are
    those of other rows."""
    found = []
    for record in records:
        if isinstance(record, Rejected):
            continue
        if record.id not in tags or (other is not None and record.id not in other):
            raise SourceError(f"no tags for row {record.id!r}", hint="tag the whole file first")
        line = tags[record.id]
        differs = _differs(line, other[record.id]) if other is not None else 0.0
        found.append(Wanted(record, _guess(line), _doubt(line), differs))
    found = sorted(found, key=lambda row: -row.worth)[: DOUBTFUL * count]
    return found if len(found) <= count else _spread(found, count, seed)


def _spread(found: Sequence[Wanted], count: int, seed: int) -> list[Wanted]:
    vectors = vectorizer().fit_transform([plain_text(row.record) for row in found])
    weights = np.array([max(row.worth, 1e-6) for row in found])
    groups = KMeans(count, n_init=1, random_state=seed).fit(vectors, sample_weight=weights).labels_
    first: dict[int, Wanted] = {}
    for row, group in zip(found, groups.tolist(), strict=True):  # the most worth of each comes first
        first.setdefault(group, row)
    return list(first.values())


def _guess(line: Mapping[str, Any]) -> dict[str, Any]:
    """By field the value, the best guess of an abstention included."""
    said: dict[str, Any] = {}
    for name, tag in line["tags"].items():
        value = tag["alternatives"][0]["value"] if tag.get("abstained") and tag.get("alternatives") else tag["value"]
        said |= {name: value} if value is not None else {}
    return said


def _doubt(line: Mapping[str, Any]) -> float:
    sure = [tag["probability"] for tag in line["tags"].values()]
    return 1 - min(sure) if sure and line["outcome"] != "rejected" else 1.0


def _differs(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    left, right = _guess(a), _guess(b)
    names = left.keys() | right.keys()
    return sum(left.get(name) != right.get(name) for name in names) / len(names) if names else 0.0
