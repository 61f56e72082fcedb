"""Labelled rows and records in, what the rows alone say about each record's values out.

The rows' view is the mean of two linear support vector machines, on TF-IDF of characters and of words (Joachims 1998):
what one would take without a language model. (Both together have 1 to 3 points more of the dev rows right than
characters alone on four of five sets, and the same on the fifth.) It multiplies the model's own probabilities, as one
expert does another's (product of experts, Hinton 2002): the model reads meaning, the rows know the house's custom.
Without a pool the shipped examples and label descriptions are the rows: few, and still worth 7 points in 20 types.

Where two texts are compared, a logistic regression on how much they have in common (overlap.py) takes the machines'
place.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tagger.likeness import plain_text, vectorizer, word_vectorizer
from tagger.overlap import overlaps
from tagger.record import Record

SHARPNESS = 5.0
"""Margins of the machines on words times this are log-odds. Between 4 and 8 has the least log-loss on dev rows of four
of five sets (20 to 133 labels, 131 to 13,562 rows, English and Chinese; the fifth, three rows a label, would take
12)."""
MOST_LABELS = 500
"""With more labels than this rows do not speak: learning them takes minutes and gigabytes."""
LEAST_UNSEEN, MOST_UNSEEN = 1e-4, 0.5
"""Bounds of the share that labels without a row get."""


class RowPrior:
    """Probabilities of a closed field's values from labelled rows alone.

    `rows` are records with the texts of their right values; `texts` are all values that the field has.
    """

    def __init__(self, rows: Sequence[tuple[Record, str]], texts: Sequence[str], *, compared: bool = False) -> None:
        """`compared`: whether the records' columns are held against each other instead of being read."""
        labels = [label for _, label in rows]
        self._compared = compared
        self._texts = list(texts)
        counts = Counter(labels)
        # Good (1953): the chance that the next row has a label not yet seen is the share of labels seen once.
        once = sum(count == 1 for count in counts.values()) / len(labels)
        unseen = len(counts) < len(self._texts)
        self._unseen = min(max(once if unseen else 0.0, LEAST_UNSEEN), MOST_UNSEEN)
        self._column = {text: i for i, text in enumerate(self._texts)}
        self._classes = sorted(counts)
        if len(counts) < 2:
            machines = []
        elif compared:
            machines = [make_pipeline(StandardScaler(), LogisticRegression())]
        else:
            machines = [make_pipeline(view, LinearSVC(random_state=0)) for view in (vectorizer(), word_vectorizer())]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few rows a label are usual
            self._machines = [machine.fit(self._read([record for record, _ in rows]), labels) for machine in machines]

    def shares(self, records: Sequence[Record]) -> list[dict[str, float]]:
        """For each record the probability of every value, by its text; each sums to 1."""
        if not records:
            return []
        spread = np.full((len(records), len(self._texts)), self._unseen / len(self._texts))
        seen = [self._column[label] for label in self._classes]
        spread[:, seen] += (1 - self._unseen) * self._view(records)
        return [dict(zip(self._texts, row, strict=True)) for row in spread.tolist()]

    def _view(self, records: Sequence[Record]) -> np.ndarray:
        if not self._machines:
            return np.ones((len(records), 1))
        read = self._read(records)
        margins = np.mean([machine.decision_function(read) for machine in self._machines], axis=0)
        if margins.ndim == 1:  # two labels: one margin, positive for the second
            margins = np.stack([-margins, margins], axis=1) / 2
        shares: np.ndarray = softmax(margins if self._compared else SHARPNESS * margins, axis=1)
        return shares

    def _read(self, records: Sequence[Record]) -> Sequence[str] | np.ndarray:
        """What the machines see of records."""
        return overlaps(records) if self._compared else [plain_text(record) for record in records]


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
