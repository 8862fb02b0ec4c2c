"""How much of what is nearest a structure finds, measured against looking at everything."""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from imagescreen.matching.progress import Progress
from imagescreen.matching.threads import SEARCH_THREADS

Vectors = NDArray[np.float32]

NEAREST = 10
MOVED = 0.85
NEAR_COPY = 0.95

_QUERIES = 100
"""Of each kind, and one for so many vectors up to the most. Queries differ: at 0.99 their mean recall has a standard
error of about 0.003 with 200 of them, and of half of that with 1000.
"""
_VECTORS_A_QUERY = 10_000
_QUERIES_AT_MOST = 500

_SEED = 20_260_302
_ROWS_AT_ONCE = 65_536
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Queries (q, d); for each the row that does not count (q,), -1 for none, and the similarity of its 10th nearest
    picture (q,), as whatever reaches it is one of the nearest; near copies (c, d) of the rows `originals` (c,).
    """

    queries: Vectors
    excluded: NDArray[np.int64]
    tenth: Vectors
    copies: Vectors
    originals: NDArray[np.int64]

    def recall(self, vectors: Vectors, found: NDArray[np.int64]) -> NDArray[np.float64]:
        """(q,) the share of each query's 10 nearest that is among the rows `found` (q, k) in `vectors` (n, d), -1 for
        none.
        """
        nearest = min(NEAREST, len(vectors) - 1)
        reached = np.ones(len(self.queries))
        if not nearest:
            return reached
        for place, (query, excluded, tenth, rows) in enumerate(
            zip(self.queries, self.excluded, self.tenth, found, strict=True)
        ):
            counting = rows[(rows >= 0) & (rows != excluded)]
            near = np.count_nonzero(vectors[counting] @ query >= tenth - _ROUNDING)
            reached[place] = min(nearest, int(near)) / nearest
        return reached

    def copies_found(self, vectors: Vectors, found: NDArray[np.int64]) -> float:
        """The share of the near copies whose original, or one as similar, is among the rows `found` (c, k)."""
        reached = 0
        for copy, original, rows in zip(self.copies, self.originals, found, strict=True):
            limit = float(vectors[original] @ copy) - _ROUNDING
            reached += bool((vectors[rows[rows >= 0]] @ copy >= limit).any())
        return reached / len(self.copies) if len(self.copies) else 1.0


def take_sample(vectors: Vectors, progress: Progress) -> Sample:
    """Half of the queries are stored vectors moved to cosine 0.85 in a random direction, half stored vectors that do
    not find themselves. All of `vectors` (n, d) is looked at, a block at a time.
    """
    random = np.random.default_rng(_SEED)
    half = min(_QUERIES_AT_MOST, max(_QUERIES, len(vectors) // _VECTORS_A_QUERY))
    chosen = np.sort(random.choice(len(vectors), min(2 * half, len(vectors)), False))
    random.shuffle(chosen)
    moved, themselves = np.array_split(chosen, 2)
    queries = np.concatenate([_aside(vectors[moved], MOVED, random), vectors[themselves]])
    excluded = np.concatenate([np.full(len(moved), -1), themselves])
    copies = _aside(vectors[moved], NEAR_COPY, random)
    return Sample(queries, excluded, _tenth(vectors, queries, excluded, progress), copies, moved)


def _tenth(vectors: Vectors, queries: Vectors, excluded: NDArray[np.int64], progress: Progress) -> Vectors:
    best: Vectors = np.full((len(queries), NEAREST), -np.inf, np.float32)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        block = vectors[start : start + _ROWS_AT_ONCE]
        SEARCH_THREADS.apply()
        depth = min(NEAREST + 1, len(block))
        similarities, rows = faiss.knn(queries, block, depth, metric=faiss.METRIC_INNER_PRODUCT)
        similarities[rows + start == excluded[:, np.newaxis]] = -np.inf
        best = -np.sort(-np.concatenate([best, similarities], axis=1), axis=1)[:, :NEAREST]
        progress("searching a sample exactly", start + len(block), len(vectors))
    return best[:, max(0, min(NEAREST, len(vectors) - 1) - 1)]


def _aside(vectors: Vectors, cosine: float, random: np.random.Generator) -> Vectors:
    """Vectors (n, d) at about `cosine` from each of `vectors`, of unit length, in a random direction."""
    aside = random.standard_normal(vectors.shape, np.float32)
    aside -= np.einsum("nd,nd->n", aside, vectors)[:, np.newaxis] * vectors
    length = np.linalg.norm(aside, axis=1, keepdims=True)
    # In one dimension there is no other direction.
    aside *= np.float32((1 - cosine**2) ** 0.5) / np.maximum(length, np.finfo(np.float32).tiny)
    moved: Vectors = np.float32(cosine) * vectors + aside
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return moved
