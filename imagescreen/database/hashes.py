"""Hashes of reference pictures, and of partners who send no picture: which of them count at a moment."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from imagescreen.database.matchable import matches_at
from imagescreen.database.tables import ReferenceHashRow, ReferencePictureRow, ReferenceRow

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class StoredHash:
    """`picture_id` is None without a picture; `sha256` in hex; `quality` None where a partner did not tell it."""

    reference_id: UUID
    picture_id: int | None
    sha256: str | None
    pdq: bytes | None
    quality: int | None


def matching_hashes(session: Session, *, moment: datetime) -> Iterator[StoredHash]:
    """Those of every reference that matches at that moment; a present picture has its sha256 at least."""
    yield from _hashes(session, matches_at(moment))


def hashes_of(session: Session, reference_ids: Iterable[UUID], *, moment: datetime) -> Iterator[StoredHash]:
    """The same for some references; nothing for those of them that do not match."""
    ids = list(reference_ids)
    for start in range(0, len(ids), _CHUNK):
        yield from _hashes(session, and_(ReferenceRow.id.in_(ids[start : start + _CHUNK]), matches_at(moment)))


def _hashes(session: Session, which: ColumnElement[bool]) -> Iterator[StoredHash]:
    with_picture = (
        select(
            ReferencePictureRow.reference_id,
            ReferencePictureRow.id,
            ReferencePictureRow.sha256,
            ReferenceHashRow.pdq,
            ReferenceHashRow.quality,
        )
        .join(ReferenceRow, ReferenceRow.id == ReferencePictureRow.reference_id)
        .outerjoin(ReferenceHashRow, ReferenceHashRow.reference_picture_id == ReferencePictureRow.id)
        .where(ReferencePictureRow.removed_at.is_(None), which)
    )
    alone = (
        select(
            ReferenceHashRow.reference_id,
            ReferenceHashRow.reference_picture_id,
            ReferenceHashRow.sha256,
            ReferenceHashRow.pdq,
            ReferenceHashRow.quality,
        )
        .join(ReferenceRow, ReferenceRow.id == ReferenceHashRow.reference_id)
        .where(ReferenceHashRow.reference_picture_id.is_(None), which)
    )
    for statement in (with_picture, alone):
        rows: Iterable[Any] = session.execute(statement.execution_options(yield_per=10_000))
        for row in rows:
            yield StoredHash(*row)


def count_without_pdq(session: Session) -> int:
    """Present pictures, of references in any state, that were never hashed."""
    return session.scalar(select(func.count()).select_from(ReferencePictureRow).where(_unhashed())) or 0


def pictures_without_pdq(session: Session, *, after: int, limit: int) -> Sequence[tuple[int, UUID, str]]:
    """(picture id, reference id, sha256) of them, by id, from after `after` on."""
    rows = session.execute(
        select(ReferencePictureRow.id, ReferencePictureRow.reference_id, ReferencePictureRow.sha256)
        .where(_unhashed(), ReferencePictureRow.id > after)
        .order_by(ReferencePictureRow.id)
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _unhashed() -> ColumnElement[bool]:
    hashed = select(ReferenceHashRow.id).where(ReferenceHashRow.reference_picture_id == ReferencePictureRow.id)
    return and_(ReferencePictureRow.removed_at.is_(None), ~hashed.exists())
