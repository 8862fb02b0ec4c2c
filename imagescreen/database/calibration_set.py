"""The stored packages of ordinary goods that thresholds are measured with."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, select
from sqlalchemy.orm import Session

from imagescreen.database.feed import now
from imagescreen.database.tables import (
    CalibrationPackagePictureRow,
    CalibrationPackageRow,
    CalibrationPictureRow,
    CalibrationVectorRow,
    ReferencePictureRow,
)

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class OrdinaryPicture:
    """A picture of a package to store, with its vector (see `vectors`); `stored`: its bytes are in the store."""

    sha256: str
    size_bytes: int
    stored: bool
    vector: bytes


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """The packages that can be measured in one embedding space: the vectors of their pictures, package after package,
    and how many of them each package has (1 or more).

    `lacking`: pictures that another model has to embed first. `lost`: packages left out because a picture has neither
    a vector in this space nor bytes to make one from.
    """

    vectors: Sequence[bytes]
    sizes: Sequence[int]
    lacking: int
    lost: int


def package_content(sha256s: Collection[str]) -> str:
    """What identifies a package by its pictures, in whatever order: for one picture its own sha256."""
    different = sorted(set(sha256s))
    if len(different) == 1:
        return different[0]
    return hashlib.sha256("\n".join(different).encode()).hexdigest()


def calibration_set(session: Session, *, fingerprint: str) -> CalibrationSet:
    """Packages with a picture that a reference has by now are left out: goods that are known items are not ordinary."""
    of_a_reference = exists().where(
        ReferencePictureRow.sha256 == CalibrationPictureRow.sha256, ReferencePictureRow.removed_at.is_(None)
    )
    rows = session.execute(
        select(
            CalibrationPackagePictureRow.package_id,
            CalibrationVectorRow.vector,
            CalibrationPictureRow.stored,
            of_a_reference,
        )
        .select_from(CalibrationPackagePictureRow)
        .join(CalibrationPictureRow, CalibrationPictureRow.id == CalibrationPackagePictureRow.picture_id)
        .outerjoin(CalibrationVectorRow, _vector_of(fingerprint))
        .order_by(CalibrationPackagePictureRow.package_id, CalibrationPackagePictureRow.picture_id)
    )
    packages: dict[int, list[bytes]] = {}
    known_items: set[int] = set()
    lost: set[int] = set()
    lacking = 0
    for package_id, vector, stored, of_reference in rows:
        if of_reference:
            known_items.add(package_id)
        elif vector is not None:
            packages.setdefault(package_id, []).append(vector)
        elif stored:
            lacking += 1
        else:
            lost.add(package_id)
    kept = [vectors for key, vectors in packages.items() if key not in known_items and key not in lost]
    return CalibrationSet(
        vectors=[vector for vectors in kept for vector in vectors],
        sizes=[len(vectors) for vectors in kept],
        lacking=lacking,
        lost=len(lost - known_items),
    )


def count_calibration_pictures_without_vector(session: Session, *, fingerprint: str) -> int:
    return session.scalar(select(func.count()).select_from(_without_vector(fingerprint).subquery())) or 0


def calibration_pictures_without_vector(
    session: Session, *, fingerprint: str, after: int, limit: int
) -> Sequence[tuple[int, str]]:
    """(id, sha256), by id, of those after the id `after` whose bytes are kept."""
    rows = session.execute(
        _without_vector(fingerprint)
        .where(CalibrationPictureRow.id > after)
        .order_by(CalibrationPictureRow.id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def known_packages(session: Session, contents: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(contents), _CHUNK):
        chosen = CalibrationPackageRow.content.in_(contents[start : start + _CHUNK])
        known.update(session.scalars(select(CalibrationPackageRow.content).where(chosen)))
    return known


def known_calibration_pictures(session: Session, sha256s: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(sha256s), _CHUNK):
        chosen = CalibrationPictureRow.sha256.in_(sha256s[start : start + _CHUNK])
        known.update(session.scalars(select(CalibrationPictureRow.sha256).where(chosen)))
    return known


def add_package(
    session: Session,
    content: str,
    pictures: Sequence[OrdinaryPicture],
    *,
    source: str | None,
    screening_id: UUID | None,
    fingerprint: str,
) -> None:
    """Stores a package that is not stored yet; its pictures may be, with other packages."""
    package = CalibrationPackageRow(content=content, source=source, screening_id=screening_id, created_at=now())
    session.add(package)
    session.flush()
    for picture in {picture.sha256: picture for picture in pictures}.values():
        row = session.scalar(select(CalibrationPictureRow).where(CalibrationPictureRow.sha256 == picture.sha256))
        if row is None:
            row = CalibrationPictureRow(
                sha256=picture.sha256,
                size_bytes=picture.size_bytes,
                source=source,
                created_at=now(),
                stored=picture.stored,
            )
            session.add(row)
            session.flush()
        row.stored = row.stored or picture.stored
        session.merge(
            CalibrationVectorRow(calibration_picture_id=row.id, fingerprint=fingerprint, vector=picture.vector)
        )
        session.add(CalibrationPackagePictureRow(package_id=package.id, picture_id=row.id))


def count_packages(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(CalibrationPackageRow)) or 0


def keep_only_packages(session: Session, contents: Collection[str]) -> None:
    stored = set(session.scalars(select(CalibrationPackageRow.content)))
    remove_packages(session, stored - set(contents))


def remove_packages(session: Session, contents: Collection[str]) -> None:
    """With the pictures that no other package has."""
    rows = session.execute(select(CalibrationPackageRow.id, CalibrationPackageRow.content)).all()
    keys = [row[0] for row in rows if row[1] in contents]
    for start in range(0, len(keys), _CHUNK):
        chosen = keys[start : start + _CHUNK]
        session.execute(delete(CalibrationPackagePictureRow).where(CalibrationPackagePictureRow.package_id.in_(chosen)))
        session.execute(delete(CalibrationPackageRow).where(CalibrationPackageRow.id.in_(chosen)))
    unused = select(CalibrationPictureRow.id).where(
        ~exists().where(CalibrationPackagePictureRow.picture_id == CalibrationPictureRow.id)
    )
    for statement in (
        delete(CalibrationVectorRow).where(CalibrationVectorRow.calibration_picture_id.in_(unused)),
        delete(CalibrationPictureRow).where(CalibrationPictureRow.id.in_(unused)),
    ):
        session.execute(statement, execution_options={"synchronize_session": False})


def _without_vector(fingerprint: str) -> Select[tuple[int, str]]:
    return (
        select(CalibrationPictureRow.id, CalibrationPictureRow.sha256)
        .outerjoin(CalibrationVectorRow, _vector_of(fingerprint))
        .where(CalibrationVectorRow.vector.is_(None), CalibrationPictureRow.stored.is_(True))
    )


def _vector_of(fingerprint: str) -> ColumnElement[bool]:
    return and_(
        CalibrationVectorRow.calibration_picture_id == CalibrationPictureRow.id,
        CalibrationVectorRow.fingerprint == fingerprint,
    )
