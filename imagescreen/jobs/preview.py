"""What other thresholds would change: stored screenings, decided again from their vectors and hashes with both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, select

from imagescreen.calibration.scale import Scale
from imagescreen.database.tables import ScreeningPictureRow, ScreeningRow
from imagescreen.database.vectors import from_blobs
from imagescreen.jobs.compare import Change
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Workbench
from imagescreen.screening.answer import Disposition, PictureStatus
from imagescreen.screening.known_hashes import from_blob as hash_from_blob
from imagescreen.screening.matches import ReferenceLookup
from imagescreen.screening.rescreening import ScreenedPicture, disposition_of


@dataclass(frozen=True, slots=True)
class Preview:
    """`other_model`: stored screenings that were made with another model, so that nothing can be said of them."""

    compared: int
    other_model: int
    changes: Sequence[Change]


def preview(bench: Workbench, scale: Scale, *, sample: int, progress: Progress = silent) -> Preview:
    """Decides the newest `sample` screenings of the current model with what is served now, and with `scale` in place of
    its scores and thresholds: today's catalogue and policy on both sides.

    Raises IndexUnavailable when nothing is served.
    """
    before = bench.follower.serving.require_index()
    after = replace(before, scale=scale)
    lookup = ReferenceLookup(bench.database)
    fingerprint = before.snapshot.fingerprint
    with bench.database.read() as session:
        rows = session.scalars(
            select(ScreeningRow)
            .where(ScreeningRow.fingerprint == fingerprint)
            .order_by(ScreeningRow.id.desc())
            .limit(sample)
        ).all()
        other_model = session.scalar(
            select(func.count()).select_from(ScreeningRow).where(ScreeningRow.fingerprint != fingerprint)
        )
    changes: list[Change] = []
    for seen, row in enumerate(rows, start=1):
        pictures = _pictures(bench, row, before.snapshot.dimension)
        old, new = (
            disposition_of(served, lookup, bench.policy, pictures, limit=bench.settings.matches_limit)
            for served in (before, after)
        )
        if old is not new:
            recorded = Disposition(row.disposition)
            changes.append(Change(row.id, row.participant, row.package_id, row.revision, recorded, old, new))
        progress("deciding stored screenings", seen, len(rows))
    return Preview(len(rows), other_model or 0, changes)


def _pictures(bench: Workbench, row: ScreeningRow, dimension: int) -> list[ScreenedPicture]:
    with bench.database.read() as session:
        pictures = session.scalars(
            select(ScreeningPictureRow)
            .where(ScreeningPictureRow.screening_id == row.id)
            .order_by(ScreeningPictureRow.position)
        ).all()
    return [
        ScreenedPicture(
            picture.position,
            PictureStatus(picture.status),
            None if picture.vector is None else from_blobs([picture.vector], dimension)[0],
            picture.sha256,
            None if picture.pdq is None else hash_from_blob(picture.pdq),
        )
        for picture in pictures
    ]
