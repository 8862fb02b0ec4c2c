"""The FAISS structure of an index: the one place that chooses it, writes it and reads it.

Every structure maps picture ids to vectors and answers with the largest inner product first.
"""

from enum import StrEnum
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching.threads import SEARCH_THREADS


class IndexType(StrEnum):
    EXACT = "exact"


def build(vectors: NDArray[np.float32], picture_ids: NDArray[np.int64]) -> faiss.IndexIDMap2:
    """An exact index of `vectors` (n, d) under `picture_ids` (n,), which must be unique: FAISS does not look."""
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
    if len(vectors):
        index.add_with_ids(vectors, picture_ids)
    return index


def nearest(
    index: faiss.IndexIDMap2, queries: NDArray[np.float32], depth: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Similarities and picture ids of the `depth` nearest, best first, both (n, min(depth, stored pictures)).

    Past the number stored FAISS would pad with the id -1, so it is never asked for more.
    """
    depth = min(depth, index.ntotal)
    if not depth:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    SEARCH_THREADS.apply()
    return index.search(queries, depth)


def vectors_of(index: faiss.IndexIDMap2, picture_ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """The stored vectors (n, d) of `picture_ids` (n,), which must be stored."""
    vectors: NDArray[np.float32] = np.empty((len(picture_ids), index.d), np.float32)
    return index.reconstruct_batch(picture_ids, vectors)


def stored_ids(index: faiss.IndexIDMap2) -> NDArray[np.int64]:
    """The picture ids (n,) in the order of the rows."""
    ids: NDArray[np.int64] = faiss.vector_to_array(index.id_map)
    return ids


def write(index: faiss.IndexIDMap2, path: Path) -> None:
    """Raises BrokenIndex when the disk does not take it."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError:
        raise BrokenIndex("the index file could not be written: the disk is full or cannot be written to") from None


def read(path: Path, index_type: IndexType, dimension: int) -> faiss.IndexIDMap2:
    """Read a file whose hash has been checked.

    Raises BrokenIndex when it is not an index of this type and dimension, or one id stands for several vectors.
    """
    try:
        index = faiss.read_index(str(path))
    except RuntimeError:
        raise BrokenIndex(f"{path.name} is not an index file") from None
    if not isinstance(index, faiss.IndexIDMap2) or not _is_exact(index) or index.d != dimension:
        raise BrokenIndex(f"{path.name} is not an index of type {index_type} and dimension {dimension}")
    try:
        index.check_consistency()
    except RuntimeError:
        raise BrokenIndex(f"{path.name} holds several vectors under one picture id") from None
    return index


def _is_exact(index: faiss.IndexIDMap2) -> bool:
    return isinstance(faiss.downcast_index(index.index), faiss.IndexFlatIP)
