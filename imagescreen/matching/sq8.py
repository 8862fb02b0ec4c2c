"""Vectors in 8 bits a value: a quarter of the size, with similarities that are off by a known amount at most."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching.threads import SEARCH_THREADS
from imagescreen.matching.vector_file import SparseRows

Vectors = NDArray[np.float32]

ROWS_AT_ONCE = 65_536
_FAST_MULTIPLE = 16
"""FAISS decodes dimensions that are no multiple of this five times more slowly (513 against 512)."""


@dataclass(frozen=True, slots=True, eq=False)
class Sq8Search:
    """Every code is looked at. `error` is the largest distance between a vector and what its code stands for, which no
    inner product with a unit vector exceeds (Cauchy and Schwarz).
    """

    index: faiss.IndexScalarQuantizer
    vectors: SparseRows
    error: float

    def nearest(self, queries: Vectors, depth: int, effort: int) -> tuple[Vectors, NDArray[np.int64], bool]:
        depth = min(depth, len(self.vectors))
        if not depth:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64), True
        SEARCH_THREADS.apply(queries.size * len(self.vectors))
        similarities, rows = self.index.search(padded(queries), depth)
        return similarities, rows, depth == len(self.vectors)


def build_sq8(vectors: Vectors) -> tuple[faiss.IndexScalarQuantizer, float]:
    """The codes of `vectors` (n, d), and their error."""
    index = trained_coder(vectors)
    error = 0.0
    for _, block in blocks(vectors):
        codes = index.sa_encode(block)
        error = max(error, coding_error(index, block, codes))
        index.add_sa_codes(codes)
    return index, error


def trained_coder(vectors: Vectors) -> faiss.IndexScalarQuantizer:
    """An empty index whose codes cover the whole range of each value of `vectors` (n, d), so that none is cut off."""
    width = padded_width(vectors.shape[1])
    lowest, highest = np.zeros((2, width), np.float32)
    for start, block in blocks(vectors):
        lowest = np.minimum(lowest, block.min(axis=0)) if start else block.min(axis=0)
        highest = np.maximum(highest, block.max(axis=0)) if start else block.max(axis=0)
    index = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    # FAISS takes the range of what it is trained with: these two rows have that of all.
    index.train(np.stack([lowest, highest]))
    return index


def coding_error(coder: faiss.IndexScalarQuantizer, block: Vectors, codes: NDArray[np.uint8]) -> float:
    """The largest distance between a row of `block` and what its code stands for."""
    off = coder.sa_decode(codes)
    off -= block
    return math.sqrt(float(np.einsum("nd,nd->n", off, off).max()))


def blocks(vectors: Vectors) -> Iterator[tuple[int, Vectors]]:
    """`vectors` a few at a time, each block padded, with the row at which it starts."""
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        yield start, padded(vectors[start : start + ROWS_AT_ONCE])


def padded_width(dimension: int) -> int:
    return -(-dimension // _FAST_MULTIPLE) * _FAST_MULTIPLE


def padded(vectors: Vectors) -> Vectors:
    """(n, padded width): zeros at the end change no inner product."""
    missing = padded_width(vectors.shape[1]) - vectors.shape[1]
    return np.pad(vectors, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(vectors)


def write_index(index: faiss.Index, path: Path) -> None:
    """Raises BrokenIndex when the disk does not take it."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError:
        raise BrokenIndex("the index file could not be written: the disk is full or cannot be written to") from None


def map_index(path: Path) -> faiss.Index:
    """Map a file whose hash has been checked.

    It can be searched only: FAISS ends the process, with no exception, when a mapped index is told to add or remove.
    Raises BrokenIndex when it is not an index file.
    """
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError:
        raise BrokenIndex(f"{path.name} is not an index file") from None


def open_sq8(path: Path, vectors: SparseRows, dimension: int, error: float) -> Sq8Search:
    """Raises BrokenIndex when the file does not hold the codes of so many vectors."""
    index = map_index(path)
    if (
        not isinstance(index, faiss.IndexScalarQuantizer)
        or (index.d, index.ntotal) != (padded_width(dimension), len(vectors))
        or not codes_fit(index, index.sq)
    ):
        raise BrokenIndex(f"{path.name} does not hold {len(vectors)} 8-bit codes of dimension {dimension}")
    return Sq8Search(index, vectors, error)


def codes_fit(index: faiss.Index, coder: faiss.ScalarQuantizer) -> bool:
    eight_bits = coder.qtype == faiss.ScalarQuantizer.QT_8bit and coder.d == index.d
    return eight_bits and index.metric_type == faiss.METRIC_INNER_PRODUCT and index.is_trained
