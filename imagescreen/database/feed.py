"""The ordered change feed: one entry for each change that a server process must take notice of."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from imagescreen.database.tables import ChangeRow, Json

_FEED_LOCK = 0x696D6773
"""Key of the advisory lock that lets one PostgreSQL writer at a time take feed numbers ("imgs")."""


class ChangeKind(StrEnum):
    REFERENCE_ADDED = "reference_added"
    REFERENCE_CHANGED = "reference_changed"
    PICTURES_ADDED = "pictures_added"
    PICTURE_REMOVED = "picture_removed"
    PICTURES_HASHED = "pictures_hashed"
    HASHES_ADDED = "hashes_added"
    REFERENCE_QUARANTINED = "reference_quarantined"
    REFERENCE_TRUSTED = "reference_trusted"
    INDEX_ACTIVATED = "index_activated"


def now() -> datetime:
    return datetime.now(UTC)


def lock_feed(session: Session) -> None:
    """One transaction at a time from here to its end, in all processes. SQLite's writers have that from the start.

    Taken before anything is read that decides about the write, e.g. which model is current.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _FEED_LOCK})


def append_change(
    session: Session,
    kind: ChangeKind,
    *,
    reference_id: UUID | None = None,
    actor: str | None = None,
    details: Json | None = None,
) -> int:
    """Adds an entry inside the caller's transaction and returns its sequence number.

    Numbers become visible in their order: SQLite has one writer anyway; on PostgreSQL the lock is held until the end.
    """
    lock_feed(session)
    row = ChangeRow(kind=kind, reference_id=reference_id, actor=actor, details=details or {}, at=now())
    session.add(row)
    session.flush()
    return row.sequence


def read_changes(session: Session, *, after: int, limit: int = 10_000) -> Sequence[ChangeRow]:
    """The entries after a sequence number, in order, at most `limit`."""
    return session.scalars(
        select(ChangeRow).where(ChangeRow.sequence > after).order_by(ChangeRow.sequence).limit(limit)
    ).all()


def last_sequence(session: Session) -> int:
    return session.scalar(select(func.max(ChangeRow.sequence))) or 0
