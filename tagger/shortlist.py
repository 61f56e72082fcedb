"""A record and a large label set in, the few labels worth asking about out.

Labels are ranked by their nearest text (the label itself with its description, and the labelled rows that have it),
and, where there are labelled rows, by a naive Bayes classifier over words and by what prior.py says. The rankings are
joined by reciprocal ranks (Cormack et al. 2009), each label by the rankings that can know it: a label without a row is
not held back by those that only know rows. (Recall@20 on dev rows: with naive Bayes 0.7 points more, 133 labels;
100 against 93 % with a label's missing rows counted against it, 167 labels and 397 rows.) What the shortlist
misses no model can find, so its recall is reported apart (python -m eval recall).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import rankdata
from sklearn.naive_bayes import ComplementNB

from tagger.likeness import plain_text, vectorizer, word_vectorizer
from tagger.prior import MOST_LABELS, RowPrior
from tagger.record import Record
from tagger.schema import FieldBase, LabelField, PathField

DAMPING = 20
"""The constant of reciprocal rank fusion: its authors' 60 is for lists of documents, with labels by the hundred 5, 20
and 60 are alike (recall@20 of 94.8, 94.8 and 94.5 % over 2,712 held-out train rows, 133 labels)."""
SMOOTHING = 0.1
"""Of complement naive Bayes (Rennie et al. 2003)."""


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
        self._with_rows = np.isin(np.arange(len(self._labels)), owners[len(self._labels) :])
        self._prior = prior
        self._words = word_vectorizer()
        self._bayes: ComplementNB | None = None
        if 1 < self._with_rows.sum() <= MOST_LABELS:
            counted = self._words.fit_transform(texts[len(self._labels) :])
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
                self._bayes = ComplementNB(alpha=SMOOTHING).fit(counted, owners[len(self._labels) :])

    def candidates(self, records: Sequence[Record], count: int) -> list[tuple[str, ...]]:
        """For each record the texts of its `count` likeliest values, likeliest first."""
        if not records:
            return []
        texts = [plain_text(record) for record in records]
        likeness = (self._vectorizer.transform(texts) @ self._matrix.T).toarray()
        score = _reciprocal(np.maximum.reduceat(likeness, self._starts, axis=1))
        rankings = np.ones(len(self._labels))
        for known in self._from_rows(records, texts):
            score += np.where(self._with_rows, _reciprocal(known), 0.0)
            rankings += self._with_rows
        best = np.argsort(-score / rankings, axis=1, kind="stable")[:, :count]
        return [tuple(self._labels[i] for i in row) for row in best]

    def _from_rows(self, records: Sequence[Record], texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Scores of all labels by each of the views that know labelled rows alone."""
        if self._prior:
            yield np.array([list(row.values()) for row in self._prior.shares(records)])
        if self._bayes:
            scores = np.full((len(texts), len(self._labels)), -np.inf)
            scores[:, self._bayes.classes_] = self._bayes.predict_log_proba(self._words.transform(texts))
            yield scores


def narrowed(fields: Mapping[str, FieldBase], candidates: Sequence[str]) -> dict[str, FieldBase]:
    """The one closed field of `fields` with only the candidates as its labels, in their order."""
    ((name, field),) = fields.items()
    if not isinstance(field, LabelField | PathField):
        return dict(fields)
    return {name: field.among(candidates)}


def _reciprocal(scores: np.ndarray) -> np.ndarray:
    ranks: np.ndarray = rankdata(-scores, axis=1, method="average")
    return 1 / (DAMPING + ranks)
