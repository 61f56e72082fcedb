"""A record and a large label set in, the few labels worth asking about out.

Labels are ranked twice: by their nearest text (the label itself with its description, and the labelled rows
that have it), and, where there are labelled rows, by what those say (prior.py). The two rankings are joined by
reciprocal ranks (Cormack et al. 2009). What the shortlist misses no model can find, so its recall is reported apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from tagger.likeness import plain_text, vectorizer
from tagger.prior import RowPrior
from tagger.record import Record
from tagger.schema import FieldBase, LabelField, PathField

DAMPING = 60
"""The constant of reciprocal rank fusion, as its authors have it."""


class Shortlist:
    """Ranks the values of a closed field for records.

    `labels` maps each value's text to its description; `rows` are labelled records with the texts of their
    values (shipped examples, or a pool), `prior` what a pool says.
    """

    def __init__(
        self, labels: Mapping[str, str], rows: Sequence[tuple[Record, str]] = (), prior: RowPrior | None = None
    ) -> None:
        self._labels = list(labels)
        column = {label: i for i, label in enumerate(self._labels)}
        texts = [f"{label} {about}".casefold() for label, about in labels.items()]
        texts += [plain_text(record) for record, _ in rows]
        owners = np.array([*range(len(self._labels)), *(column[label] for _, label in rows)])
        order = np.argsort(owners, kind="stable")
        self._starts = np.searchsorted(owners[order], np.arange(len(self._labels)))
        self._vectorizer = vectorizer()
        self._matrix = self._vectorizer.fit_transform(texts)[order]
        self._prior = prior

    def candidates(self, records: Sequence[Record], count: int) -> list[tuple[str, ...]]:
        """For each record the texts of its `count` likeliest values, likeliest first."""
        if not records:
            return []
        likeness = (self._vectorizer.transform([plain_text(r) for r in records]) @ self._matrix.T).toarray()
        score = _reciprocal(np.maximum.reduceat(likeness, self._starts, axis=1))
        if self._prior:
            shares = np.array([list(row.values()) for row in self._prior.shares(records)])
            score += _reciprocal(shares)
        best = np.argsort(-score, axis=1, kind="stable")[:, :count]
        return [tuple(self._labels[i] for i in row) for row in best]


def narrowed(fields: Mapping[str, FieldBase], candidates: Sequence[str]) -> dict[str, FieldBase]:
    """The one closed field of `fields` with only the candidates as its labels, in their order."""
    ((name, field),) = fields.items()
    if not isinstance(field, LabelField | PathField):
        return dict(fields)
    labels = {label: field.labels[label] for label in candidates}
    return {name: field.model_copy(update={"labels": labels})}


def _reciprocal(scores: np.ndarray) -> np.ndarray:
    ranks: np.ndarray = rankdata(-scores, axis=1, method="average")
    return 1 / (DAMPING + ranks)
