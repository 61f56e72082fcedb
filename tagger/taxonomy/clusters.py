"""How alike rows are in, a cluster number for each out; how many clusters there are is not given."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from tagger.taxonomy.settings import Settings


def clusters(alike: np.ndarray, settings: Settings) -> np.ndarray:
    """The number of each row's cluster, from 0 on; -1 for a row that fits none."""
    distance = np.clip(1 - alike, 0, None)
    np.fill_diagonal(distance, 0)
    tree = AgglomerativeClustering(
        n_clusters=None, distance_threshold=settings.distance, metric="precomputed", linkage="average"
    )
    return np.asarray(tree.fit_predict(distance))
