"""The structure of an index: the one place that chooses it, builds it and opens it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imagescreen.matching.exact import ExactSearch

INDEX_FILE = "index.faiss"  # what a compressed structure needs besides the vectors; exact search has none

Parameters: TypeAlias = dict[str, int | float | str]
Progress: TypeAlias = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """A progress that nobody looks at."""


class IndexType(StrEnum):
    EXACT = "exact"
    SQ8 = "sq8"
    IVF_SQ8 = "ivf_sq8"


class Structure(Protocol):
    """How a fixed set of vectors is searched. Never changed once made, so any number of threads may search it."""

    @property
    def error(self) -> float:
        """How far a similarity that `nearest` tells may be from the exact one, beyond the rounding of float32."""

    def nearest(self, queries: NDArray[np.float32], depth: int) -> tuple[NDArray[np.float32], NDArray[np.int64], bool]:
        """Similarities and rows of the `depth` nearest, best first, both (n, depth or fewer); -1 where there is none.

        The last value tells whether these are all rows.
        """


@dataclass(frozen=True, slots=True)
class Built:
    """What the manifest says of a structure."""

    index_type: IndexType
    parameters: Parameters


def choose_type(pictures: int) -> IndexType:
    """The structure for so many pictures."""
    return IndexType.EXACT


def build(index_type: IndexType, vectors: NDArray[np.float32], folder: Path, progress: Progress) -> Built:
    """Write the structure over `vectors` (n, d) into `folder`. Raises OSError when the disk does not take it."""
    return Built(IndexType.EXACT, {})


def open_structure(
    index_type: IndexType, parameters: Parameters, vectors: NDArray[np.float32], folder: Path
) -> Structure:
    """The structure over `vectors` (n, d) that `build` wrote; the hash of its file has been checked.

    Raises BrokenIndex when the file is something else.
    """
    return ExactSearch(vectors)
