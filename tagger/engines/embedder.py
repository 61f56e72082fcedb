"""Texts in, sentence embeddings out: beside character TF-IDF another way to find the examples nearest to a record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tagger.errors import SettingsError, WeightsError
from tagger.weights import find_model


class Embedder:
    """A sentence-embedding model as a vectorizer; nothing is fitted to the texts."""

    def __init__(self, model: str) -> None:
        """`model` is a folder or a hub id. SettingsError without the library, WeightsError without such a model."""
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            hint = "pip install 'tagger[embeddings]'"
            raise SettingsError("`embedder` in a plan needs sentence-transformers", hint=hint) from None
        self.name = Path(model).name
        folder = find_model(model, holds="modules.json")
        try:
            self._model = SentenceTransformer(str(folder), local_files_only=True)
        except (OSError, ValueError) as error:
            reason = f"not a sentence-embedding model: {str(error).splitlines()[0]}"
            raise WeightsError(reason, where=str(folder), hint="give a sentence-transformers model folder") from None

    def transform(self, texts: Iterable[str]) -> np.ndarray:
        """One row of unit length for each text."""
        found = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32)

    fit_transform = transform
