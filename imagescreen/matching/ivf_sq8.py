"""8-bit codes in lists of similar vectors, of which a search looks at a few."""

import math
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching.centroid_search import centroid_search
from imagescreen.matching.progress import Progress
from imagescreen.matching.sq8 import (
    Vectors,
    blocks,
    codes_fit,
    coding_error,
    map_index,
    padded,
    padded_width,
    trained_coder,
)
from imagescreen.matching.threads import SEARCH_THREADS
from imagescreen.matching.vector_file import SparseRows

# Spherical k-means. It must gather what is alike into one list: in clusters of 100, after 10 iterations, 95 % of a
# cluster were in its most common list with 6 clusters a list, and 98 % with 3.
_VECTORS_PER_LIST = 400
_LEAST_PER_LIST = 40
_SAMPLE_PER_LIST = 80
_SAMPLE_AT_MOST = 1_400_000
_ITERATIONS = 10
_SEED = 20_260_301

_HNSW_LINKS = 32
_HNSW_CONSTRUCTION = 200
_HNSW_LEAST_BREADTH = 128
_LISTS_A_BREADTH = 32
"""Lists for one of breadth (efSearch): of 32,768, a breadth of 512 missed one neighbour in a hundred however many lists
were looked at, and 1024 found all that 2048 did.
"""

# Codes looked at for one query from which several threads are faster than the time it takes to start them.
_PARALLEL_FROM = 40_000


@dataclass(frozen=True, slots=True, eq=False)
class IvfSq8Search:
    """Looks at `probes` times `effort` lists, those with the centroids most similar to the query."""

    index: faiss.IndexIVFScalarQuantizer
    vectors: SparseRows
    error: float
    probes: int

    @property
    def lists(self) -> int:
        return int(self.index.nlist)

    def nearest(self, queries: Vectors, depth: int, effort: int) -> tuple[Vectors, NDArray[np.int64], bool]:
        depth = min(depth, len(self.vectors))
        if not depth:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64), True
        SEARCH_THREADS.apply()
        probes = min(self.probes * effort, self.lists)
        if probes < self.lists:
            found = _search_lists(self.index, padded(queries), depth, probes)
            return *found, False
        return *_search_all_lists(self.index, padded(queries), depth), depth == len(self.vectors)


def _search_lists(
    index: faiss.IndexIVFScalarQuantizer, queries: Vectors, depth: int, probes: int
) -> tuple[Vectors, NDArray[np.int64]]:
    # The type stubs of FAISS know neither the parameters of HNSW nor any keywords.
    wide = max(_HNSW_LEAST_BREADTH, index.nlist // _LISTS_A_BREADTH, 2 * probes)
    breadth = faiss.SearchParametersHNSW(efSearch=wide)  # type: ignore[attr-defined]
    probing = faiss.SearchParametersIVF(nprobe=probes, quantizer_params=breadth)  # type: ignore[call-arg]
    return index.search(queries, depth, params=probing)


def _search_all_lists(
    index: faiss.IndexIVFScalarQuantizer, queries: Vectors, depth: int
) -> tuple[Vectors, NDArray[np.int64]]:
    """Names the lists, because HNSW need not reach every centroid."""
    lists = np.tile(np.arange(index.nlist), (len(queries), 1))
    searched: tuple[Vectors, NDArray[np.int64]]
    searched = index.search_preassigned(queries, depth, lists, np.zeros(lists.shape, np.float32))  # type: ignore
    return searched


def list_count(vectors: int) -> int:
    """A power of two with about 400 vectors a list; 1 for few vectors, because there is nothing to be trained then."""
    if vectors < 2 * _LEAST_PER_LIST:
        return 1
    return 1 << max(1, round(math.log2(vectors / _VECTORS_PER_LIST)))


def build_ivf_sq8(vectors: Vectors, progress: Progress) -> tuple[faiss.IndexIVFScalarQuantizer, float]:
    """The lists of `vectors` (n, d), with rows as their ids, and the error of the codes."""
    coder = trained_coder(vectors)
    centroids = _centroids(vectors, list_count(len(vectors)), progress)
    quantizer = faiss.IndexHNSWFlat(coder.d, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    quantizer.hnsw.efConstruction = _HNSW_CONSTRUCTION
    quantizer.add(centroids)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, coder.d, len(centroids), faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
    )
    index.sq = coder.sq
    index.is_trained = True
    assigner = centroid_search(coder.d, len(centroids))
    assigner.train(centroids)
    assigner.add(centroids)
    error = 0.0
    for start, block in blocks(vectors):
        SEARCH_THREADS.apply()
        _, nearest = assigner.search(block, 1)
        rows = np.arange(start, start + len(block))
        index.add_core(
            len(block), faiss.swig_ptr(block), faiss.swig_ptr(rows), faiss.swig_ptr(np.ascontiguousarray(nearest[:, 0]))
        )
        error = max(error, coding_error(coder, block, coder.sa_encode(block)))
        progress("adding pictures to the index", start + len(block), len(vectors))
    return index, error


def _centroids(vectors: Vectors, lists: int, progress: Progress) -> Vectors:
    width = padded_width(vectors.shape[1])
    if lists == 1:
        # Any direction will do.
        return np.eye(1, width, dtype=np.float32)
    taken = min(len(vectors), lists * _SAMPLE_PER_LIST, _SAMPLE_AT_MOST)
    sample = np.sort(np.random.default_rng(_SEED).choice(len(vectors), taken, False))
    clustering = faiss.Clustering(width, lists)
    clustering.spherical = True
    clustering.niter = _ITERATIONS
    clustering.seed = _SEED
    clustering.min_points_per_centroid = 1
    progress("training the index", 0, 1)
    SEARCH_THREADS.apply()
    clustering.train(padded(vectors[sample]), centroid_search(width, lists))
    progress("training the index", 1, 1)
    centroids: Vectors = faiss.vector_to_array(clustering.centroids).reshape(lists, width)
    return centroids


def open_ivf_sq8(path: Path, vectors: SparseRows, dimension: int, error: float, probes: int) -> IvfSq8Search:
    """Raises BrokenIndex when the file does not hold the lists of so many vectors."""
    index = map_index(path)
    if (
        not isinstance(index, faiss.IndexIVFScalarQuantizer)
        or (index.d, index.ntotal) != (padded_width(dimension), len(vectors))
        or index.by_residual
        or not codes_fit(index, index.sq)
        or not 0 < probes <= index.nlist
    ):
        raise BrokenIndex(f"{path.name} does not hold {len(vectors)} 8-bit codes of dimension {dimension} in lists")
    index.nprobe = index.nlist  # how many lists `search_preassigned` expects to be named
    codes_for_one = probes / index.nlist * len(vectors)
    index.parallel_mode = 1 if codes_for_one > _PARALLEL_FROM else 0
    return IvfSq8Search(index, vectors, error, probes)
