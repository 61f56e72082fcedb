"""Labelled rows and records in, what the rows alone say about each record's values out.

The rows' view is a linear support vector machine on TF-IDF of characters and words (Joachims 1998), the classifier
that one would take without a language model (with words beside characters it has 1 to 2 points more of the dev rows
right on four of five sets, and the same on the fifth). It multiplies the model's own probabilities, as one expert
does another's (product of experts, Hinton 2002): the model reads meaning, the rows know the house's custom.
Without a pool the shipped examples and label descriptions are the rows: few, and still worth 7 points in 20 types.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import softmax
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

from tagger.likeness import plain_text, vectorizer, word_vectorizer
from tagger.record import Record

SHARPNESS = 5.0
"""Margins times this are log-odds. Between 4 and 8 has the least log-loss on dev rows of four of five sets
(20 to 133 labels, 131 to 13,562 rows, English and Chinese; the fifth, three rows a label, would take 12)."""
LEAST_UNSEEN, MOST_UNSEEN = 1e-4, 0.5
"""Bounds of the share that labels without a row get."""


class RowPrior:
    """Probabilities of a closed field's values from labelled rows alone.

    `rows` are records with the texts of their right values; `texts` are all values that the field has.
    """

    def __init__(self, rows: Sequence[tuple[Record, str]], texts: Sequence[str]) -> None:
        labels = [label for _, label in rows]
        self._texts = list(texts)
        counts = Counter(labels)
        # Good (1953): the chance that the next row has a label not yet seen is the share of labels seen once.
        once = sum(count == 1 for count in counts.values()) / len(labels)
        unseen = len(counts) < len(self._texts)
        self._unseen = min(max(once if unseen else 0.0, LEAST_UNSEEN), MOST_UNSEEN)
        self._column = {text: i for i, text in enumerate(self._texts)}
        self._vectorizer = make_union(vectorizer(), word_vectorizer())
        matrix = self._vectorizer.fit_transform([plain_text(record) for record, _ in rows])
        self._classes = sorted(counts)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few rows a label are usual
            self._model = LinearSVC().fit(matrix, labels) if len(counts) > 1 else None

    def shares(self, records: Sequence[Record]) -> list[dict[str, float]]:
        """For each record the probability of every value, by its text; each sums to 1."""
        if not records:
            return []
        spread = np.full((len(records), len(self._texts)), self._unseen / len(self._texts))
        seen = [self._column[label] for label in self._classes]
        spread[:, seen] += (1 - self._unseen) * self._view(records)
        return [dict(zip(self._texts, row, strict=True)) for row in spread.tolist()]

    def _view(self, records: Sequence[Record]) -> np.ndarray:
        if self._model is None:
            return np.ones((len(records), 1))
        margins = self._model.decision_function(self._vectorizer.transform([plain_text(r) for r in records]))
        if margins.ndim == 1:  # two labels: one margin, positive for the second
            margins = np.stack([-margins, margins], axis=1) / 2
        shares: np.ndarray = softmax(SHARPNESS * margins, axis=1)
        return shares


def combine(model: Mapping[str, float], rows: Mapping[str, float], weight: float) -> dict[str, float]:
    """The product of the model's probabilities and the rows' to the power of `weight`, summing to 1."""
    product = {text: share * rows[text] ** weight for text, share in model.items()}
    total = sum(product.values())
    return {text: share / total for text, share in product.items()} if total else dict(model)


def pool(model: Mapping[str, float], rows: Mapping[str, float], weight: float) -> dict[str, float]:
    """The weighted mean of both probabilities of each text, 0 where one of them does not name it (linear opinion
    pool, Stone 1961). For open values: what one expert has not thought of is not thereby ruled out."""
    texts = dict.fromkeys([*model, *rows])
    return {text: (model.get(text, 0.0) + weight * rows.get(text, 0.0)) / (1 + weight) for text in texts}
