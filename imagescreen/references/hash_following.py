"""Keeps the hashes of reference pictures up with the database: all of them at the first look, then what changed."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from sqlalchemy.orm import Session

from imagescreen.database.feed import last_sequence
from imagescreen.database.hashes import StoredHash, hashes_of, matching_hashes
from imagescreen.matching import HashSnapshot, ReferenceHash
from imagescreen.pictures import MIN_PDQ_QUALITY
from imagescreen.references.following import changed_references

_PART = 10_000


class HashFollowing:
    """They depend on no model and no index version, so switching those leaves them as they are."""

    def __init__(self) -> None:
        self._state: tuple[HashSnapshot, int, datetime] | None = None

    def advance(self, session: Session, moment: datetime) -> HashSnapshot:
        """With everything that was committed, or turned by the clock, until `moment`."""
        if self._state is None:
            # Taken first: what is committed meanwhile is followed once more, which is harmless.
            sequence = last_sequence(session)
            snapshot = HashSnapshot.of_parts(_parts(matching_hashes(session, moment=moment)))
        else:
            before, at, judged_at = self._state
            sequence, changed = changed_references(session, at, judged_at, moment)
            snapshot = before.with_changes(changed, _usable(hashes_of(session, changed, moment=moment)))
        self._state = (snapshot, sequence, moment)
        return snapshot


def _parts(stored: Iterator[StoredHash]) -> Iterator[list[ReferenceHash]]:
    """So many at a time that the objects take little memory beside what is made of them."""
    while part := _usable(islice(stored, _PART)):
        yield part


def _usable(stored: Iterable[StoredHash]) -> list[ReferenceHash]:
    """A PDQ hash of a picture with little on it resembles anything with little on it, so it does not count."""
    return [
        ReferenceHash(
            one.reference_id,
            one.picture_id,
            None if one.sha256 is None else bytes.fromhex(one.sha256),
            None if one.quality is not None and one.quality < MIN_PDQ_QUALITY else one.pdq,
        )
        for one in stored
    ]
