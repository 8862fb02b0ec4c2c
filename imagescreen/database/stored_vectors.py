"""Every stored vector of one embedding space in one pass, in the order of the table: what a build reads.

A million rows go through here, so none of them becomes an ORM object or a UUID.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, and_, func, select, type_coerce
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import NullType

from imagescreen.database.matchable import matches_at
from imagescreen.database.tables import ReferencePictureRow, ReferenceRow, ReferenceVectorRow
from imagescreen.errors import BrokenIndex

KEY = np.dtype("S16")
_CHUNK = 8192


def _as_stored(column: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """As the driver returns it: SQLAlchemy's conversions cost a third of the time that reading takes."""
    return type_coerce(column, NullType())


def _key_bytes(keys: Iterable[UUID | bytes]) -> bytes:
    """SQLite keeps an id's 16 bytes; PostgreSQL's driver returns UUIDs."""
    return b"".join(key.bytes if isinstance(key, UUID) else key for key in keys)


@dataclass(frozen=True, slots=True, eq=False)
class MatchingReferences:
    """The references that match at a moment: `keys` (r,) ascending, their ids' 16 bytes, and for each in `labels` (r,)
    the row in `categories`; -1 for one that is no known item.
    """

    keys: NDArray[np.bytes_]
    labels: NDArray[np.int32]
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class VectorChunk:
    """n pictures of matching references: ids ascending over all chunks, the references' ids as 16 bytes each, labels
    as in `MatchingReferences`, vectors (n, d) float32. `seen` counts what was read, also of references that do not
    match, and `lacking` what of that has no vector in this embedding space.
    """

    picture_ids: NDArray[np.int64]
    reference_keys: NDArray[np.bytes_]
    labels: NDArray[np.int32]
    vectors: NDArray[np.float32]
    seen: int
    lacking: int


def count_present_pictures(session: Session) -> int:
    """Pictures that were not removed, of references in any state."""
    return (
        session.scalar(
            select(func.count()).select_from(ReferencePictureRow).where(ReferencePictureRow.removed_at.is_(None))
        )
        or 0
    )


def matching_references(session: Session, *, moment: datetime, known_item: str) -> MatchingReferences:
    """`known_item`: the kind whose categories count."""
    keys: list[UUID | bytes] = []
    labels: list[int] = []
    known: dict[str, int] = {}
    rows = session.connection().execute(
        select(_as_stored(ReferenceRow.id), ReferenceRow.kind, ReferenceRow.category).where(matches_at(moment)),
        execution_options={"yield_per": _CHUNK},
    )
    for key, kind, category in rows:
        keys.append(key)
        labels.append(known.setdefault(category, len(known)) if kind == known_item and category is not None else -1)
    together = np.frombuffer(_key_bytes(keys), KEY)
    order = np.argsort(together, kind="stable")
    return MatchingReferences(together[order], np.array(labels, np.int32)[order], tuple(known))


def stored_vectors(
    session: Session, references: MatchingReferences, *, fingerprint: str, dimension: int
) -> Iterator[VectorChunk]:
    """The vectors of every present picture of `references`, by picture id.

    Raises BrokenIndex that names the picture whose vector has another dimension.
    """
    # Ordered as the table is: the pictures are scanned, and no row waits in a temporary file to be sorted.
    rows = session.connection().execute(
        select(
            ReferencePictureRow.id,
            _as_stored(ReferencePictureRow.reference_id),
            _as_stored(ReferenceVectorRow.vector),
        )
        .outerjoin(
            ReferenceVectorRow,
            and_(
                ReferenceVectorRow.reference_picture_id == ReferencePictureRow.id,
                ReferenceVectorRow.fingerprint == fingerprint,
            ),
        )
        .where(ReferencePictureRow.removed_at.is_(None))
        .order_by(ReferencePictureRow.id),
        execution_options={"yield_per": _CHUNK},
    )
    for part in rows.partitions():
        present = [row for row in part if row[2] is not None]
        ids, reference_keys, blobs = zip(*present, strict=True) if present else ((), (), ())
        keys = np.frombuffer(_key_bytes(reference_keys), KEY)
        chosen, labels = _labels_of(keys, references)
        yield VectorChunk(
            picture_ids=np.array(ids, np.int64)[chosen],
            reference_keys=keys[chosen],
            labels=labels,
            vectors=_vectors(ids, blobs, dimension)[chosen],
            seen=len(part),
            lacking=len(part) - len(present),
        )


def _labels_of(keys: NDArray[np.bytes_], references: MatchingReferences) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Which of `keys` (n,) match, and the labels of those."""
    if not len(references.keys):
        return np.zeros(len(keys), np.bool_), np.empty(0, np.int32)
    rows = np.minimum(np.searchsorted(references.keys, keys), len(references.keys) - 1)
    chosen = references.keys[rows] == keys
    return chosen, references.labels[rows[chosen]]


def _vectors(ids: Sequence[int], blobs: Sequence[bytes], dimension: int) -> NDArray[np.float32]:
    together = b"".join(blobs)
    size = 4 * dimension
    if len(together) != size * len(blobs) or any(len(blob) != size for blob in blobs):
        wrong, blob = next((key, blob) for key, blob in zip(ids, blobs, strict=True) if len(blob) != size)
        raise BrokenIndex(
            f"the stored vector of reference picture {wrong} has {len(blob)} bytes, "
            f"one of this model has {size} ({dimension} dimensions)"
        )
    return np.frombuffer(together, "<f4").reshape(len(blobs), dimension)


def stored_pictures(
    session: Session, picture_ids: Sequence[int], *, fingerprint: str, dimension: int
) -> dict[int, tuple[UUID, NDArray[np.float32]]]:
    """A few pictures, also removed ones, that have a vector in this embedding space: reference id and vector (d,)."""
    rows = session.execute(
        select(ReferencePictureRow.id, ReferencePictureRow.reference_id, ReferenceVectorRow.vector)
        .join(ReferenceVectorRow, ReferenceVectorRow.reference_picture_id == ReferencePictureRow.id)
        .where(ReferencePictureRow.id.in_(picture_ids), ReferenceVectorRow.fingerprint == fingerprint)
    )
    return {row[0]: (row[1], _vectors((row[0],), (row[2],), dimension)[0]) for row in rows}
