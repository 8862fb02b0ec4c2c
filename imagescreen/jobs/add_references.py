"""Adds many references, in batches through the model. Safe to interrupt, and to run again."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagescreen.errors import ImagescreenError, InvalidContent
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Workbench
from imagescreen.references.enrolment import MAX_REFERENCES_A_COMMIT, Enrolled, NewPicture, NewReference
from imagescreen.references.offers import Offer
from imagescreen.references.owners import Owner

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
    """Enrols what is offered. One in words alone is skipped when a reference has its title and its words.

    An offer whose pictures one reference has already is skipped, with a warning when that has another title; one that
    has further pictures for a reference of the same title extends it. A picture that was removed from a reference stays
    removed.
    """
    report = Report()
    done = 0
    for batch in _batches(offers):
        _add_batch(bench, batch, report)
        done += len(batch)
        progress("adding references", done, len(offers))
    order = {offer.name: position for position, offer in enumerate(offers)}
    report.rejected.sort(key=lambda item: order[item[0]])
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
    described: list[tuple[str, list[str], list[str]]] = []
    taken: set[str] = set()
    later: list[Offer] = []
    for offer in batch:
        try:
            pictures = _read(bench, offer)
            if isinstance(offer.facts, InvalidContent):
                raise offer.facts
            owners = bench.enrolment.owners_ever(list(pictures))
            facts = offer.facts
            told = (facts.title, facts.words, facts.contrast_words)
            if not pictures and facts.words:
                if told in described or bench.enrolment.is_described(facts):
                    report.skipped += 1
                    continue
                described.append(told)
            if owners:
                _already_there(bench, offer.name, offer.facts.title, pictures=pictures, owners=owners, report=report)
            elif taken & set(pictures):
                # The same bytes twice in one batch: what becomes of this one depends on what becomes of the other.
                later.append(offer)
            else:
                taken.update(pictures)
                new.append((offer, NewReference(offer.facts, list(pictures.values()))))
        except ImagescreenError as error:
            report.rejected.append((offer.name, error.detail))
    if new:
        results = bench.enrolment.add([reference for _, reference in new])
        for (offer, _), result in zip(new, results, strict=True):
            _note(offer, result, report)
    if later:
        _add_batch(bench, later, report)


def _note(offer: Offer, result: Enrolled | ImagescreenError, report: Report) -> None:
    if isinstance(result, ImagescreenError):
        report.rejected.append((offer.name, result.detail))
        return
    report.added += 1
    report.warnings.extend(
        f"{offer.name}: {near.picture} nearly equals a picture of reference {near.reference_id} "
        f"({near.title!r}, similarity {near.similarity:.3f})"
        for near in result.near_duplicates
    )


def _read(bench: Workbench, offer: Offer) -> dict[str, NewPicture]:
    """The files by their sha256. Raises InvalidContent for what cannot be read, before reading what is too large."""
    settings = bench.settings
    if len(offer.pictures) > settings.max_pictures:
        raise InvalidContent(f"a reference has at most {settings.max_pictures} pictures, not {len(offer.pictures)}")
    pictures: dict[str, NewPicture] = {}
    for path in offer.pictures:
        data = read_picture_file(path, settings.max_picture_bytes)
        pictures.setdefault(
            hashlib.sha256(data).hexdigest(), NewPicture(path.name.encode("utf-8", "replace").decode(), data)
        )
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


def _already_there(
    bench: Workbench,
    name: str,
    title: str,
    *,
    pictures: Mapping[str, NewPicture],
    owners: Mapping[str, Owner],
    report: Report,
) -> None:
    """Some or all pictures belong to a reference already. Raises InvalidContent when it cannot be this one."""
    fresh = [picture for sha256, picture in pictures.items() if sha256 not in owners]
    distinct = {owner.reference_id: owner for owner in owners.values()}
    if len(distinct) > 1 or (fresh and any(owner.title != title for owner in distinct.values())):
        told = "; ".join(
            f"{picture.name} belongs to {owners[sha256].reference_id} ({owners[sha256].title!r})"
            for sha256, picture in pictures.items()
            if sha256 in owners
        )
        raise InvalidContent(f"other references have some of its pictures: {told}")
    (owner,) = distinct.values()
    if fresh:
        bench.enrolment.add_pictures(owner.reference_id, fresh, actor=None)
        report.extended += 1
        return
    report.skipped += 1
    if owner.title != title:
        report.warnings.append(f"{name}: skipped, reference {owner.reference_id} ({owner.title!r}) has its pictures")
