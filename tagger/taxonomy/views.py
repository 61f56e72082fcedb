"""Texts and their kinds in, how alike each two are out: the mean of the cosines of several views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse

from tagger.engines.embedder import Embedder
from tagger.likeness import vectorizer, word_vectorizer
from tagger.taxonomy.names import folded
from tagger.taxonomy.settings import Settings


def likeness(texts: Sequence[str], kinds: Sequence[str], settings: Settings, embedder: Embedder | None) -> np.ndarray:
    """A square matrix of inner products of unit vectors, 0 to 1; the diagonal is 1.

    Views are the characters and the words of the text, the characters of the kind that the model wrote, and, with an
    embedder, the embedding of both. `settings` has the weight of each.
    """
    plain = [" ".join(text.casefold().split()) for text in texts]
    named = [folded(kind) or "-" for kind in kinds]
    views = [
        (settings.characters, vectorizer().fit_transform(plain)),
        (settings.words, word_vectorizer().fit_transform(plain)),
        (settings.kinds, vectorizer().fit_transform(named)),
    ]
    if embedder:
        views.append((settings.embedding, embedder.transform(plain)))
        views.append((settings.embedded_kinds, embedder.transform(named)))
    total = sum(weight for weight, _ in views)
    found = sum(weight / total * _cosines(matrix) for weight, matrix in views if weight)
    return np.asarray(found, dtype=np.float64)


def _cosines(matrix: Any) -> np.ndarray:
    product = matrix @ matrix.T
    found: np.ndarray = product.toarray() if issparse(product) else product
    return found
