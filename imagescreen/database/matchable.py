"""Which reference pictures match at a moment: the one place that knows the rule.

A reference matches while it is `active`, or `suspended` with an end that has passed, and inside its validity dates
(`valid_from` inclusive, `valid_until` exclusive).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from imagescreen.database.tables import ChangeRow, ReferencePictureRow, ReferenceRow, ReferenceVectorRow

_CHUNK = 500
"""Ids bound in one statement; SQLite's limit is 32,766."""


@dataclass(frozen=True, slots=True)
class MatchablePicture:
    """What is true of one reference picture: its vector (see `vectors`), or None when it must not match.

    `lacks_vector`: it should match, but has no vector in this embedding space, so it cannot.
    """

    picture_id: int
    reference_id: UUID
    vector: bytes | None
    lacks_vector: bool


def matches_at(moment: datetime) -> ColumnElement[bool]:
    """The rule as a condition on `reference`."""
    return and_(
        or_(
            ReferenceRow.state == "active",
            and_(ReferenceRow.state == "suspended", ReferenceRow.suspended_until <= moment),
        ),
        or_(ReferenceRow.valid_from.is_(None), ReferenceRow.valid_from <= moment),
        or_(ReferenceRow.valid_until.is_(None), ReferenceRow.valid_until > moment),
    )


def matches(row: ReferenceRow, moment: datetime) -> bool:
    """The same rule for a row in hand."""
    active = row.state == "active" or (
        row.state == "suspended" and row.suspended_until is not None and row.suspended_until <= moment
    )
    return (
        active
        and (row.valid_from is None or row.valid_from <= moment)
        and (row.valid_until is None or row.valid_until > moment)
    )


def references_turned_by_time(session: Session, *, after: datetime, until: datetime) -> Sequence[UUID]:
    """References that begin or cease to match by the clock alone in (after, until]: no feed entry tells of those."""
    return session.scalars(
        select(ReferenceRow.id).where(
            or_(
                *(
                    and_(column > after, column <= until)
                    for column in (ReferenceRow.valid_from, ReferenceRow.valid_until, ReferenceRow.suspended_until)
                )
            )
        )
    ).all()


def pictures_of(
    session: Session, reference_ids: Iterable[UUID], *, fingerprint: str, moment: datetime
) -> Iterator[MatchablePicture]:
    """The present truth of every picture, also the removed ones, of some references."""
    ids = list(reference_ids)
    for start in range(0, len(ids), _CHUNK):
        chosen = ids[start : start + _CHUNK]
        matching = set(session.scalars(select(ReferenceRow.id).where(ReferenceRow.id.in_(chosen), matches_at(moment))))
        rows = session.execute(
            select(
                ReferencePictureRow.id,
                ReferencePictureRow.reference_id,
                ReferencePictureRow.removed_at,
                ReferenceVectorRow.vector,
            )
            .outerjoin(
                ReferenceVectorRow,
                and_(
                    ReferenceVectorRow.reference_picture_id == ReferencePictureRow.id,
                    ReferenceVectorRow.fingerprint == fingerprint,
                ),
            )
            .where(ReferencePictureRow.reference_id.in_(chosen))
            .order_by(ReferencePictureRow.id)
        )
        for picture_id, reference_id, removed_at, vector in rows:
            here = removed_at is None and reference_id in matching
            yield MatchablePicture(picture_id, reference_id, vector if here else None, here and vector is None)


def any_known_item_matches(session: Session, *, moment: datetime, kind: str) -> bool:
    """Whether some reference of that kind with a present picture matches at that moment."""
    return (
        session.scalar(
            select(ReferencePictureRow.id)
            .join(ReferenceRow, ReferenceRow.id == ReferencePictureRow.reference_id)
            .where(ReferenceRow.kind == kind, ReferencePictureRow.removed_at.is_(None), matches_at(moment))
            .limit(1)
        )
        is not None
    )


def count_without_vector(session: Session, *, fingerprint: str) -> int:
    """Present pictures, of references in any state, that have no vector in this embedding space."""
    return session.scalar(select(func.count()).select_from(_without_vector(fingerprint).subquery())) or 0


def lacks_vector_since(session: Session, sequence: int, *, fingerprint: str) -> bool:
    """Whether a reference that the feed names after a sequence number has a present picture without a vector.

    Costs what came since, and not a look at every picture: it is asked while nobody else can write.
    """
    changed = session.scalars(
        select(ChangeRow.reference_id)
        .where(ChangeRow.sequence > sequence, ChangeRow.reference_id.is_not(None))
        .distinct()
    ).all()
    for start in range(0, len(changed), _CHUNK):
        chosen = ReferencePictureRow.reference_id.in_(changed[start : start + _CHUNK])
        if session.execute(_without_vector(fingerprint).where(chosen).limit(1)).first() is not None:
            return True
    return False


def pictures_without_vector(session: Session, *, fingerprint: str, after: int, limit: int) -> Sequence[tuple[int, str]]:
    """(picture id, sha256) of present pictures with no vector in this embedding space, by id, from after `after` on."""
    rows = session.execute(
        _without_vector(fingerprint).where(ReferencePictureRow.id > after).order_by(ReferencePictureRow.id).limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def _without_vector(fingerprint: str) -> Select[tuple[int, str]]:
    return (
        select(ReferencePictureRow.id, ReferencePictureRow.sha256)
        .outerjoin(
            ReferenceVectorRow,
            and_(
                ReferenceVectorRow.reference_picture_id == ReferencePictureRow.id,
                ReferenceVectorRow.fingerprint == fingerprint,
            ),
        )
        .where(ReferencePictureRow.removed_at.is_(None), ReferenceVectorRow.vector.is_(None))
    )
