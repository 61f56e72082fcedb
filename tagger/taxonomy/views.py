"""Texts in, how alike each two are out: the cosine of their words, and of their embeddings where there are any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tagger.engines.embedder import Embedder
from tagger.likeness import word_vectorizer
from tagger.taxonomy.settings import Settings


def likeness(texts: Sequence[str], settings: Settings, embedder: Embedder | None) -> np.ndarray:
    """A square matrix of inner products of unit vectors; the diagonal is 1 (0 for a text without a word)."""
    matrix = word_vectorizer().fit_transform([" ".join(text.casefold().split()) for text in texts])
    found: np.ndarray = (matrix @ matrix.T).toarray()
    if embedder is None:
        return found
    vectors = embedder.transform(texts).astype(np.float64)
    return (1 - settings.embedding) * found + settings.embedding * (vectors @ vectors.T)
