"""Texts in, how alike each two are out: the cosine of their words, and of their embeddings where there are any.

Embeddings have their mean taken away first (Mu and Viswanath 2018): of some models all texts are alike, a cosine of 0.7
being the least, and what they have in common tells no kinds apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import normalize

from tagger.engines.embedder import Embedder
from tagger.likeness import word_vectorizer
from tagger.taxonomy.settings import Settings


def likeness(texts: Sequence[str], settings: Settings, embedder: Embedder | None) -> np.ndarray:
    """A square matrix of inner products of unit vectors; the diagonal is 1 (less for a text without a word)."""
    matrix = word_vectorizer().fit_transform([" ".join(text.casefold().split()) for text in texts])
    found: np.ndarray = (matrix @ matrix.T).toarray()
    if embedder is None:
        return found
    embedded = embedder.transform(texts).astype(np.float64)
    vectors: np.ndarray = normalize(embedded - embedded.mean(axis=0))
    joined: np.ndarray = (1 - settings.embedding) * found + settings.embedding * (vectors @ vectors.T)
    return joined
