"""The vectors of an index version as one raw file, written from start to end and read through a map."""

import hashlib
import mmap
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching.manifest import FileRecord

VECTOR = np.dtype("<f4")

_RESIDENT_ROWS = 8192
"""Linux maps 64 KiB around each row that is read from a cached file: half a gigabyte for so many."""


class VectorWriter:
    """Streams rows (d,) of little-endian float32 into a new file and hashes them on the way.

    Both happen on a thread of its own, so that they cost a build that reads a database no time: neither holds the
    interpreter's lock.
    """

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        self._dimension = dimension
        self._file = path.open("xb")
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write-vectors")
        self._under_way: Future[None] | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown()
        # What was not finished is deleted, so it does not matter that the disk does not take the rest of it.
        with suppress(OSError):
            self._file.close()

    def append(self, vectors: NDArray[np.float32]) -> None:
        """The rows are copied. Raises OSError when the disk did not take these, or those before."""
        copied = np.array(vectors, VECTOR, order="C")
        # Never more than one block waits in memory.
        self._written()
        self._under_way = self._thread.submit(self._write, copied)
        self.rows += len(vectors)

    def close(self) -> FileRecord:
        """What was written; nothing can follow. Raises OSError when the disk does not take it."""
        self._written()
        size_bytes = self._file.tell()
        self._file.close()
        return FileRecord(self._hash.hexdigest(), size_bytes)

    def mapped(self) -> NDArray[np.float32]:
        """Everything written so far, (n, d). Raises OSError when the disk does not take it."""
        self._written()
        if not self._file.closed:
            self._file.flush()
        return map_vectors(self._path, self.rows, self._dimension)

    def _write(self, vectors: NDArray[np.float32]) -> None:
        self._file.write(vectors.data)
        self._hash.update(vectors.data)

    def _written(self) -> None:
        waited_for, self._under_way = self._under_way, None
        if waited_for is not None:
            waited_for.result()


def map_vectors(path: Path, rows: int, dimension: int) -> NDArray[np.float32]:
    """(rows, dimension), read-only: pages are read when they are looked at and shared between processes.

    A file that is deleted stays readable as long as it is mapped; one that is shortened would end the process, so the
    files of a version are never written to again.

    Raises BrokenIndex when the file is not of that size.
    """
    return _viewed(_map(path, rows, dimension), rows, dimension)


def map_file(path: Path) -> memoryview:
    """All of a file, read-only; see `map_vectors`."""
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        # An empty file cannot be mapped.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size_bytes else b"")


class SparseRows:
    """A file of vectors (n, d) of which single rows are looked at, so that few of its pages stay in memory."""

    def __init__(self, path: Path, rows: int, dimension: int) -> None:
        """Raises BrokenIndex when the file is not of that size."""
        self._map = _map(path, rows, dimension)
        self._vectors = _viewed(self._map, rows, dimension)
        self._looked_at = 0
        if self._map is not None:
            self._map.madvise(mmap.MADV_RANDOM)

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._vectors.shape

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(m, d) of m rows."""
        vectors = self._vectors[rows]
        self._looked_at += len(rows)
        if self._looked_at > _RESIDENT_ROWS and self._map is not None:
            # The pages stay in the page cache, which is not memory of this process.
            self._looked_at = 0
            self._map.madvise(mmap.MADV_DONTNEED)
        return vectors


def _map(path: Path, rows: int, dimension: int) -> mmap.mmap | None:
    """None for no rows: an empty file cannot be mapped."""
    with path.open("rb") as file:
        if path.stat().st_size != rows * dimension * VECTOR.itemsize:
            raise BrokenIndex(f"{path.name} does not hold {rows} vectors of dimension {dimension}")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if rows else None


def _viewed(mapped: mmap.mmap | None, rows: int, dimension: int) -> NDArray[np.float32]:
    if mapped is None:
        return np.empty((0, dimension), VECTOR)
    return np.frombuffer(mapped, VECTOR).reshape(rows, dimension)
