"""What a process serves and how far that is: the step from one look at the database to the next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from sqlalchemy.orm import Session

from imagescreen.database.feed import read_changes
from imagescreen.database.matchable import (
    MatchablePicture,
    any_known_item_matches,
    pictures_of,
    references_turned_by_time,
)
from imagescreen.database.vectors import from_blobs
from imagescreen.matching import PictureChange
from imagescreen.references.facts import ReferenceKind
from imagescreen.serving.state import Served

_BEGINNING = datetime.min.replace(tzinfo=UTC)

_REFERENCES_AT_ONCE = 4096
"""So that following a long feed (from its start, or after going back far) holds few vectors more than once."""


@dataclass(frozen=True, slots=True)
class Followed:
    """`served` with the feed up to `served.snapshot.sequence` and the clock up to `judged_at`.

    `without_vector`: pictures that should match and cannot, for lack of a vector. `looked` is false until the database
    was looked at for the first time.
    """

    served: Served
    judged_at: datetime
    without_vector: frozenset[int] = frozenset()
    looked: bool = False

    @classmethod
    def from_start(cls, served: Served) -> Self:
        """As it was loaded, before any change since."""
        manifest = served.snapshot.manifest
        return cls(served, _BEGINNING if manifest is None else manifest.as_of)


def advance(session: Session, followed: Followed, moment: datetime) -> Followed:
    """With everything that was committed, or turned by the clock, until `moment`.

    Raises BrokenInstallation or BrokenIndex when a stored vector cannot be used.
    """
    served = followed.served
    snapshot = served.snapshot
    sequence, changed = changed_references(session, snapshot.sequence, followed.judged_at, moment)
    if followed.looked and not changed and sequence == snapshot.sequence:
        return replace(followed, judged_at=moment)
    without_vector = set(followed.without_vector)
    for start in range(0, max(1, len(changed)), _REFERENCES_AT_ONCE):
        end = start + _REFERENCES_AT_ONCE
        pictures = list(pictures_of(session, changed[start:end], fingerprint=snapshot.fingerprint, moment=moment))
        snapshot = snapshot.with_changes(
            _changes(pictures, snapshot.dimension), sequence if end >= len(changed) else snapshot.sequence
        )
        without_vector.difference_update(each.picture_id for each in pictures)
        without_vector.update(each.picture_id for each in pictures if each.lacks_vector)
    # With nothing to match there is nothing to ask for, and the question would go through every reference there is.
    known = snapshot.picture_count > 0 and any_known_item_matches(
        session, moment=moment, kind=ReferenceKind.KNOWN_ITEM.value
    )
    return Followed(
        replace(served, snapshot=snapshot, has_known_items=known),
        judged_at=moment,
        without_vector=frozenset(without_vector),
        looked=True,
    )


def _changes(pictures: Sequence[MatchablePicture], dimension: int) -> list[PictureChange]:
    vectors = iter(from_blobs([each.vector for each in pictures if each.vector is not None], dimension))
    return [
        PictureChange(each.picture_id, each.reference_id, None if each.vector is None else next(vectors))
        for each in pictures
    ]


def changed_references(
    session: Session, after: int, judged_at: datetime, moment: datetime
) -> tuple[int, Sequence[UUID]]:
    """The feed's last sequence number, and the references (ascending) that it names or that the clock has turned."""
    sequence = after
    changed: set[UUID] = set()
    while entries := read_changes(session, after=sequence):
        changed.update(entry.reference_id for entry in entries if entry.reference_id is not None)
        sequence = entries[-1].sequence
    # Also back: a clock that was ahead for a moment must leave nothing behind.
    earlier, later = sorted((judged_at, moment))
    changed.update(references_turned_by_time(session, after=earlier, until=later))
    return sequence, sorted(changed)
