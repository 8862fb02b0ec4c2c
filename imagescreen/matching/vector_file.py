"""The vectors of an index version as one raw file, written from start to end and read through a map."""

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching.manifest import FileRecord

VECTOR = np.dtype("<f4")


class VectorWriter:
    """Streams rows (d,) of little-endian float32 into a new file and hashes them on the way."""

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        self._dimension = dimension
        self._file = path.open("xb")
        self._hash = hashlib.sha256()
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def append(self, vectors: NDArray[np.float32]) -> None:
        """Raises OSError when the disk does not take it."""
        content = np.ascontiguousarray(vectors, VECTOR).data
        self._file.write(content)
        self._hash.update(content)
        self.rows += len(vectors)

    def close(self) -> FileRecord:
        """What was written; nothing can follow. Raises OSError when the disk does not take it."""
        size_bytes = self._file.tell()
        self._file.close()
        return FileRecord(self._hash.hexdigest(), size_bytes)

    def mapped(self) -> NDArray[np.float32]:
        """Everything written so far, (n, d)."""
        if not self._file.closed:
            self._file.flush()
        return map_vectors(self._path, self.rows, self._dimension)


def map_vectors(path: Path, rows: int, dimension: int) -> NDArray[np.float32]:
    """(rows, dimension), read-only: pages are read when they are looked at and shared between processes.

    A file that is deleted stays readable as long as it is mapped; one that is shortened would end the process, so the
    files of a version are never written to again.

    Raises BrokenIndex when the file is not of that size.
    """
    if path.stat().st_size != rows * dimension * VECTOR.itemsize:
        raise BrokenIndex(f"{path.name} does not hold {rows} vectors of dimension {dimension}")
    if not rows:
        return np.empty((0, dimension), np.float32)
    return np.memmap(path, VECTOR, "r", shape=(rows, dimension))
