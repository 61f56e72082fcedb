"""A record and a pool in, its nearest labelled examples out.

Likeness is the cosine of character TF-IDF vectors. Bodies end with the nearest example, because a model leans
on what it read last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from tagger.example import Example
from tagger.likeness import plain_text, vectorizer
from tagger.record import Record
from tagger.task import Task


class ShotPool:
    """Labelled examples of a task, indexed once."""

    def __init__(self, task: Task, examples: Sequence[Example]) -> None:
        self._task = task
        self._examples = list(examples)
        self._groups = np.array([task.group(example.record) for example in self._examples])
        self._texts = np.array([plain_text(example.record) for example in self._examples])
        self._vectorizer = vectorizer()
        self._matrix = self._vectorizer.fit_transform(self._texts)

    @property
    def id(self) -> str:
        """Eight hex digits that change with the examples."""
        shown = "\0".join(
            f"{text}\1{example.answer}" for text, example in zip(self._texts, self._examples, strict=True)
        )
        return hashlib.sha256(shown.encode()).hexdigest()[:8]

    def nearest(self, records: Sequence[Record], count: int) -> list[list[Example]]:
        """For each record its `count` nearest examples that answer the same fields, the nearest last.

        An example with the record's own text is left out: it would be the record with its answer.
        """
        if not records or count == 0:
            return [[] for _ in records]
        likeness = (self._vectorizer.transform([plain_text(r) for r in records]) @ self._matrix.T).toarray()
        return [self._pick(record, row, count) for record, row in zip(records, likeness, strict=True)]

    def _pick(self, record: Record, likeness: np.ndarray, count: int) -> list[Example]:
        allowed = (self._groups == self._task.group(record)) & (self._texts != plain_text(record))
        ranked = np.argsort(-np.where(allowed, likeness, -1.0), kind="stable")[:count]
        return [self._examples[i] for i in reversed(ranked) if allowed[i]]
