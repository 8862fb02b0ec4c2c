"""Removes what a killed writer left: picture files that no committed transaction names, packages that do not count."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from imagescreen.database.feed import now
from imagescreen.database.tables import (
    BackgroundPictureRow,
    CalibrationPictureRow,
    ReferencePictureRow,
    ScreeningPictureRow,
)
from imagescreen.jobs.calibration_leftovers import remove_leftovers_unless_calibrating
from imagescreen.jobs.progress import Progress
from imagescreen.jobs.workbench import Store

ORPHAN_AGE = timedelta(hours=1)
"""A younger file may be named by a transaction that is still under way."""

_CHUNK = 500


def tidy(store: Store, progress: Progress) -> int:
    """Run by every build; returns how many files were removed.

    Looks only at what was put since the last time, so that its cost does not grow with the catalogue. A file that was
    named and is no more (a removed picture, a purged screening) is `purge`'s, which looks at all of them.
    """
    remove_leftovers_unless_calibrating(store)
    until = now() - ORPHAN_AGE
    removed = remove_orphans(store, since=store.files.tidied_until(), progress=progress)
    store.files.note_tidied(until)
    return removed


def remove_orphans(store: Store, *, since: datetime | None, progress: Progress) -> int:
    """Removes unfinished files, and files put after `since` (None: ever) that neither a present reference picture, a
    calibration or background picture nor a kept screening picture names. Returns how many.
    """
    removed = store.files.remove_unfinished(ORPHAN_AGE, since=since)
    seen = 0
    for chunk in _chunks(store.files.older_than(ORPHAN_AGE, since=since)):
        with store.database.read() as session:
            orphans = set(chunk) - _named(session, chunk)
        for sha256 in sorted(orphans):
            # Looked at again under the write lock: nobody can commit the name between the look and the removal.
            with store.database.write() as session:
                if not _named(session, [sha256]) and store.files.remove_if_older(sha256, ORPHAN_AGE):
                    removed += 1
        seen += len(chunk)
        progress("looking for orphaned files", seen, seen)
    return removed


def _chunks(names: Iterable[str]) -> Iterator[Sequence[str]]:
    waiting = iter(names)
    while chunk := list(islice(waiting, _CHUNK)):
        yield chunk


def _named(session: Session, sha256s: Sequence[str]) -> set[str]:
    named: set[str] = set()
    for statement in (
        select(ReferencePictureRow.sha256).where(
            ReferencePictureRow.sha256.in_(sha256s), ReferencePictureRow.removed_at.is_(None)
        ),
        select(CalibrationPictureRow.sha256).where(
            CalibrationPictureRow.sha256.in_(sha256s), CalibrationPictureRow.stored.is_(True)
        ),
        select(BackgroundPictureRow.sha256).where(BackgroundPictureRow.sha256.in_(sha256s)),
        select(ScreeningPictureRow.sha256).where(
            ScreeningPictureRow.sha256.in_(sha256s), ScreeningPictureRow.stored.is_(True)
        ),
    ):
        named.update(sha256 for sha256 in session.scalars(statement) if sha256 is not None)
    return named
