"""The record of screenings: written before the answer is given, read back as it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta
from sqlalchemy import ScalarSelect, bindparam, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from imagescreen.database.feed import now
from imagescreen.database.group_commit import GroupCommit
from imagescreen.database.session import Database
from imagescreen.database.tables import ReviewRow, ScreeningPictureRow, ScreeningRow
from imagescreen.errors import Conflict, NotFound
from imagescreen.screening.answer import Disposition, ScreeningAnswer
from imagescreen.screening.package import Package


class Decision(StrEnum):
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    UNSURE = "unsure"


class NewReview(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's decision on a screening. `reviewer` is as told, unverified while there are no accounts."""

    decision: Decision
    reason: Annotated[str, Meta(max_length=20_000)] | None = None
    reviewer: Annotated[str, Meta(max_length=500)] | None = None


class Review(msgspec.Struct, frozen=True):
    review_id: UUID
    screening_id: UUID
    decision: Decision
    reason: str | None
    reviewer: str | None
    reviewer_verified: bool
    created_at: datetime


class StoredScreening(ScreeningAnswer, frozen=True):
    """The answer as it was given, with the facts as sent and every review, the latest last."""

    package: Package
    reviews: list[Review]


class ScreeningSummary(msgspec.Struct, frozen=True):
    screening_id: UUID
    package_id: str
    revision: int
    participant: str
    disposition: Disposition
    flagged: bool
    incomplete: bool
    screened_at: datetime
    review: Decision | None


@dataclass(frozen=True, slots=True)
class PictureRecord:
    position: int
    status: str
    sha256: str | None
    size_bytes: int | None
    width: int | None
    height: int | None
    vector: bytes | None
    pdq: bytes | None
    stored: bool


@dataclass(frozen=True, slots=True)
class ScreeningFilter:
    """Only screenings that agree with every member that is given; `since` inclusive, `until` exclusive."""

    disposition: Disposition | None = None
    participant: str | None = None
    package_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


# Core statements, built once: a mapped object costs more than the insert itself.
_INSERT = insert(ScreeningRow)
_INSERT_PICTURES = insert(ScreeningPictureRow)
_FIND = select(ScreeningRow.content_hash, ScreeningRow.answer).where(
    ScreeningRow.participant == bindparam("participant"),
    ScreeningRow.package_id == bindparam("package_id"),
    ScreeningRow.revision == bindparam("revision"),
)


ScreeningRows: TypeAlias = tuple[dict[str, Any], list[dict[str, Any]]]
"""One screening by its columns, and its pictures by theirs."""


def insert_screenings(connection: Connection, screenings: Sequence[ScreeningRows]) -> None:
    connection.execute(_INSERT, [screening for screening, _ in screenings])
    pictures = [picture for _, own in screenings for picture in own]
    if pictures:
        connection.execute(_INSERT_PICTURES, pictures)


class ScreeningRecord:
    """`writer` commits the records of requests that come together in one transaction, by `insert_screenings`."""

    def __init__(self, database: Database, writer: GroupCommit[ScreeningRows]) -> None:
        self._database = database
        self._writer = writer
        self._find = database.prepared(_FIND)

    def find(self, package: Package, content_hash: str) -> ScreeningAnswer | None:
        """The stored answer for the same submission, if there is one. Raises Conflict when the content differs."""
        row = self._database.look_up(
            self._find,
            {
                "participant": package.participant,
                "package_id": package.package_id,
                "revision": package.revision,
            },
        )
        if row is None:
            return None
        stored_hash, stored = row
        answer = msgspec.json.decode(stored, type=ScreeningAnswer)
        if stored_hash != content_hash:
            raise Conflict(
                f"package {package.package_id!r} revision {package.revision} was screened before with other content "
                f"(screening {answer.screening_id}): send a corrected package with a higher `revision`"
            )
        return answer

    def add(
        self, answer: ScreeningAnswer, package: Package, content_hash: str, pictures: Sequence[PictureRecord]
    ) -> ScreeningAnswer:
        """Commits and returns the answer, or the one that a concurrent caller committed for the same submission.

        Raises Conflict when that one had other content.
        """
        screening = {
            "id": answer.screening_id,
            "participant": package.participant,
            "package_id": package.package_id,
            "revision": package.revision,
            "content_hash": content_hash,
            "disposition": answer.disposition.value,
            "incomplete": answer.incomplete,
            "package": msgspec.json.encode(package).decode(),
            "answer": msgspec.json.encode(answer).decode(),
            "fingerprint": answer.model.fingerprint,
            "index_version": answer.index.version or "",
            "sequence": answer.index.sequence,
            "policy_version": answer.policy.version,
            "screened_at": answer.screened_at,
        }
        try:
            self._writer.write((screening, [_picture_row(answer.screening_id, picture) for picture in pictures]))
        except IntegrityError:
            # The unique key decides: somebody else was first with the same submission.
            earlier = self.find(package, content_hash)
            if earlier is None:
                raise
            return earlier
        return answer

    def get(self, screening_id: UUID) -> StoredScreening:
        """Raises NotFound."""
        with self._database.read() as session:
            row = _row(session, screening_id)
            reviews = session.scalars(
                select(ReviewRow).where(ReviewRow.screening_id == screening_id).order_by(ReviewRow.id)
            ).all()
        members = msgspec.json.decode(row.answer)
        members["package"] = msgspec.json.decode(row.package)
        members["reviews"] = [msgspec.to_builtins(_review(review)) for review in reviews]
        return msgspec.convert(members, StoredScreening)

    def list(self, wanted: ScreeningFilter, *, limit: int, after: UUID | None = None) -> Sequence[ScreeningSummary]:
        """Newest first; `after` is the last id of the page before."""
        statement = select(ScreeningRow, latest_decision()).order_by(ScreeningRow.id.desc()).limit(limit)
        for name in ("disposition", "participant", "package_id"):
            value = getattr(wanted, name)
            if value is not None:
                statement = statement.where(getattr(ScreeningRow, name) == value)
        if wanted.since is not None:
            statement = statement.where(ScreeningRow.screened_at >= wanted.since)
        if wanted.until is not None:
            statement = statement.where(ScreeningRow.screened_at < wanted.until)
        if after is not None:
            statement = statement.where(ScreeningRow.id < after)
        with self._database.read() as session:
            return [_summary(row, decision) for row, decision in session.execute(statement)]

    def review(self, screening_id: UUID, new: NewReview) -> Review:
        """Adds a review; earlier ones stay. Raises NotFound."""
        with self._database.write() as session:
            _row(session, screening_id)
            row = ReviewRow(
                screening_id=screening_id,
                decision=new.decision.value,
                reason=new.reason,
                reviewer=new.reviewer,
                created_at=now(),
            )
            session.add(row)
            session.flush()
            return _review(row)


def latest_decision() -> ScalarSelect[str]:
    """The decision that counts for each `ScreeningRow` of the statement it is in; null without a review."""
    return (
        select(ReviewRow.decision)
        .where(ReviewRow.screening_id == ScreeningRow.id)
        .order_by(ReviewRow.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _picture_row(screening_id: UUID, picture: PictureRecord) -> dict[str, Any]:
    return {
        "screening_id": screening_id,
        "position": picture.position,
        "status": picture.status,
        "sha256": picture.sha256,
        "size_bytes": picture.size_bytes,
        "width": picture.width,
        "height": picture.height,
        "vector": picture.vector,
        "pdq": picture.pdq,
        "stored": picture.stored,
    }


def _row(session: Session, screening_id: UUID) -> ScreeningRow:
    row = session.get(ScreeningRow, screening_id)
    if row is None:
        raise NotFound(f"there is no screening {screening_id}")
    return row


def _review(row: ReviewRow) -> Review:
    return Review(
        review_id=row.id,
        screening_id=row.screening_id,
        decision=Decision(row.decision),
        reason=row.reason,
        reviewer=row.reviewer,
        reviewer_verified=False,
        created_at=row.created_at,
    )


def _summary(row: ScreeningRow, decision: str | None) -> ScreeningSummary:
    disposition = Disposition(row.disposition)
    return ScreeningSummary(
        screening_id=row.id,
        package_id=row.package_id,
        revision=row.revision,
        participant=row.participant,
        disposition=disposition,
        flagged=disposition.flagged,
        incomplete=row.incomplete,
        screened_at=row.screened_at,
        review=None if decision is None else Decision(decision),
    )
