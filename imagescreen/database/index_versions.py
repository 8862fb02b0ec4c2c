"""Which index versions were built, and which one is current."""

from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from imagescreen.database.feed import ChangeKind, append_change, now
from imagescreen.database.tables import IndexActivationRow, IndexVersionRow


def current_version(session: Session) -> IndexVersionRow | None:
    """The version that was activated last; None before the first build."""
    return session.scalar(
        select(IndexVersionRow)
        .join(IndexActivationRow, IndexActivationRow.version == IndexVersionRow.version)
        .order_by(IndexActivationRow.id.desc())
        .limit(1)
    )


def activate_version(session: Session, version: str, *, actor: str | None) -> int:
    """Makes a recorded version current; returns the feed entry's sequence number."""
    sequence = append_change(session, ChangeKind.INDEX_ACTIVATED, actor=actor, details={"version": version})
    session.add(IndexActivationRow(version=version, sequence=sequence, actor=actor, at=now()))
    return sequence


def activations(session: Session, *, limit: int, before: int | None = None) -> list[IndexActivationRow]:
    """Newest first."""
    statement = select(IndexActivationRow).order_by(IndexActivationRow.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(IndexActivationRow.id < before)
    return cast(list[IndexActivationRow], list(session.scalars(statement)))
