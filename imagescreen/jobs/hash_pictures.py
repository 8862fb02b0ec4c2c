"""Hashes reference pictures that were added without the extra `pdq`. What is hashed stays, so it can go on."""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select

from imagescreen.database.feed import ChangeKind, append_change, lock_feed, now
from imagescreen.database.hashes import count_without_pdq, pictures_without_pdq
from imagescreen.database.tables import ReferenceHashRow
from imagescreen.errors import BrokenInstallation, ImagescreenError, WrongUse
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Store, new_reader
from imagescreen.pictures import PdqHasher, PictureHash, PictureReader

CHUNK = 100
"""Pictures in one commit."""

_DECODED_SIDE = 128
"""Pictures come with at least twice as many pixels on their shorter side, if they have them."""


@dataclass(slots=True)
class HashReport:
    """`failed` has a sentence for each picture that could not be hashed; it stays without, and is tried again."""

    hashed: int = 0
    failed: list[str] = field(default_factory=list)


def hash_pictures(store: Store, *, progress: Progress = silent) -> HashReport:
    """Running servers find copies of what was hashed within a second. Raises WrongUse without the extra."""
    hasher = PdqHasher.installed()
    if hasher is None:
        raise WrongUse("the extra `pdq` is not installed here: .venv/bin/pip install -e '.[pdq]'")
    reader, report, last = new_reader(store.settings), HashReport(), 0
    with store.database.read() as session:
        total = count_without_pdq(session)
    while True:
        with store.database.read() as session:
            chunk = pictures_without_pdq(session, after=last, limit=CHUNK)
        if not chunk:
            return report
        rows: list[ReferenceHashRow] = []
        for picture_id, reference_id, sha256 in chunk:
            try:
                found = _hash(store, reader, hasher, sha256)
            except ImagescreenError as error:
                report.failed.append(f"picture {picture_id} of reference {reference_id}: {error.detail}")
            else:
                rows.append(_row(picture_id, reference_id, found))
        _store(store, rows)
        last = chunk[-1][0]
        report.hashed += len(rows)
        progress("hashing pictures", report.hashed + len(report.failed), total)


def _hash(store: Store, reader: PictureReader, hasher: PdqHasher, sha256: str) -> PictureHash:
    data = store.files.get(sha256)
    header = reader.header(data)
    if header.sha256 != sha256:
        raise BrokenInstallation("its content is not what its name says")
    return hasher.hash(reader.read(data, header, reduce_to=_DECODED_SIDE).image)


def _row(picture_id: int, reference_id: UUID, found: PictureHash) -> ReferenceHashRow:
    return ReferenceHashRow(
        reference_id=reference_id,
        reference_picture_id=picture_id,
        pdq=found.upright,
        quality=found.quality,
        created_at=now(),
    )


def _store(store: Store, rows: list[ReferenceHashRow]) -> None:
    with store.database.write() as session:
        lock_feed(session)
        # Another process may have been hashing the same pictures.
        there = set(
            session.scalars(
                select(ReferenceHashRow.reference_picture_id).where(
                    ReferenceHashRow.reference_picture_id.in_([row.reference_picture_id for row in rows])
                )
            )
        )
        fresh = [row for row in rows if row.reference_picture_id not in there]
        session.add_all(fresh)
        for reference_id in sorted({row.reference_id for row in fresh}):
            append_change(session, ChangeKind.PICTURES_HASHED, reference_id=reference_id)
