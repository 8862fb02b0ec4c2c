"""Deletes what is past its retention, and files that nothing names any more."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select

from imagescreen.database.feed import now
from imagescreen.database.tables import ReviewRow, ScreeningPictureRow, ScreeningRow
from imagescreen.errors import WrongUse
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.tidy import remove_orphans
from imagescreen.jobs.workbench import Store

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Purged:
    screenings: int
    files: int


def purge(store: Store, *, retention_days: int, progress: Progress = silent) -> Purged:
    """Deletes screenings older than `retention_days` with their reviews, then every picture file that nothing names.

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
    return Purged(screenings, remove_orphans(store, since=None, progress=progress))
