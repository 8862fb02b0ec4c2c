"""The structure of an index: the one place that chooses it, builds it and opens it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching.exact import ExactSearch
from imagescreen.matching.index_type import IndexType
from imagescreen.matching.ivf_sq8 import IvfSq8Search, build_ivf_sq8, open_ivf_sq8
from imagescreen.matching.progress import Progress
from imagescreen.matching.recall import NEAR_COPY, Sample, take_sample
from imagescreen.matching.sq8 import build_sq8, open_sq8, write_index
from imagescreen.matching.vector_file import SparseRows, map_vectors

VECTORS_FILE = "vectors.f32"  # (n, d) float32, row after row; see vector_file.py
INDEX_FILE = "index.faiss"  # what a compressed structure needs besides; exact search has none

EXACT_UP_TO = 200_000
"""Pictures. At 512 dimensions a core reads them for one query in about 30 ms, and for 32 together in 5 ms each."""

SQ8_UP_TO = 500_000
"""Pictures. A core takes 85 ns for a code of 512 dimensions, so about 40 ms for one query."""

TARGET_RECALL = 0.99
"""Of the 10 nearest, for lists of which only some are looked at."""

TARGET_COPIES = 0.995
"""Of near copies, whose original is to be found."""

_LIKELY = 1.0
"""Standard errors below the sample's mean; the recall of all queries is higher five times in six."""

_LEAST_PROBES = 8
_RECALL_DEPTH = 128
_MARGIN = 1e-3

Parameters: TypeAlias = dict[str, int | float | str]
Rows: TypeAlias = NDArray[np.float32] | SparseRows


class Structure(Protocol):
    """How a fixed set of vectors is searched. Never changed once made, so any number of threads may search it."""

    @property
    def vectors(self) -> Rows:
        """The stored vectors (n, d), to be looked at by rows."""

    @property
    def error(self) -> float:
        """How far a similarity that `nearest` tells may be from the exact one, beyond the rounding of float32."""

    def nearest(
        self, queries: NDArray[np.float32], depth: int, effort: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], bool]:
        """Similarities and rows of the `depth` nearest, best first, both (n, depth or fewer); -1 where there is none.

        `effort` is 1 or more; a structure that does not look at everything looks at so many times more. The last value
        tells whether these are all rows there are.
        """


@dataclass(frozen=True, slots=True)
class Built:
    """What the manifest says of a structure: with what it was built, and what was measured."""

    index_type: IndexType
    parameters: Parameters
    recall: float
    recall_queries: int


def choose_type(pictures: int) -> IndexType:
    """The structure for so many pictures."""
    if pictures <= EXACT_UP_TO:
        return IndexType.EXACT
    return IndexType.SQ8 if pictures <= SQ8_UP_TO else IndexType.IVF_SQ8


def build(index_type: IndexType, folder: Path, pictures: int, dimension: int, progress: Progress) -> Built:
    """Write the structure over the vectors (pictures, dimension) in `folder`, and measure it.

    Raises BrokenIndex or OSError when the disk does not take it.
    """
    vectors = map_vectors(folder / VECTORS_FILE, pictures, dimension)
    parameters: Parameters = {}
    if index_type is IndexType.SQ8:
        codes, parameters["largest_error"] = build_sq8(vectors)
        write_index(codes, folder / INDEX_FILE)
        del codes
    elif index_type is IndexType.IVF_SQ8:
        inverted, parameters["largest_error"] = build_ivf_sq8(vectors, progress)
        parameters |= {"lists": int(inverted.nlist), "probes": 1}
        write_index(inverted, folder / INDEX_FILE)
        del inverted
    sample = take_sample(vectors, progress)
    structure = open_structure(index_type, parameters, folder, pictures, dimension)
    if isinstance(structure, IvfSq8Search):
        parameters["probes"], recall = _least_probes(structure, vectors, sample)
    else:
        recall = _recall(structure, vectors, sample, 1).mean
    return Built(index_type, parameters, recall, len(sample.queries))


def open_structure(
    index_type: IndexType, parameters: Parameters, folder: Path, pictures: int, dimension: int
) -> Structure:
    """The structure that `build` wrote over vectors (pictures, dimension); the hash of every file has been checked.

    Raises BrokenIndex when a file is something else.
    """
    path = folder / VECTORS_FILE
    if index_type is IndexType.EXACT:
        return ExactSearch(map_vectors(path, pictures, dimension))
    rows = SparseRows(path, pictures, dimension)
    try:
        error = float(parameters["largest_error"])
        probes = int(parameters["probes"]) if index_type is IndexType.IVF_SQ8 else 0
    except (KeyError, ValueError):
        raise BrokenIndex(f"the manifest lacks parameters of an index of type {index_type}") from None
    if index_type is IndexType.SQ8:
        return open_sq8(folder / INDEX_FILE, rows, dimension, error)
    return open_ivf_sq8(folder / INDEX_FILE, rows, dimension, error, probes)


@dataclass(frozen=True, slots=True)
class _Recall:
    """`mean` of the sample, `least` that of all queries is likely to be, and the share of near copies found."""

    mean: float
    least: float
    copies: float

    @property
    def suffices(self) -> bool:
        return self.least >= TARGET_RECALL and self.copies >= TARGET_COPIES


def _least_probes(structure: IvfSq8Search, vectors: NDArray[np.float32], sample: Sample) -> tuple[int, float]:
    """About the least probes that reach the target, and their recall: doubled each time, then halved in between.

    `structure` looks at one list at a time so far. All lists together miss nothing.
    """
    probes = min(_LEAST_PROBES, structure.lists)
    recall = _recall(structure, vectors, sample, probes)
    too_few = probes
    while probes < structure.lists and not recall.suffices:
        too_few, probes = probes, min(2 * probes, structure.lists)
        recall = _recall(structure, vectors, sample, probes)
    while probes - too_few > probes // 8:
        between = (too_few + probes) // 2
        tried = _recall(structure, vectors, sample, between)
        if tried.suffices:
            probes, recall = between, tried
        else:
            too_few = between
    return probes, recall.mean


def _recall(structure: Structure, vectors: NDArray[np.float32], sample: Sample, effort: int) -> _Recall:
    # Only what may count is read: rows of millions of vectors lie all over the disk.
    found = _at_least(structure, sample.queries, sample.tenth[:, np.newaxis], effort)
    copies = _at_least(structure, sample.copies, np.float32(NEAR_COPY), effort)
    shares = sample.recall(vectors, found)
    spread = shares.std() / math.sqrt(max(1, len(shares)))
    mean = float(shares.mean()) if len(shares) else 1.0
    return _Recall(round(mean, 5), mean - _LIKELY * float(spread), sample.copies_found(vectors, copies))


def _at_least(
    structure: Structure, queries: NDArray[np.float32], limit: NDArray[np.float32] | np.float32, effort: int
) -> NDArray[np.int64]:
    """The rows found (q, k) whose similarity may reach `limit`, -1 in the place of others."""
    similarities, rows, _ = structure.nearest(queries, _RECALL_DEPTH, effort)
    return np.where(similarities >= limit - np.float32(structure.error + _MARGIN), rows, -1)
