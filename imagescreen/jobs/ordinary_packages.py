"""Packages of ordinary goods to calibrate with: from pictures, or from stored screenings."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from imagescreen.database.background_set import known_background_pictures
from imagescreen.database.calibration_set import OrdinaryPicture, package_content
from imagescreen.database.tables import ReviewRow, ScreeningPictureRow, ScreeningRow
from imagescreen.database.vectors import to_blob
from imagescreen.errors import InvalidContent, LowInformationPicture, PictureProblem, PictureTooSmall
from imagescreen.jobs.workbench import Workbench
from imagescreen.pictures import PictureHeader
from imagescreen.references.enrolment import NewPicture
from imagescreen.screening.answer import Disposition
from imagescreen.screening.record import Decision
from imagescreen.serving.embed import embed_each, prepare

_CHUNK = 500
_TOLERANCE = 0.1
"""Part of a promised rate by which packages that are missing from a sample may move it."""


@dataclass(frozen=True, slots=True)
class NewPackage:
    """Pictures that come together, and what to call them."""

    name: str
    pictures: Sequence[NewPicture]


@dataclass(frozen=True, slots=True)
class OrdinaryPackage:
    """With vectors. `data` are the pictures' bytes by their sha256, as far as they are at hand."""

    content: str
    pictures: Sequence[OrdinaryPicture]
    data: dict[str, bytes] = field(default_factory=dict)
    screening_id: UUID | None = None


def single_pictures(pictures: Iterable[NewPicture]) -> Iterator[NewPackage]:
    """A package of each picture."""
    return (NewPackage(picture.name, [picture]) for picture in pictures)


_Read: TypeAlias = dict[str, tuple[NewPicture, PictureHeader, NDArray[np.float32]]]


def embed_packages(
    bench: Workbench, packages: Sequence[NewPackage]
) -> tuple[list[OrdinaryPackage], list[tuple[str, str]]]:
    """Those that can be measured, and (name, why) of the others.

    What a screening would leave out of a package without holding it back, a blank or a very small picture, is left out
    here; any other picture that cannot be screened leaves out the package, whose highest score it may have had. So does
    one that a reference or the background has.
    """
    served = bench.follower.serving.current()
    read: list[tuple[NewPackage, _Read]] = []
    rejected: list[tuple[str, str]] = []
    for package in packages:
        try:
            read.append((package, _read(bench, package)))
        except InvalidContent as error:
            rejected.append((package.name, error.detail))
    sha256s = list({sha256 for _, pictures in read for sha256 in pictures})
    owners = bench.enrolment.owners(sha256s)
    with bench.database.read() as session:
        background = known_background_pictures(session, sha256s)
    embedded: list[OrdinaryPackage] = []
    for package, pictures in read:
        foreign = [
            *(
                f"reference {owners[sha256].reference_id} ({owners[sha256].title!r}) has {new.name}"
                for sha256, (new, _, _) in pictures.items()
                if sha256 in owners
            ),
            *(f"the background has {new.name}" for sha256, (new, _, _) in pictures.items() if sha256 in background),
        ]
        if foreign:
            rejected.append((package.name, "; ".join(foreign)))
            continue
        vectors = embed_each(served.batcher, [tensor for _, _, tensor in pictures.values()])
        problem = next((vector for vector in vectors if isinstance(vector, PictureProblem)), None)
        if problem is not None:
            rejected.append((package.name, problem.detail))
            continue
        embedded.append(
            OrdinaryPackage(
                content=package_content(pictures),
                pictures=[
                    OrdinaryPicture(sha256, header.size_bytes, stored=True, vector=to_blob(vector))
                    for (sha256, (_, header, _)), vector in zip(pictures.items(), vectors, strict=True)
                    if not isinstance(vector, PictureProblem)
                ],
                data={sha256: new.data for sha256, (new, _, _) in pictures.items()},
            )
        )
    return embedded, rejected


def _read(bench: Workbench, package: NewPackage) -> _Read:
    """Its pictures by their sha256. Raises InvalidContent when it cannot be measured."""
    encoder = bench.follower.serving.current().batcher.encoder
    read: _Read = {}
    unseen: list[str] = []
    for new in package.pictures:
        try:
            header = bench.reader.header(new.data)
            read[header.sha256] = (new, header, prepare(bench.reader, encoder, new.data, header))
        except (LowInformationPicture, PictureTooSmall) as problem:
            unseen.append(f"{new.name}: {problem.detail}")
        except PictureProblem as problem:
            raise InvalidContent(f"{new.name}: {problem.detail}") from None
    if not read:
        raise InvalidContent("; ".join(unseen) or "it has no pictures")
    return read


@dataclass(frozen=True, slots=True)
class ScreeningChoice:
    """Ordinary packages among stored screenings, and how many others there were of each kind."""

    packages: Sequence[OrdinaryPackage]
    others: Counter[str]


def packages_of_screenings(
    bench: Workbench, *, since: datetime | None, until: datetime | None, review_rate: float
) -> ScreeningChoice:
    """Screenings from `since` on and before `until` that stayed clear, or whose latest review is `dismissed`: only
    whole ones, made with the model that is current, and each set of pictures once. Their vectors are stored.

    Raises InvalidContent when there is none, when all were made with another model, or when flagged ones that nobody
    has decided on are so many that without them thresholds would be too low.
    """
    fingerprint = bench.follower.serving.current().snapshot.fingerprint
    others: Counter[str] = Counter()
    packages: dict[str, OrdinaryPackage] = {}
    with bench.database.read() as session:
        chosen: list[UUID] = []
        for screening_id, why_not in _judged(session, fingerprint, since, until):
            if why_not is None:
                chosen.append(screening_id)
            else:
                others[why_not] += 1
        for start in range(0, len(chosen), _CHUNK):
            for package in _stored_packages(session, chosen[start : start + _CHUNK]):
                if package.content in packages:
                    others["the same pictures again"] += 1
                packages.setdefault(package.content, package)
    if not packages:
        told = f": {_told(others)}" if others else ""
        raise InvalidContent(f"no stored screening of that time can be calibrated with{told}")
    undecided = others[_UNDECIDED]
    if undecided > _TOLERANCE * review_rate * len(packages):
        raise InvalidContent(
            f"{undecided} flagged screenings of that time are not decided on: without those of them that are ordinary, "
            f"thresholds would be too low for a rate of 1 in {1 / review_rate:g} of {len(packages)} packages; review "
            "them, or choose another time with --since and --until"
        )
    return ScreeningChoice(list(packages.values()), others)


_UNDECIDED = "flagged and not decided on"


def _told(others: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in others.most_common())


def _judged(
    session: Session, fingerprint: str, since: datetime | None, until: datetime | None
) -> Iterator[tuple[UUID, str | None]]:
    """Each screening of the time with why it is no ordinary package to measure, None where it is one."""
    latest = (
        select(ReviewRow.decision)
        .where(ReviewRow.screening_id == ScreeningRow.id)
        .order_by(ReviewRow.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = select(
        ScreeningRow.id, ScreeningRow.disposition, ScreeningRow.incomplete, ScreeningRow.fingerprint, latest
    ).order_by(ScreeningRow.id)
    if since is not None:
        statement = statement.where(ScreeningRow.screened_at >= since)
    if until is not None:
        statement = statement.where(ScreeningRow.screened_at < until)
    for screening_id, disposition, incomplete, made_with, decision in session.execute(statement):
        why_not = None
        if disposition == Disposition.NOT_SCREENABLE.value:
            why_not = "not screenable"
        elif incomplete:
            why_not = "incomplete"
        elif made_with != fingerprint:
            why_not = "made with another model"
        elif decision == Decision.CONFIRMED.value:
            why_not = "confirmed"
        elif decision == Decision.UNSURE.value or (disposition != Disposition.CLEAR.value and decision is None):
            why_not = _UNDECIDED
        yield screening_id, why_not


def _stored_packages(session: Session, screening_ids: Sequence[UUID]) -> Iterator[OrdinaryPackage]:
    rows = session.scalars(
        select(ScreeningPictureRow)
        .where(ScreeningPictureRow.screening_id.in_(screening_ids))
        .order_by(ScreeningPictureRow.screening_id, ScreeningPictureRow.position)
    )
    pictures: dict[UUID, list[OrdinaryPicture]] = {}
    for row in rows:
        if row.sha256 is not None and row.vector is not None:
            # Bytes that were kept are deleted with the screening, so that they cannot be counted on.
            pictures.setdefault(row.screening_id, []).append(
                OrdinaryPicture(row.sha256, row.size_bytes or 0, stored=False, vector=row.vector)
            )
    for screening_id, own in pictures.items():
        yield OrdinaryPackage(package_content({one.sha256 for one in own}), own, screening_id=screening_id)
