"""Takes in pictures of ordinary goods, and measures thresholds with them by building an index version."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from imagescreen.calibration.thresholds import check_sample_size
from imagescreen.database.calibration_set import (
    add_calibration_picture,
    count_calibration_pictures,
    keep_only_calibration_pictures,
    known_calibration_pictures,
    remove_calibration_pictures,
)
from imagescreen.database.vectors import to_blob
from imagescreen.errors import InvalidContent, PictureProblem
from imagescreen.jobs.build import Built
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench
from imagescreen.pictures import PictureHeader
from imagescreen.references.enrolment import NewPicture
from imagescreen.serving.embed import embed_each, prepare

CHUNK = 64
"""Pictures embedded and committed together."""


@dataclass(slots=True)
class Intake:
    """What became of the pictures that were offered; `rejected` is (name, why), `taken` the sha256 of the others,
    of which `fresh` were not stored before.
    """

    added: int = 0
    known: int = 0
    fresh: set[str] = field(default_factory=set)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)


def calibrate(
    bench: Workbench,
    pictures: Iterable[NewPicture],
    *,
    total: int,
    source: str,
    replace: bool = False,
    built_by: str,
    progress: Progress = silent,
) -> tuple[Intake, Built]:
    """Adds ordinary pictures to the stored set (or replaces it), then builds and activates a version with thresholds
    measured on the whole set.

    A picture that is stored already is kept once; one that a reference has is rejected by name, because goods that are
    known items are not ordinary. Raises InvalidContent when the set is too small for the policy's rates; what was
    added stays then, so that more can be added to it, but a replacement is undone.
    """
    intake = Intake()
    waiting = iter(pictures)
    done = 0
    while chunk := list(islice(waiting, CHUNK)):
        _take(bench, chunk, source, intake)
        done += len(chunk)
        progress("embedding ordinary pictures", done, total)
    wishes = bench.policy.wishes
    with bench.database.read() as session:
        stored = len(intake.taken) if replace else count_calibration_pictures(session)
    try:
        check_sample_size(stored, wishes.rates, wishes.category_rates)
    except InvalidContent:
        if replace:
            with bench.database.write() as session:
                remove_calibration_pictures(session, intake.fresh)
        raise
    if replace:
        with bench.database.write() as session:
            keep_only_calibration_pictures(session, intake.taken)
    return intake, reindex(bench, built_by=built_by, progress=progress)


def _take(bench: Workbench, chunk: Sequence[NewPicture], source: str, intake: Intake) -> None:
    served = bench.follower.serving.current()
    read: dict[str, tuple[NewPicture, PictureHeader, NDArray[np.float32]]] = {}
    for new in chunk:
        try:
            header = bench.reader.header(new.data)
            if header.sha256 in read:
                intake.known += 1
            else:
                tensor = prepare(bench.reader, served.batcher.encoder, new.data, header)
                read[header.sha256] = (new, header, tensor)
        except PictureProblem as problem:
            intake.rejected.append((new.name, problem.detail))
    for sha256, owner in bench.enrolment.owners(list(read)).items():
        new, _, _ = read.pop(sha256)
        intake.rejected.append((new.name, f"reference {owner.reference_id} ({owner.title!r}) has this picture"))
    with bench.database.read() as session:
        for sha256 in known_calibration_pictures(session, list(read)):
            del read[sha256]
            intake.known += 1
            intake.taken.add(sha256)
    if not read:
        return
    embedded: dict[str, NDArray[np.float32]] = {}
    vectors = embed_each(served.batcher, [tensor for _, _, tensor in read.values()])
    for (new, header, _), vector in zip(read.values(), vectors, strict=True):
        if isinstance(vector, PictureProblem):
            intake.rejected.append((new.name, vector.detail))
        else:
            embedded[header.sha256] = vector
            bench.files.put(header.sha256, new.data)
    with bench.database.write() as session:
        for sha256, vector in embedded.items():
            add_calibration_picture(
                session,
                sha256=sha256,
                size_bytes=read[sha256][1].size_bytes,
                source=source,
                fingerprint=served.snapshot.fingerprint,
                vector=to_blob(vector),
            )
    intake.added += len(embedded)
    intake.fresh.update(embedded)
    intake.taken.update(embedded)
