"""A record and a pool in, its nearest labelled examples out, and those that stand for the pool.

Likeness is the cosine of character TF-IDF vectors, or of sentence embeddings where the plan names a model for them.
Unless the plan says otherwise the nearest example stands last, because a model leans on what it read last.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse

from tagger.engines.embedder import Embedder
from tagger.example import Example
from tagger.likeness import plain_text, vectorizer
from tagger.record import Record
from tagger.task import Task

PIECE = 512
"""Records compared with the pool at once."""
MOST_COMPARED = 2000
"""Examples of a group among which those that stand for all are sought, the first."""


class ShotPool:
    """Labelled examples of a task, indexed once."""

    def __init__(self, task: Task, examples: Sequence[Example]) -> None:
        self._task, self._plan = task, task.plan.shots
        self._examples = list(examples)
        self._groups = np.array([task.group(example.record) for example in self._examples])
        self._shown = np.array([not example.record.pictures for example in self._examples])  # a shot is a text
        self._texts = np.array([plain_text(example.record) for example in self._examples])
        self._vectorizer = Embedder(self._plan.embedder) if self._plan.embedder else vectorizer()
        self._matrix = self._vectorizer.fit_transform(self._texts)
        self._chosen: dict[tuple[str, int], list[int]] = {}

    @property
    def id(self) -> str:
        """Eight hex digits that change with the examples."""
        shown = "\0".join(
            f"{text}\1{example.answer}" for text, example in zip(self._texts, self._examples, strict=True)
        )
        return hashlib.sha256(shown.encode()).hexdigest()[:8]

    def nearest(self, records: Sequence[Record], count: int, common: int = 0) -> list[list[Example]]:
        """For each record its `count` nearest examples that answer the same fields, in the order of the plan.

        An example with the record's own text is left out: it would be the record with its answer. So are the
        `common` examples of the record's group, which it is shown already.
        """
        if not records or count == 0:
            return [[] for _ in records]
        found = []
        for start in range(0, len(records), PIECE):  # likeness takes the rows of a piece times those of the pool
            part = records[start : start + PIECE]
            likeness = _cosines(self._vectorizer.transform([plain_text(r) for r in part]), self._matrix)
            found += [self._pick(record, row, count, common) for record, row in zip(part, likeness, strict=True)]
        return found

    def common(self, record: Record, count: int) -> list[Example]:
        """The `count` examples of a record's group that together are most like the others, without its own.

        Each in turn is the one that adds most to the sum, over the group's examples, of their likeness to the nearest
        one taken (facility location; Nemhauser et al. 1978), the last first, for a model leans on what it read last.
        """
        own, chosen = plain_text(record), self._representatives(self._task.group(record), count)
        return [self._examples[i] for i in reversed(chosen) if self._texts[i] != own]

    def _pick(self, record: Record, likeness: np.ndarray, count: int, common: int) -> list[Example]:
        group = self._task.group(record)
        allowed = (self._groups == group) & self._shown & (self._texts != plain_text(record))
        allowed[self._representatives(group, common)] = False
        left = np.flatnonzero(allowed)
        if not self._plan.balanced and len(left) > count:  # only those that can be among the first are put in order
            left = left[likeness[left] >= np.partition(likeness[left], -count)[-count]]
        ranked = left[np.argsort(-likeness[left], kind="stable")].tolist()
        places = self._in_turn(ranked) if self._plan.balanced else ranked
        chosen = [self._examples[i] for i in places[:count]]
        return chosen if self._plan.nearest == "first" else chosen[::-1]

    def _in_turn(self, ranked: Sequence[int]) -> list[int]:
        """The nearest of each label, then the second nearest of each, and so on."""
        (name,) = self._task.plan.ask[0].fields
        turns: Counter[str] = Counter()
        placed = []
        for i in ranked:
            label = str(self._examples[i].answer[name])
            placed.append((turns[label], i))
            turns[label] += 1
        return [i for _, i in sorted(placed, key=lambda item: item[0])]

    def _representatives(self, group: str, count: int) -> list[int]:
        if (group, count) not in self._chosen:
            members = np.flatnonzero((self._groups == group) & self._shown)[: MOST_COMPARED if count else 0]
            likeness = _cosines(self._matrix[members], self._matrix[members])
            chosen: list[int] = []
            nearest = np.zeros(len(members))
            for _ in range(min(count, len(members))):
                gains = np.maximum(likeness, nearest[:, None]).sum(axis=0)
                gains[chosen] = -1
                chosen.append(int(np.argmax(gains)))
                nearest = np.maximum(nearest, likeness[:, chosen[-1]])
            self._chosen[group, count] = members[chosen].tolist()
        return self._chosen[group, count]


def _cosines(rows: Any, columns: Any) -> np.ndarray:
    """Of vectors of unit length, sparse or dense."""
    product = rows @ columns.T
    found: np.ndarray = product.toarray() if issparse(product) else product
    return found
