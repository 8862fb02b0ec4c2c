"""PDQ hashes of pictures that were screened before, since a picture whose vector is known is not decoded again."""

import threading
from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache
from sqlalchemy import bindparam, select

from imagescreen.database.session import Database
from imagescreen.database.tables import ScreeningPictureRow
from imagescreen.errors import PictureProblem
from imagescreen.pictures import PDQ_BYTES, PdqHasher, PictureHash, PictureHeader, PictureReader

_LOOKED_AT = 50
"""Records of one picture: one that listings repeat a million times, hashed or not, must not be read through."""

_RECORDS = (
    select(ScreeningPictureRow.pdq)
    .where(ScreeningPictureRow.sha256 == bindparam("sha256"))
    .limit(_LOOKED_AT)
    .subquery()
)
_FIND = select(_RECORDS.c.pdq).where(_RECORDS.c.pdq.is_not(None)).limit(1)


class KnownHashes:
    """The hashes of the `max_pictures` pictures that were asked for last, in some 500 bytes each; the others are read
    from earlier screenings, and what is in neither is decoded. Safe to use from many threads.
    """

    def __init__(self, database: Database, reader: PictureReader, hasher: PdqHasher, *, max_pictures: int) -> None:
        self._database = database
        self._reader = reader
        # As bytes, which the search for garbage passes by.
        self._known: LRUCache[str, bytes] = LRUCache(max_pictures)
        self._lock = threading.Lock()
        self.hasher = hasher

    def note(self, sha256: str, found: PictureHash) -> None:
        with self._lock:
            self._known[sha256] = to_blob(found)

    def of(
        self, pictures: Sequence[tuple[PictureHeader, bytes]], *, reduce_to: int
    ) -> list[PictureHash | PictureProblem]:
        """One for each picture, whose vector is known. It was decoded before without a problem, here or in another
        process; where it cannot be now, by another version of a decoder or for want of memory, why it has none.

        What must be decoded is decoded for the model's input side `reduce_to`, as it was for its vector: from another
        scale a bit or two would be others.
        """
        with self._lock:
            known = {header.sha256: self._known.get(header.sha256) for header, _ in pictures}
        found: dict[str, PictureHash | PictureProblem] = {
            sha256: from_blob(blob) for sha256, blob in known.items() if blob is not None
        }
        missing = {header.sha256: (header, data) for header, data in pictures if header.sha256 not in found}
        if missing:
            found |= self._stored(list(missing))
            for sha256, (header, data) in missing.items():
                outcome = found.get(sha256) or self._hashed(header, data, reduce_to)
                found[sha256] = outcome
                if isinstance(outcome, PictureHash):
                    self.note(sha256, outcome)
        return [found[header.sha256] for header, _ in pictures]

    def _hashed(self, header: PictureHeader, data: bytes, reduce_to: int) -> PictureHash | PictureProblem:
        try:
            return self.hasher.hash(self._reader.read(data, header, reduce_to=reduce_to).image)
        except PictureProblem as problem:
            return problem

    def _stored(self, sha256s: Sequence[str]) -> dict[str, PictureHash]:
        found: dict[str, PictureHash] = {}
        with self._database.read_connection() as connection:
            for sha256 in sha256s:
                blob = connection.execute(_FIND, {"sha256": sha256}).scalar_one_or_none()
                if blob is not None:
                    found[sha256] = from_blob(blob)
        return found


def to_blob(found: PictureHash) -> bytes:
    """The quality in one byte, then the eight hashes."""
    return bytes([found.quality]) + found.bits.tobytes()


def from_blob(blob: bytes) -> PictureHash:
    return PictureHash(np.frombuffer(blob, np.uint8, offset=1).reshape(-1, PDQ_BYTES), blob[0])
