"""Deletes what is past its retention, and files that nothing names any more."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from imagescreen.database.feed import now
from imagescreen.database.tables import (
    CalibrationPictureRow,
    ReferencePictureRow,
    ReviewRow,
    ScreeningPictureRow,
    ScreeningRow,
)
from imagescreen.errors import WrongUse
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Store

CHUNK = 500

ORPHAN_AGE = timedelta(hours=1)
"""A younger file may be named by a transaction that is still under way."""


@dataclass(frozen=True, slots=True)
class Purged:
    screenings: int
    files: int


def purge(store: Store, *, retention_days: int, progress: Progress = silent) -> Purged:
    """Deletes screenings older than `retention_days` with their reviews, then picture files that neither a present
    reference picture, a calibration picture nor a kept screening picture names.

    A file younger than an hour stays: a writer may be about to commit its name. Raises WrongUse for 0 days.
    """
    if retention_days < 1:
        raise WrongUse("retention is not set: give --days, or set IMAGESCREEN_RETENTION_DAYS")
    before = now() - timedelta(days=retention_days)
    screenings = 0
    while True:
        with store.database.write() as session:
            ids = session.scalars(select(ScreeningRow.id).where(ScreeningRow.screened_at < before).limit(CHUNK)).all()
            for table in (ReviewRow, ScreeningPictureRow):
                session.execute(delete(table).where(table.screening_id.in_(ids)))
            session.execute(delete(ScreeningRow).where(ScreeningRow.id.in_(ids)))
        screenings += len(ids)
        progress("deleting screenings", screenings, screenings)
        if len(ids) < CHUNK:
            break
    return Purged(screenings, _purge_files(store, progress))


def _purge_files(store: Store, progress: Progress) -> int:
    removed = store.files.remove_unfinished(ORPHAN_AGE)
    for seen, sha256 in enumerate(store.files.older_than(ORPHAN_AGE), start=1):
        with store.database.read() as session:
            orphaned = not _is_named(session, sha256)
        if orphaned:
            # Looked at again under the write lock: nobody can commit the name between the look and the removal.
            with store.database.write() as session:
                if not _is_named(session, sha256) and store.files.remove_if_older(sha256, ORPHAN_AGE):
                    removed += 1
        progress("looking for orphaned files", seen, seen)
    return removed


def _is_named(session: Session, sha256: str) -> bool:
    picture = select(ReferencePictureRow.id).where(
        ReferencePictureRow.sha256 == sha256, ReferencePictureRow.removed_at.is_(None)
    )
    ordinary = select(CalibrationPictureRow.id).where(CalibrationPictureRow.sha256 == sha256)
    screened = select(ScreeningPictureRow.position).where(
        ScreeningPictureRow.sha256 == sha256, ScreeningPictureRow.stored.is_(True)
    )
    return any(session.scalar(statement.limit(1)) is not None for statement in (picture, ordinary, screened))
