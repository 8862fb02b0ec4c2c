"""Packages of ordinary goods to calibrate with: from pictures, or from stored screenings."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest
from itertools import groupby
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from imagescreen.database.background_set import known_background_pictures
from imagescreen.database.calibration_set import OrdinaryPackage, OrdinaryPicture, package_content
from imagescreen.database.tables import ScreeningPictureRow, ScreeningRow
from imagescreen.database.vectors import to_blob
from imagescreen.embedding.model_config import Pixels
from imagescreen.errors import InvalidContent, LowInformationPicture, PictureProblem, PictureTooSmall
from imagescreen.jobs.workbench import Workbench
from imagescreen.pictures import PictureHeader
from imagescreen.references.enrolment import NewPicture
from imagescreen.screening.answer import Disposition
from imagescreen.screening.record import Decision, latest_decision
from imagescreen.serving.embed import embed_each, prepare

_CHUNK = 500
_ROWS_AT_ONCE = 8192
_TOLERANCE = 0.1
"""Part of a promised rate by which packages that are missing from a sample may move it."""


@dataclass(frozen=True, slots=True)
class NewPackage:
    """Pictures that come together, and what to call them."""

    name: str
    pictures: Sequence[NewPicture]


def single_pictures(pictures: Iterable[NewPicture]) -> Iterator[NewPackage]:
    """A package of each picture."""
    return (NewPackage(picture.name, [picture]) for picture in pictures)


def check_size(pictures: int, max_pictures: int) -> None:
    """Raises InvalidContent for a package larger than any that is screened: its highest score, of so many pictures,
    would lift the thresholds far above those of real packages.
    """
    if pictures > max_pictures:
        raise InvalidContent(
            f"it has {pictures} pictures, and a package has at most {max_pictures} (the setting max_pictures): a "
            "folder of packages has a sub-folder for each, and pictures that are a package of their own beside them"
        )


_Read: TypeAlias = dict[str, tuple[NewPicture, PictureHeader, Pixels]]


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
        vectors = embed_each(served.batcher, [pixels for _, _, pixels in pictures.values()])
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
    check_size(len(package.pictures), bench.settings.max_pictures)
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
    """Ordinary packages among stored screenings, and how many others there were of each kind.

    `eligible` screenings could have been taken, of which `drawn` were looked at: all, or a random sample of them.
    """

    packages: Sequence[OrdinaryPackage]
    others: Counter[str]
    eligible: int
    drawn: int


def packages_of_screenings(
    bench: Workbench, *, since: datetime | None, until: datetime | None, review_rate: float, at_most: int
) -> ScreeningChoice:
    """Screenings from `since` on and before `until` that stayed clear, or whose latest review is `dismissed`: only
    whole ones, made with the model that is current, and each set of pictures once. Their vectors are stored.

    Where there are more than `at_most`, a random sample is drawn, of the same screenings each time. One with a picture
    that some screening shows which was confirmed, or is flagged and not decided on, is left out, whenever that was: it
    may have stayed clear because there was no such reference yet.

    Raises InvalidContent when there is none, when all were made with another model, or when flagged ones that nobody
    has decided on are so many that without them thresholds would be too low.
    """
    fingerprint = bench.follower.serving.current().snapshot.fingerprint
    others: Counter[str] = Counter()
    eligible = 0

    def candidates() -> Iterator[tuple[bytes, UUID]]:
        nonlocal eligible
        for screening_id, why_not in _judged(session, fingerprint, since, until):
            if why_not is None:
                eligible += 1
                yield _lot(screening_id), screening_id
            else:
                others[why_not] += 1

    packages: dict[str, OrdinaryPackage] = {}
    with bench.database.read() as session:
        # A month may have millions: only as many are held as are wanted.
        drawn = [screening_id for _, screening_id in nsmallest(at_most, candidates())]
        for start in range(0, len(drawn), _CHUNK):
            for package in _uncontested(session, drawn[start : start + _CHUNK], others):
                if package.content in packages:
                    others["the same pictures again"] += 1
                packages.setdefault(package.content, package)
    if not packages:
        told = f": {_told(others)}" if others else ""
        raise InvalidContent(f"no stored screening of that time can be calibrated with{told}")
    undecided = others[_UNDECIDED]
    # Undecided ones are counted over all of the time, so they are compared with all packages of it.
    of_the_time = round(len(packages) * eligible / len(drawn))
    if undecided > _TOLERANCE * review_rate * of_the_time:
        raise InvalidContent(
            f"{undecided} flagged screenings of that time are not decided on: without those of them that are ordinary, "
            f"thresholds would be too low for a rate of 1 in {1 / review_rate:g} of {of_the_time} packages; review "
            "them, or choose another time with --since and --until"
        )
    return ScreeningChoice(list(packages.values()), others, eligible, len(drawn))


_UNDECIDED = "flagged and not decided on"
_CONTESTED = "with a picture of another that was confirmed, or is flagged and not decided on"


def _lot(screening_id: UUID) -> bytes:
    """What decides whether it is drawn: nothing that a sender could choose, and the same when a run is repeated."""
    return hashlib.blake2b(screening_id.bytes, digest_size=8).digest()


def _told(others: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in others.most_common())


def _judged(
    session: Session, fingerprint: str, since: datetime | None, until: datetime | None
) -> Iterator[tuple[UUID, str | None]]:
    """Each screening of the time with why it is no ordinary package to measure, None where it is one."""
    statement = select(
        ScreeningRow.id, ScreeningRow.disposition, ScreeningRow.incomplete, ScreeningRow.fingerprint, latest_decision()
    )
    if since is not None:
        statement = statement.where(ScreeningRow.screened_at >= since)
    if until is not None:
        statement = statement.where(ScreeningRow.screened_at < until)
    rows = session.execute(statement, execution_options={"yield_per": _ROWS_AT_ONCE})
    for screening_id, disposition, incomplete, made_with, decision in rows:
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


def _uncontested(session: Session, screening_ids: Sequence[UUID], others: Counter[str]) -> Iterator[OrdinaryPackage]:
    packages = list(_stored_packages(session, screening_ids))
    contested = _contested(session, list({picture.sha256 for package in packages for picture in package.pictures}))
    for package in packages:
        if any(picture.sha256 in contested for picture in package.pictures):
            others[_CONTESTED] += 1
        else:
            yield package


def _contested(session: Session, sha256s: Sequence[str]) -> set[str]:
    """Those of a screening of any time that was confirmed, or is flagged and not decided on."""
    speaks_against = func.coalesce(latest_decision(), ScreeningRow.disposition).in_(
        (Decision.CONFIRMED.value, Decision.UNSURE.value, Disposition.REVIEW.value, Disposition.HOLD.value)
    )
    found: set[str] = set()
    for start in range(0, len(sha256s), _CHUNK):
        rows = session.scalars(
            select(ScreeningPictureRow.sha256)
            .join(ScreeningRow, ScreeningRow.id == ScreeningPictureRow.screening_id)
            .where(ScreeningPictureRow.sha256.in_(sha256s[start : start + _CHUNK]), speaks_against)
            .distinct()
        )
        found.update(sha256 for sha256 in rows if sha256 is not None)
    return found


def _stored_packages(session: Session, screening_ids: Sequence[UUID]) -> Iterator[OrdinaryPackage]:
    rows = session.execute(
        select(
            ScreeningPictureRow.screening_id,
            ScreeningPictureRow.sha256,
            ScreeningPictureRow.size_bytes,
            ScreeningPictureRow.vector,
        )
        .where(
            ScreeningPictureRow.screening_id.in_(screening_ids),
            ScreeningPictureRow.sha256.is_not(None),
            ScreeningPictureRow.vector.is_not(None),
        )
        .order_by(ScreeningPictureRow.screening_id, ScreeningPictureRow.position)
    )
    for screening_id, own in groupby(rows, key=lambda row: row.screening_id):
        # Bytes that were kept are deleted with the screening, so that they cannot be counted on.
        pictures = [OrdinaryPicture(row.sha256, row.size_bytes or 0, stored=False, vector=row.vector) for row in own]
        content = package_content({picture.sha256 for picture in pictures})
        yield OrdinaryPackage(content, pictures, screening_id=screening_id)
