"""A fixed set of reference pictures: their vectors, and the reference that each one shows."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self, TypeAlias, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from imagescreen.matching.exact import ExactSearch
from imagescreen.matching.structure import Rows, Structure

# Reference ids travel as their 16 bytes: numpy sorts and searches them a million at a time, UUID objects it cannot.
KEY = np.dtype("S16")
_ROWS_AT_ONCE = 1_000_000

Keys: TypeAlias = NDArray[np.bytes_]
Sortable = TypeVar("Sortable", np.int64, np.bytes_)


def keys_of(reference_ids: Iterable[UUID]) -> Keys:
    """(n,) keys of n reference ids."""
    return np.frombuffer(b"".join(reference_id.bytes for reference_id in reference_ids), KEY)


def reference_id_of(key: bytes) -> UUID:
    """The id of a key; numpy drops the zero bytes at the end of a single one."""
    return UUID(bytes=key.ljust(KEY.itemsize, b"\0"))


def locate(ascending: NDArray[Sortable], wanted: NDArray[Sortable]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each of `wanted` (m,) stands in `ascending`, and whether it is there at all, both (m,)."""
    if not len(ascending):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    rows = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return rows, ascending[rows] == wanted


@dataclass(frozen=True, slots=True, eq=False)
class PictureSet:
    """Never changed once made, so any number of threads may search it. The arrays may be maps of files."""

    structure: Structure  # over the vectors (n, d)
    picture_ids: NDArray[np.int64]  # (n,) ascending; row i of everything here is the picture picture_ids[i]
    references: Keys  # (r,) ascending
    reference_rows: NDArray[np.int32]  # (n,) the row in `references` that picture i shows
    pictures_per_reference: NDArray[np.int32] = field(init=False)  # (r,)

    def __post_init__(self) -> None:
        per_reference = np.zeros(len(self.references), np.int32)
        # A part at a time: numpy keeps other threads waiting while it counts.
        for start in range(0, len(self.reference_rows), _ROWS_AT_ONCE):
            counted = np.bincount(self.reference_rows[start : start + _ROWS_AT_ONCE], minlength=len(self.references))
            per_reference += counted.astype(np.int32)
        object.__setattr__(self, "pictures_per_reference", per_reference)

    @classmethod
    def of(cls, vectors: NDArray[np.float32], picture_ids: NDArray[np.int64], keys: Keys) -> Self:
        """In memory, from sound vectors (n, d), unique ascending ids (n,) and the references' keys (n,)."""
        references, reference_rows = np.unique(keys, return_inverse=True)
        return cls(ExactSearch(vectors), picture_ids, references, reference_rows.astype(np.int32))

    def __len__(self) -> int:
        return len(self.picture_ids)

    @property
    def vectors(self) -> Rows:
        """(n, d), to be looked at by rows."""
        return self.structure.vectors

    def keys(self, rows: NDArray[np.int64]) -> Keys:
        return self.references[self.reference_rows[rows]]
