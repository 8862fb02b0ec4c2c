"""Which index versions were built, and which one is current."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from imagescreen.database.feed import ChangeKind, append_change, now
from imagescreen.database.tables import ChangeRow, IndexActivationRow, IndexVersionRow, Json


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


@dataclass(frozen=True, slots=True)
class Activation:
    """That a version was made current; activating the same one again is another activation."""

    id: int
    version: str


def current_activation(session: Session) -> Activation | None:
    """The last activation; None before the first build."""
    row = session.execute(
        select(IndexActivationRow.id, IndexActivationRow.version).order_by(IndexActivationRow.id.desc()).limit(1)
    ).one_or_none()
    return None if row is None else Activation(row[0], row[1])


def record_version(
    session: Session,
    *,
    version: str,
    model: str,
    fingerprint: str,
    sequence: int,
    manifest: Json,
    built_at: datetime,
) -> None:
    """Keeps a version's row for good, also when its folder is deleted: old screenings name it. Twice is harmless."""
    if session.get(IndexVersionRow, version) is None:
        session.add(
            IndexVersionRow(
                version=version,
                model=model,
                fingerprint=fingerprint,
                sequence=sequence,
                manifest=manifest,
                built_at=built_at,
            )
        )
        session.flush()


def changed_references(session: Session, *, after: int) -> int:
    """How many references the feed names after a sequence number: what servers apply on top of a version."""
    changed = select(ChangeRow.reference_id).where(ChangeRow.sequence > after, ChangeRow.reference_id.is_not(None))
    return session.scalar(select(func.count()).select_from(changed.distinct().subquery())) or 0


class IndexVersionSummary(msgspec.Struct, frozen=True):
    """`on_disk` is false for one that was pruned: it cannot be made current again, but old screenings name it."""

    version: str
    model: str
    fingerprint: str
    sequence: int
    references: int
    pictures: int
    built_at: datetime
    current: bool
    on_disk: bool


def versions(session: Session, *, limit: int, on_disk: Collection[str]) -> list[IndexVersionSummary]:
    """Newest first; `on_disk` are the names of the versions whose folders are there."""
    current = current_version(session)
    rows = session.scalars(select(IndexVersionRow).order_by(IndexVersionRow.built_at.desc()).limit(limit))
    return [
        IndexVersionSummary(
            version=row.version,
            model=row.model,
            fingerprint=row.fingerprint,
            sequence=row.sequence,
            references=row.manifest["references"],
            pictures=row.manifest["pictures"],
            built_at=row.built_at,
            current=current is not None and row.version == current.version,
            on_disk=row.version in on_disk,
        )
        for row in rows
    ]
