"""Keeps the background: pictures of ordinary goods that scores are normalised with, disjoint from the references."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from imagescreen.database.background_set import (
    NewBackgroundPicture,
    add_background_pictures,
    count_background_pictures,
    known_background_pictures,
    take_back_background_pictures,
)
from imagescreen.database.calibration_set import known_calibration_pictures
from imagescreen.database.feed import lock_feed
from imagescreen.database.vectors import to_blob
from imagescreen.embedding.model_config import Pixels
from imagescreen.errors import InvalidContent, PictureProblem
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Workbench
from imagescreen.pictures import PictureHeader
from imagescreen.references.enrolment import NewPicture
from imagescreen.serving.embed import embed_each, prepare

CHUNK = 64
"""Pictures embedded and committed together."""

MAX_PICTURES = 10_000
"""Every screened picture is compared with all of them; docs/performance.md tells what that costs."""


@dataclass(slots=True)
class BackgroundIntake:
    """What became of the pictures: `unreadable` and `refused`, which references or the calibration have (nearly), are
    (name, why).
    """

    added: int = 0
    known: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def add_background(
    bench: Workbench,
    pictures: Iterable[NewPicture],
    *,
    total: int,
    source: str,
    leave_out: bool = False,
    progress: Progress = silent,
) -> BackgroundIntake:
    """Adds pictures, which take effect with the next build.

    A picture that a reference has, or that is a near-duplicate of one, would lower the scores of that very reference:
    then nothing is added, or with `leave_out` the others are. Raises InvalidContent when the background would become
    larger than `MAX_PICTURES`; nothing is added then. Interrupted, it keeps what it had added, and goes on there when
    it is run again.
    """
    intake = BackgroundIntake()
    # The sha256 of what each commit added. A file must be named soon after it was put, or it is taken for an orphan.
    commits: list[list[str]] = []
    waiting = iter(pictures)
    done = 0
    try:
        while chunk := list(islice(waiting, CHUNK)):
            embedded = _embedded(bench, chunk, intake)
            if leave_out or not intake.refused:
                commits.append(_store(bench, embedded, source, intake))
            done += len(chunk)
            progress("embedding background pictures", done, total)
    except InvalidContent:
        _take_back(bench, commits)
        raise
    if intake.refused and not leave_out:
        _take_back(bench, commits)
    else:
        intake.added = sum(map(len, commits))
    return intake


def _store(
    bench: Workbench, pictures: Sequence[NewBackgroundPicture], source: str, intake: BackgroundIntake
) -> list[str]:
    """The sha256 of those that were not there."""
    fingerprint = bench.follower.serving.current().snapshot.fingerprint
    with bench.database.write() as session:
        lock_feed(session)
        known = known_background_pictures(session, [picture.sha256 for picture in pictures])
        new = [picture for picture in pictures if picture.sha256 not in known]
        if new and count_background_pictures(session) + len(new) > MAX_PICTURES:
            raise InvalidContent(
                f"the background would have more than {MAX_PICTURES} pictures, and no more are allowed, because every "
                "screened picture is compared with all of them"
            )
        add_background_pictures(session, new, source=source, fingerprint=fingerprint)
    intake.known += len(known)
    return [picture.sha256 for picture in new]


def _take_back(bench: Workbench, commits: Sequence[Sequence[str]]) -> None:
    for sha256s in commits:
        with bench.database.write() as session:
            take_back_background_pictures(session, sha256s)


def _embedded(bench: Workbench, chunk: Sequence[NewPicture], intake: BackgroundIntake) -> list[NewBackgroundPicture]:
    """Those that are not there and may be added, with their bytes in the store."""
    served = bench.follower.serving.current()
    read: dict[str, tuple[NewPicture, PictureHeader, Pixels]] = {}
    for new in chunk:
        try:
            header = bench.reader.header(new.data)
            if header.sha256 in read:
                intake.known += 1
            else:
                pixels = prepare(bench.reader, served.batcher.encoder, new.data, header)
                read[header.sha256] = (new, header, pixels)
        except PictureProblem as problem:
            intake.unreadable.append((new.name, problem.detail))
    for sha256, owner in bench.enrolment.owners(list(read)).items():
        new, _, _ = read.pop(sha256)
        intake.refused.append((new.name, f"reference {owner.reference_id} ({owner.title!r}) has this picture"))
    with bench.database.read() as session:
        for sha256 in known_background_pictures(session, list(read)):
            del read[sha256]
            intake.known += 1
        for sha256 in known_calibration_pictures(session, list(read)):
            new, _, _ = read.pop(sha256)
            intake.refused.append((new.name, "the calibration packages have this picture"))
    vectors = embed_each(served.batcher, [pixels for _, _, pixels in read.values()])
    sound = [
        (new, header, vector)
        for (new, header, _), vector in zip(read.values(), vectors, strict=True)
        if not isinstance(vector, PictureProblem)
    ]
    intake.unreadable += [
        (new.name, vector.detail)
        for (new, _, _), vector in zip(read.values(), vectors, strict=True)
        if isinstance(vector, PictureProblem)
    ]
    if not sound:
        return []
    near = bench.settings.near_duplicate_similarity
    nearest = served.snapshot.search(np.stack([vector for _, _, vector in sound]), count=1)
    embedded: list[NewBackgroundPicture] = []
    for (new, header, vector), found in zip(sound, nearest, strict=True):
        if found and found[0].similarity >= near:
            title = bench.catalogue.get(found[0].reference_id).title
            intake.refused.append(
                (
                    new.name,
                    f"it is a near-duplicate of reference {found[0].reference_id} ({title!r}), "
                    f"similarity {found[0].similarity:.3f}",
                )
            )
        else:
            bench.files.put(header.sha256, new.data)
            embedded.append(NewBackgroundPicture(new.name, header.sha256, header.size_bytes, to_blob(vector)))
    return embedded
