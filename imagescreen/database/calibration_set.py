"""The stored pictures of ordinary goods that thresholds are measured with."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, select
from sqlalchemy.orm import Session

from imagescreen.database.feed import now
from imagescreen.database.tables import CalibrationPictureRow, CalibrationVectorRow, ReferencePictureRow


def calibration_blobs(session: Session, *, fingerprint: str) -> tuple[list[bytes], int]:
    """The vectors in one embedding space, and how many pictures have none in it.

    Pictures that a reference has by now are left out: goods that are known items are not ordinary.
    """
    of_a_reference = exists().where(
        ReferencePictureRow.sha256 == CalibrationPictureRow.sha256, ReferencePictureRow.removed_at.is_(None)
    )
    rows = session.execute(
        select(CalibrationVectorRow.vector)
        .select_from(CalibrationPictureRow)
        .outerjoin(CalibrationVectorRow, _vector_of(fingerprint))
        .where(~of_a_reference)
        .order_by(CalibrationPictureRow.id)
    ).all()
    return [row[0] for row in rows if row[0] is not None], sum(1 for row in rows if row[0] is None)


def count_calibration_pictures_without_vector(session: Session, *, fingerprint: str) -> int:
    return session.scalar(select(func.count()).select_from(_without_vector(fingerprint).subquery())) or 0


def calibration_pictures_without_vector(
    session: Session, *, fingerprint: str, after: int, limit: int
) -> Sequence[tuple[int, str]]:
    """(id, sha256), by id, of those after the id `after`."""
    rows = session.execute(
        _without_vector(fingerprint)
        .where(CalibrationPictureRow.id > after)
        .order_by(CalibrationPictureRow.id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def known_calibration_pictures(session: Session, sha256s: Sequence[str]) -> set[str]:
    return set(session.scalars(select(CalibrationPictureRow.sha256).where(CalibrationPictureRow.sha256.in_(sha256s))))


def add_calibration_picture(
    session: Session, *, sha256: str, size_bytes: int, source: str | None, fingerprint: str, vector: bytes
) -> None:
    row = CalibrationPictureRow(sha256=sha256, size_bytes=size_bytes, source=source, created_at=now())
    session.add(row)
    session.flush()
    session.add(CalibrationVectorRow(calibration_picture_id=row.id, fingerprint=fingerprint, vector=vector))


def count_calibration_pictures(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(CalibrationPictureRow)) or 0


def keep_only_calibration_pictures(session: Session, sha256s: Collection[str]) -> None:
    stored = set(session.scalars(select(CalibrationPictureRow.sha256)))
    remove_calibration_pictures(session, stored - set(sha256s))


def remove_calibration_pictures(session: Session, sha256s: Collection[str]) -> None:
    rows = session.execute(select(CalibrationPictureRow.id, CalibrationPictureRow.sha256)).all()
    for key in [row[0] for row in rows if row[1] in sha256s]:
        session.execute(delete(CalibrationVectorRow).where(CalibrationVectorRow.calibration_picture_id == key))
        session.execute(delete(CalibrationPictureRow).where(CalibrationPictureRow.id == key))


def _without_vector(fingerprint: str) -> Select[tuple[int, str]]:
    return (
        select(CalibrationPictureRow.id, CalibrationPictureRow.sha256)
        .outerjoin(CalibrationVectorRow, _vector_of(fingerprint))
        .where(CalibrationVectorRow.vector.is_(None))
    )


def _vector_of(fingerprint: str) -> ColumnElement[bool]:
    return and_(
        CalibrationVectorRow.calibration_picture_id == CalibrationPictureRow.id,
        CalibrationVectorRow.fingerprint == fingerprint,
    )
