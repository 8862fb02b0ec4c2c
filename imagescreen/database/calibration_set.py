"""The stored packages of ordinary goods that thresholds are measured with."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from imagescreen.database.calibration_succession import Succession
from imagescreen.database.feed import now
from imagescreen.database.tables import (
    Base,
    CalibrationPackagePictureRow,
    CalibrationPackageRow,
    CalibrationPictureRow,
    CalibrationVectorRow,
    ReferencePictureRow,
)

_CHUNK = 500

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class OrdinaryPicture:
    """A picture of a package to store, with its vector (see `vectors`); `stored`: its bytes are in the store."""

    sha256: str
    size_bytes: int
    stored: bool
    vector: bytes


@dataclass(frozen=True, slots=True)
class OrdinaryPackage:
    """A package to store; `content` is its `package_content`. `data` are the pictures' bytes by their sha256, as far as
    they are at hand: they are for the store of files.
    """

    content: str
    pictures: Sequence[OrdinaryPicture]
    data: Mapping[str, bytes] = field(default_factory=dict)
    screening_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Additions:
    """What was not stored before, so that it can be taken back: packages by their content and, of pictures that were
    there, the keys of new vectors (picture id, fingerprint) and the ids of those whose bytes are kept since.

    `regained` counts packages that were there and could not be measured in this embedding space.
    """

    packages: frozenset[str]
    vectors: Sequence[tuple[int, str]]
    stored: Sequence[int]
    regained: int


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """The packages that can be measured in one embedding space: the vectors of their pictures, package after package,
    and how many of them each package has (1 or more).

    `lacking`: pictures that another model has to embed first. `lost`: packages left out because a picture has neither
    a vector in this space nor bytes to make one from. `members`: the ids of all that were looked at.
    """

    vectors: Sequence[bytes]
    sizes: Sequence[int]
    lacking: int
    lost: int
    members: frozenset[int]


def package_content(sha256s: Collection[str]) -> str:
    """What identifies a package by its pictures, in whatever order: for one picture its own sha256."""
    different = sorted(set(sha256s))
    if len(different) == 1:
        return different[0]
    return hashlib.sha256("\n".join(different).encode()).hexdigest()


def calibration_set(session: Session, succession: Succession, *, fingerprint: str) -> CalibrationSet:
    """Packages with a picture that a reference has by now are left out: goods that are known items are not ordinary."""
    of_a_reference = exists().where(
        ReferencePictureRow.sha256 == CalibrationPictureRow.sha256, ReferencePictureRow.removed_at.is_(None)
    )
    rows = session.execute(
        select(
            CalibrationPackageRow.id,
            CalibrationPackageRow.content,
            CalibrationPackageRow.counts,
            CalibrationVectorRow.vector,
            CalibrationPictureRow.stored,
            of_a_reference,
        )
        .select_from(CalibrationPackagePictureRow)
        .join(CalibrationPackageRow, CalibrationPackageRow.id == CalibrationPackagePictureRow.package_id)
        .join(CalibrationPictureRow, CalibrationPictureRow.id == CalibrationPackagePictureRow.picture_id)
        .outerjoin(CalibrationVectorRow, _vector_of(fingerprint))
        .order_by(CalibrationPackagePictureRow.package_id, CalibrationPackagePictureRow.picture_id)
    )
    packages: dict[int, list[bytes]] = {}
    known_items: set[int] = set()
    lost: set[int] = set()
    members: set[int] = set()
    lacking = 0
    for package_id, content, counts, vector, stored, of_reference in rows:
        if not succession.includes(content, counts):
            continue
        members.add(package_id)
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
        members=frozenset(members),
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
    for chosen in _parts(contents):
        known.update(
            session.scalars(select(CalibrationPackageRow.content).where(CalibrationPackageRow.content.in_(chosen)))
        )
    return known


def measurable_packages(session: Session, contents: Sequence[str], *, fingerprint: str) -> set[str]:
    """Those that are stored and have a vector of every picture in this embedding space."""
    lacks_a_vector = exists().where(
        CalibrationPackagePictureRow.package_id == CalibrationPackageRow.id,
        ~exists().where(
            CalibrationVectorRow.calibration_picture_id == CalibrationPackagePictureRow.picture_id,
            CalibrationVectorRow.fingerprint == fingerprint,
        ),
    )
    measurable: set[str] = set()
    for chosen in _parts(contents):
        measurable.update(
            session.scalars(
                select(CalibrationPackageRow.content).where(CalibrationPackageRow.content.in_(chosen), ~lacks_a_vector)
            )
        )
    return measurable


def known_calibration_pictures(session: Session, sha256s: Sequence[str]) -> set[str]:
    return set(_pictures(session, sha256s))


def add_packages(
    session: Session, packages: Sequence[OrdinaryPackage], *, source: str | None, fingerprint: str
) -> Additions:
    """Stores packages of different contents, with vectors in one embedding space; a hundred at once take milliseconds.
    They do not count before they `succeed`.

    What is stored already gets what it lacks: a picture a vector in this space, or that its bytes are kept now.
    """
    moment = now()
    contents = [package.content for package in packages]
    known = known_packages(session, contents)
    lost = known - measurable_packages(session, contents, fingerprint=fingerprint)
    offered: dict[str, OrdinaryPicture] = {}
    for picture in (picture for package in packages for picture in package.pictures):
        if picture.stored or picture.sha256 not in offered:
            offered[picture.sha256] = picture
    there = _pictures(session, list(offered))
    _insert(
        session,
        CalibrationPictureRow,
        (
            {
                "sha256": picture.sha256,
                "size_bytes": picture.size_bytes,
                "source": source,
                "created_at": moment,
                "stored": picture.stored,
            }
            for picture in offered.values()
            if picture.sha256 not in there
        ),
    )
    ids = {sha256: key for sha256, (key, _) in _pictures(session, list(offered)).items()}
    embedded = _with_vector(session, list(ids.values()), fingerprint)
    lacking = [sha256 for sha256, key in ids.items() if key not in embedded]
    _insert(
        session,
        CalibrationVectorRow,
        (
            {"calibration_picture_id": ids[sha256], "fingerprint": fingerprint, "vector": offered[sha256].vector}
            for sha256 in lacking
        ),
    )
    raised = [key for sha256, (key, stored) in there.items() if offered[sha256].stored and not stored]
    _set_stored(session, raised, stored=True)
    fresh = {package.content: package for package in packages if package.content not in known}
    _insert(
        session,
        CalibrationPackageRow,
        (
            {
                "content": content,
                "source": source,
                "screening_id": package.screening_id,
                "created_at": moment,
                "counts": False,
            }
            for content, package in fresh.items()
        ),
    )
    keys = _package_ids(session, list(fresh))
    _insert(
        session,
        CalibrationPackagePictureRow,
        (
            {"package_id": keys[content], "picture_id": ids[sha256]}
            for content, package in fresh.items()
            for sha256 in sorted({picture.sha256 for picture in package.pictures})
        ),
    )
    return Additions(
        packages=frozenset(fresh),
        vectors=[(ids[sha256], fingerprint) for sha256 in lacking if sha256 in there],
        stored=raised,
        regained=len(lost),
    )


def take_back(session: Session, added: Additions) -> None:
    """Undoes one `add_packages`."""
    remove_packages(session, added.packages)
    if added.vectors:
        session.connection().execute(
            delete(CalibrationVectorRow).where(
                CalibrationVectorRow.calibration_picture_id == bindparam("picture_id"),
                CalibrationVectorRow.fingerprint == bindparam("space"),
            ),
            [{"picture_id": key, "space": fingerprint} for key, fingerprint in added.vectors],
        )
    _set_stored(session, added.stored, stored=False)


def remove_packages(session: Session, contents: Collection[str]) -> None:
    """With the pictures that no other package has."""
    keys = list(_package_ids(session, list(contents)).values())
    pictures: set[int] = set()
    for chosen in _parts(keys):
        members = CalibrationPackagePictureRow.package_id.in_(chosen)
        pictures.update(session.scalars(select(CalibrationPackagePictureRow.picture_id).where(members)))
        _delete(session, CalibrationPackagePictureRow, members)
        _delete(session, CalibrationPackageRow, CalibrationPackageRow.id.in_(chosen))
    for chosen in _parts(sorted(pictures)):
        used = select(CalibrationPackagePictureRow.picture_id).where(
            CalibrationPackagePictureRow.picture_id.in_(chosen)
        )
        unused = sorted(set(chosen) - set(session.scalars(used)))
        _delete(session, CalibrationVectorRow, CalibrationVectorRow.calibration_picture_id.in_(unused))
        _delete(session, CalibrationPictureRow, CalibrationPictureRow.id.in_(unused))


def _parts(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """As many as fit into one statement."""
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def _pictures(session: Session, sha256s: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """The id of each that is stored, and whether its bytes are."""
    columns = select(CalibrationPictureRow.sha256, CalibrationPictureRow.id, CalibrationPictureRow.stored)
    return {
        sha256: (key, stored)
        for chosen in _parts(sha256s)
        for sha256, key, stored in session.execute(columns.where(CalibrationPictureRow.sha256.in_(chosen)))
    }


def _package_ids(session: Session, contents: Sequence[str]) -> dict[str, int]:
    columns = select(CalibrationPackageRow.content, CalibrationPackageRow.id)
    return {
        content: key
        for chosen in _parts(contents)
        for content, key in session.execute(columns.where(CalibrationPackageRow.content.in_(chosen)))
    }


def _with_vector(session: Session, picture_ids: Sequence[int], fingerprint: str) -> set[int]:
    found: set[int] = set()
    for chosen in _parts(picture_ids):
        found.update(
            session.scalars(
                select(CalibrationVectorRow.calibration_picture_id).where(
                    CalibrationVectorRow.calibration_picture_id.in_(chosen),
                    CalibrationVectorRow.fingerprint == fingerprint,
                )
            )
        )
    return found


def _insert(session: Session, table: type[Base], rows: Iterable[dict[str, Any]]) -> None:
    # Without rows the statement would insert one of defaults.
    if values := list(rows):
        session.execute(insert(table), values)


def _delete(session: Session, table: type[Base], which: ColumnElement[bool]) -> None:
    session.execute(delete(table).where(which), execution_options={"synchronize_session": False})


def _set_stored(session: Session, picture_ids: Sequence[int], *, stored: bool) -> None:
    for chosen in _parts(picture_ids):
        session.execute(
            update(CalibrationPictureRow).where(CalibrationPictureRow.id.in_(chosen)).values(stored=stored),
            execution_options={"synchronize_session": False},
        )


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
