"""The stored pictures of ordinary goods that scores are normalised with."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, delete, func, select
from sqlalchemy.orm import Session

from imagescreen.database.feed import now
from imagescreen.database.tables import BackgroundPictureRow, BackgroundVectorRow

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class NewBackgroundPicture:
    """A picture to store, with its vector (see `vectors`)."""

    name: str
    sha256: str
    size_bytes: int
    vector: bytes


@dataclass(frozen=True, slots=True)
class StoredBackground:
    """The pictures by id, with their vectors in one embedding space; `lacking` others have none in it."""

    names: Sequence[str]
    sha256s: Sequence[str]
    vectors: Sequence[bytes]
    lacking: int


def background_version(sha256s: Iterable[str]) -> str:
    """What names a set of pictures: the first 16 hex digits of the sha256 of their hashes, sorted."""
    return hashlib.sha256("\n".join(sorted(sha256s)).encode()).hexdigest()[:16]


def stored_background(session: Session, *, fingerprint: str) -> StoredBackground:
    rows = session.execute(
        select(BackgroundPictureRow.name, BackgroundPictureRow.sha256, BackgroundVectorRow.vector)
        .outerjoin(BackgroundVectorRow, _vector_of(fingerprint))
        .order_by(BackgroundPictureRow.id)
    ).all()
    present = [row for row in rows if row[2] is not None]
    return StoredBackground(
        names=[row[0] for row in present],
        sha256s=[row[1] for row in present],
        vectors=[row[2] for row in present],
        lacking=len(rows) - len(present),
    )


def count_background_pictures(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(BackgroundPictureRow)) or 0


def background_sha256s(session: Session) -> list[str]:
    return list(session.scalars(select(BackgroundPictureRow.sha256).order_by(BackgroundPictureRow.id)))


def known_background_pictures(session: Session, sha256s: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(sha256s), _CHUNK):
        chosen = BackgroundPictureRow.sha256.in_(sha256s[start : start + _CHUNK])
        known.update(session.scalars(select(BackgroundPictureRow.sha256).where(chosen)))
    return known


def background_sources(session: Session) -> list[tuple[str | None, int]]:
    """Where the pictures come from, as told, and how many from there."""
    rows = session.execute(
        select(BackgroundPictureRow.source, func.count())
        .group_by(BackgroundPictureRow.source)
        .order_by(func.min(BackgroundPictureRow.id))
    )
    return [(row[0], row[1]) for row in rows]


def add_background_pictures(
    session: Session, pictures: Sequence[NewBackgroundPicture], *, source: str | None, fingerprint: str
) -> None:
    moment = now()
    rows = [
        BackgroundPictureRow(
            sha256=picture.sha256, size_bytes=picture.size_bytes, name=picture.name, source=source, created_at=moment
        )
        for picture in pictures
    ]
    session.add_all(rows)
    session.flush()
    session.add_all(
        BackgroundVectorRow(background_picture_id=row.id, fingerprint=fingerprint, vector=picture.vector)
        for row, picture in zip(rows, pictures, strict=True)
    )


def remove_background_pictures(session: Session, *, source: str) -> int:
    """Those from one source; returns how many there were."""
    return _remove(session, BackgroundPictureRow.source == source)


def take_back_background_pictures(session: Session, sha256s: Sequence[str]) -> None:
    """A hundred or so that were added before."""
    _remove(session, BackgroundPictureRow.sha256.in_(sha256s))


def _remove(session: Session, which: ColumnElement[bool]) -> int:
    chosen = select(BackgroundPictureRow.id).where(which)
    count = session.scalar(select(func.count()).select_from(chosen.subquery())) or 0
    for statement in (
        delete(BackgroundVectorRow).where(BackgroundVectorRow.background_picture_id.in_(chosen)),
        delete(BackgroundPictureRow).where(which),
    ):
        session.execute(statement, execution_options={"synchronize_session": False})
    return count


def count_background_pictures_without_vector(session: Session, *, fingerprint: str) -> int:
    return session.scalar(select(func.count()).select_from(_without_vector(fingerprint).subquery())) or 0


def background_pictures_without_vector(
    session: Session, *, fingerprint: str, after: int, limit: int
) -> Sequence[tuple[int, str]]:
    """(id, sha256), by id, of those after the id `after`."""
    rows = session.execute(
        _without_vector(fingerprint)
        .where(BackgroundPictureRow.id > after)
        .order_by(BackgroundPictureRow.id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def _without_vector(fingerprint: str) -> Select[tuple[int, str]]:
    return (
        select(BackgroundPictureRow.id, BackgroundPictureRow.sha256)
        .outerjoin(BackgroundVectorRow, _vector_of(fingerprint))
        .where(BackgroundVectorRow.vector.is_(None))
    )


def _vector_of(fingerprint: str) -> ColumnElement[bool]:
    return and_(
        BackgroundVectorRow.background_picture_id == BackgroundPictureRow.id,
        BackgroundVectorRow.fingerprint == fingerprint,
    )
