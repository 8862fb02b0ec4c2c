"""Search without compression: every stored vector is looked at."""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from imagescreen.matching.threads import SEARCH_THREADS


def nearest_rows(vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(n, k) rows of the k of `vectors` (m, d), k at most m, that are nearest to each of `queries` (n, d)."""
    return ExactSearch(vectors).nearest(queries, k, 1)[1]


@dataclass(frozen=True, slots=True, eq=False)
class ExactSearch:
    """Over vectors (n, d), mapped or in memory."""

    vectors: NDArray[np.float32]
    error: float = 0.0

    def nearest(
        self, queries: NDArray[np.float32], depth: int, effort: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], bool]:
        depth = min(depth, len(self.vectors))
        if not depth:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64), True
        # FAISS gives each query to one thread.
        SEARCH_THREADS.apply(0 if len(queries) == 1 else queries.size * len(self.vectors))
        similarities, rows = faiss.knn(queries, self.vectors, depth, metric=faiss.METRIC_INNER_PRODUCT)
        return similarities, rows, depth == len(self.vectors)
