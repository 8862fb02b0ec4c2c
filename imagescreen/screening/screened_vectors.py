"""Vectors of pictures that were screened before, read back from their records: a cache that outlives the process."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, select

from imagescreen.database.session import Database
from imagescreen.database.tables import ScreeningPictureRow, ScreeningRow
from imagescreen.embedding.cache import Key

_LOOKED_AT = 50
"""Records of one picture: one that listings repeat a million times, under another model, must not be read through."""

_UNIT_TOLERANCE = 1e-3

_RECORDS = (
    select(ScreeningPictureRow.screening_id, ScreeningPictureRow.vector)
    .where(ScreeningPictureRow.sha256 == bindparam("sha256"), ScreeningPictureRow.vector.is_not(None))
    .limit(_LOOKED_AT)
    .subquery()
)
_FIND = (
    select(_RECORDS.c.vector)
    .join(ScreeningRow, ScreeningRow.id == _RECORDS.c.screening_id)
    .where(ScreeningRow.fingerprint == bindparam("fingerprint"))
    .limit(1)
)


class ScreenedVectors:
    """Finds nothing rather than a vector of another space: records name the fingerprint that they were made with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, keys: Sequence[Key]) -> dict[Key, NDArray[np.float32]]:
        """The vectors (d,) of those of the pictures that are on record with that fingerprint. Raises Unavailable."""
        found: dict[Key, NDArray[np.float32]] = {}
        with self._database.read_connection() as connection:
            for fingerprint, sha256 in keys:
                blob = connection.execute(_FIND, {"fingerprint": fingerprint, "sha256": sha256}).scalar_one_or_none()
                if blob is None or len(blob) % 4:
                    continue
                vector = np.frombuffer(blob, dtype="<f4").astype(np.float32)
                # A damaged one is embedded anew.
                if abs(float(np.linalg.norm(vector)) - 1) <= _UNIT_TOLERANCE:
                    found[fingerprint, sha256] = vector
        return found
