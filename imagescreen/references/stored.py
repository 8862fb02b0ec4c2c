"""A reference as it is stored, and the way between rows and facts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from imagescreen.database.matchable import matches
from imagescreen.database.tables import ReferenceHashRow, ReferencePictureRow, ReferenceRow
from imagescreen.references.facts import FACT_NAMES, ReferenceFacts


class StoredPicture(msgspec.Struct, frozen=True):
    """One present picture of a reference; its bytes are at `…/pictures/{reference_picture_id}/content`."""

    reference_picture_id: int
    sha256: str
    size_bytes: int
    width: int
    height: int
    format: str
    created_at: datetime


class StoredHash(msgspec.Struct, frozen=True):
    """A hash that came without a picture; `pdq` in hexadecimal, `quality` where it was told."""

    sha256: str | None
    pdq: str | None
    quality: int | None
    created_at: datetime


class Quarantine(msgspec.Struct, frozen=True):
    """Since when and why a noisy reference leads to review at most; `scripts/references.py trust` lifts it."""

    since: datetime
    why: str


class StoredReference(ReferenceFacts, frozen=True, kw_only=True):
    """The facts, with what the service knows besides.

    `matches_now`: state and validity dates allow it to match at this moment. `submitted_by_verified` is false until
    there are accounts.
    """

    reference_id: UUID
    matches_now: bool
    submitted_by_verified: bool = False
    created_at: datetime
    updated_at: datetime
    pictures: list[StoredPicture]
    hashes: list[StoredHash]
    quarantine: Quarantine | None


def columns_of(facts: ReferenceFacts) -> dict[str, Any]:
    """Facts -> values of the columns of `reference`; moments stay datetimes, everything else is plain JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(facts, builtin_types=(datetime,))
    return {name: plain[name] for name in FACT_NAMES}


def facts_of(row: ReferenceRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FACT_NAMES}


def stored_reference(row: ReferenceRow, moment: datetime) -> StoredReference:
    """From a row with its pictures, hashes and quarantine loaded."""
    quarantine = row.quarantine
    return msgspec.convert(
        {
            **facts_of(row),
            "reference_id": row.id,
            "matches_now": matches(row, moment),
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "pictures": [stored_picture(picture) for picture in row.pictures if picture.removed_at is None],
            "hashes": [_stored_hash(one) for one in row.hashes if one.reference_picture_id is None],
            "quarantine": None
            if quarantine is None or quarantine.trusted_at is not None
            else Quarantine(quarantine.quarantined_at, quarantine.why),
        },
        StoredReference,
    )


def stored_picture(row: ReferencePictureRow) -> StoredPicture:
    return StoredPicture(
        reference_picture_id=row.id,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        width=row.width,
        height=row.height,
        format=row.format,
        created_at=row.created_at,
    )


def _stored_hash(row: ReferenceHashRow) -> StoredHash:
    return StoredHash(row.sha256, None if row.pdq is None else row.pdq.hex(), row.quality, row.created_at)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The members of `after` that differ, as plain JSON, for the audit log."""
    changed: dict[str, Any] = msgspec.to_builtins({k: v for k, v in after.items() if before.get(k) != v})
    return changed
