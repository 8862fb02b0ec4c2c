"""Adds many references, in batches through the model. Safe to interrupt, and to run again."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from imagescreen.errors import ImagescreenError, InvalidContent
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Workbench
from imagescreen.references.enrolment import MAX_REFERENCES_A_COMMIT, Enrolled, NewPicture, NewReference
from imagescreen.references.offers import Offer

BATCH_PICTURES = 64
"""Pictures that are held and embedded together; a commit never has more references than `MAX_REFERENCES_A_COMMIT`."""


@dataclass(slots=True)
class Report:
    """What became of the offers. `rejected` is (offer, why), `warnings` are sentences about near-duplicates."""

    added: int = 0
    extended: int = 0
    skipped: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def add_references(bench: Workbench, offers: Sequence[Offer], *, progress: Progress = silent) -> Report:
    """Enrols what is offered. An offer whose pictures all belong to one reference already is skipped; one of which that
    reference lacks some pictures extends it. A picture that was removed from a reference stays removed.
    """
    report = Report()
    done = 0
    for batch in _batches(offers):
        _add_batch(bench, batch, report)
        done += len(batch)
        progress("adding references", done, len(offers))
    return report


def _batches(offers: Sequence[Offer]) -> Iterator[list[Offer]]:
    batch: list[Offer] = []
    pictures = 0
    for offer in offers:
        if batch and (pictures + len(offer.pictures) > BATCH_PICTURES or len(batch) >= MAX_REFERENCES_A_COMMIT):
            yield batch
            batch, pictures = [], 0
        batch.append(offer)
        pictures += len(offer.pictures)
    if batch:
        yield batch


def _add_batch(bench: Workbench, batch: Sequence[Offer], report: Report) -> None:
    new: list[tuple[Offer, NewReference]] = []
    in_batch: dict[str, str] = {}
    for offer in batch:
        try:
            pictures = _read(bench, offer)
            owner = _owner(bench, pictures)
            if isinstance(offer.facts, InvalidContent):
                raise offer.facts
            if owner is not None:
                _extend(bench, offer, owner, pictures, report)
                continue
            _check_batch(in_batch, offer, pictures)
            new.append((offer, NewReference(offer.facts, list(pictures.values()))))
        except ImagescreenError as error:
            report.rejected.append((offer.name, error.detail))
    if not new:
        return
    for (offer, _), result in zip(new, bench.enrolment.add([reference for _, reference in new]), strict=True):
        if isinstance(result, Enrolled):
            report.added += 1
            report.warnings.extend(
                f"{offer.name}: {near.picture} nearly equals a picture of reference {near.reference_id} "
                f"({near.title!r}, similarity {near.similarity:.3f})"
                for near in result.near_duplicates
            )
        else:
            report.rejected.append((offer.name, result.detail))


def _read(bench: Workbench, offer: Offer) -> dict[str, NewPicture]:
    """The files by their sha256. Raises InvalidContent for what cannot be read, before reading what is too large."""
    settings = bench.settings
    if not 1 <= len(offer.pictures) <= settings.max_pictures:
        raise InvalidContent(f"a reference needs 1 to {settings.max_pictures} pictures, not {len(offer.pictures)}")
    pictures: dict[str, NewPicture] = {}
    for path in offer.pictures:
        data = read_picture_file(path, settings.max_picture_bytes)
        pictures.setdefault(hashlib.sha256(data).hexdigest(), NewPicture(path.name, data))
    return pictures


def read_picture_file(path: Path, max_bytes: int) -> bytes:
    """Raises InvalidContent for a file that is missing, unreadable or larger than `max_bytes`."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InvalidContent(f"{path.name} has {size} bytes; at most {max_bytes} are allowed")
        return path.read_bytes()
    except OSError as error:
        raise InvalidContent(f"{path.name} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InvalidContent(f"{path.name!r} is no usable file name: {error}") from None


def _owner(bench: Workbench, pictures: dict[str, NewPicture]) -> UUID | None:
    """The reference that has, or had, some of these pictures. Raises InvalidContent when several do."""
    owners = bench.enrolment.owners_ever(list(pictures))
    ids = {owner.reference_id for owner in owners.values()}
    if len(ids) > 1:
        told = "; ".join(
            f"{pictures[sha256].name} belongs to {owner.reference_id} ({owner.title!r})"
            for sha256, owner in sorted(owners.items(), key=lambda item: pictures[item[0]].name)
        )
        raise InvalidContent(f"its pictures belong to several references already: {told}")
    return next(iter(ids), None)


def _extend(bench: Workbench, offer: Offer, owner: UUID, pictures: dict[str, NewPicture], report: Report) -> None:
    known = bench.enrolment.owners_ever(list(pictures))
    fresh = [picture for sha256, picture in pictures.items() if sha256 not in known]
    if not fresh:
        report.skipped += 1
        return
    bench.enrolment.add_pictures(owner, fresh, actor=None)
    report.extended += 1


def _check_batch(in_batch: dict[str, str], offer: Offer, pictures: dict[str, NewPicture]) -> None:
    """The same bytes twice in one batch: the first offer keeps them, the second is told who has them."""
    for sha256, picture in pictures.items():
        if sha256 in in_batch:
            raise InvalidContent(f"{picture.name} has the same bytes as a picture of {in_batch[sha256]}")
    in_batch.update(dict.fromkeys(pictures, offer.name))
