"""Takes in packages of ordinary goods, and measures thresholds with them by building an index version."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from imagescreen.calibration.thresholds import check_sample_size
from imagescreen.database.background_set import known_background_pictures
from imagescreen.database.calibration_set import (
    add_package,
    count_packages,
    keep_only_packages,
    known_packages,
    remove_packages,
)
from imagescreen.database.index_versions import current_version
from imagescreen.database.vectors import from_blobs
from imagescreen.errors import ImagescreenError, InvalidContent
from imagescreen.jobs.build import Built, measure_only, stored_ordinary
from imagescreen.jobs.measure import Measured, Ordinary
from imagescreen.jobs.ordinary_packages import NewPackage, OrdinaryPackage, embed_packages
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.reindex import current_space, reindex
from imagescreen.jobs.workbench import Workbench

CHUNK = 64
"""Pictures embedded and committed together, or a little more."""


@dataclass(slots=True)
class Intake:
    """What became of the packages that were offered; `rejected` is (name, why), `taken` the contents of the others,
    of which `fresh` were not stored before.
    """

    added: int = 0
    known: int = 0
    fresh: set[str] = field(default_factory=set)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    taken: dict[str, OrdinaryPackage] = field(default_factory=dict)


def calibrate(
    bench: Workbench,
    packages: Iterable[NewPackage],
    *,
    total: int,
    source: str,
    replace: bool = False,
    built_by: str,
    progress: Progress = silent,
) -> tuple[Intake, Built]:
    """Adds ordinary packages, of `total` pictures, to the stored set (or replaces it), then builds and activates a
    version with thresholds measured on the whole set.

    A package that is stored already is kept once; one with a picture that a reference has is rejected by name, because
    goods that are known items are not ordinary. Raises InvalidContent when the set cannot support the policy's review
    rate, or there is nothing to measure against; nothing is changed then.
    """
    intake = Intake()
    with _undone_on_failure(bench, intake):
        done = 0
        for chunk in _chunks(packages):
            embedded, rejected = embed_packages(bench, chunk)
            intake.rejected += rejected
            _store(bench, embedded, source, intake)
            done += sum(len(package.pictures) for package in chunk)
            progress("embedding ordinary pictures", done, total)
        return intake, _finish(bench, intake, replace=replace, built_by=built_by, progress=progress)


def calibrate_with(
    bench: Workbench,
    packages: Sequence[OrdinaryPackage],
    *,
    source: str,
    replace: bool = False,
    built_by: str,
    progress: Progress = silent,
) -> tuple[Intake, Built]:
    """The same with packages that have their vectors already, those of stored screenings."""
    intake = Intake()
    with _undone_on_failure(bench, intake):
        _store(bench, packages, source, intake)
        return intake, _finish(bench, intake, replace=replace, built_by=built_by, progress=progress)


def embed_all(
    bench: Workbench, packages: Iterable[NewPackage], *, total: int, progress: Progress = silent
) -> tuple[list[OrdinaryPackage], list[tuple[str, str]]]:
    """Packages, of `total` pictures, with their vectors and without their bytes, and (name, why) of the rejected ones;
    nothing is stored.
    """
    embedded: list[OrdinaryPackage] = []
    rejected: list[tuple[str, str]] = []
    done = 0
    for chunk in _chunks(packages):
        sound, unsound = embed_packages(bench, chunk)
        embedded += [OrdinaryPackage(package.content, package.pictures) for package in sound]
        rejected += unsound
        done += sum(len(package.pictures) for package in chunk)
        progress("embedding ordinary pictures", done, total)
    return embedded, rejected


def measure_with(
    bench: Workbench, packages: Sequence[OrdinaryPackage], *, replace: bool, progress: Progress = silent
) -> Measured:
    """What a calibration with these packages would measure; nothing is stored. Raises as `calibrate`."""
    with bench.database.read() as session:
        current = current_version(session)
    space = current_space(bench, current)
    with bench.database.read() as session:
        stored = stored_ordinary(session, space)
        known = set() if replace else known_packages(session, [package.content for package in packages])
    fresh = [package for package in {one.content: one for one in packages}.values() if package.content not in known]
    vectors = from_blobs([picture.vector for package in fresh for picture in package.pictures], space.dimension)
    sizes = np.array([len(package.pictures) for package in fresh], np.int64)
    ordinary = Ordinary(
        vectors=vectors if replace else np.concatenate([stored.vectors, vectors]),
        sizes=sizes if replace else np.concatenate([stored.sizes, sizes]),
        background=stored.background,
        names=stored.names,
        sha256s=stored.sha256s,
        lost=0 if replace else stored.lost,
    )
    measured = measure_only(bench, bench.policy, space, ordinary, progress=progress)
    _refuse_uncalibrated(measured)
    return measured


def _chunks(packages: Iterable[NewPackage]) -> Iterator[list[NewPackage]]:
    chunk: list[NewPackage] = []
    for package in packages:
        chunk.append(package)
        if sum(len(one.pictures) for one in chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@contextmanager
def _undone_on_failure(bench: Workbench, intake: Intake) -> Iterator[None]:
    """Takes back what was added when the calibration is refused."""
    try:
        yield
    except ImagescreenError:
        with bench.database.write() as session:
            remove_packages(session, intake.fresh)
        raise


def _store(bench: Workbench, packages: Sequence[OrdinaryPackage], source: str, intake: Intake) -> None:
    fingerprint = bench.follower.serving.current().snapshot.fingerprint
    different = {package.content: package for package in packages}
    intake.known += len(packages) - len(different)
    sha256s = [picture.sha256 for package in different.values() for picture in package.pictures]
    with bench.database.read() as session:
        known = known_packages(session, list(different))
        background = known_background_pictures(session, sha256s)
    for content, package in list(different.items()):
        if any(picture.sha256 in background for picture in package.pictures):
            intake.rejected.append((content[:16], "the background has one of its pictures"))
            del different[content]
        for sha256, data in package.data.items():
            bench.files.put(sha256, data)
    fresh = [package for content, package in different.items() if content not in known]
    with bench.database.write() as session:
        for package in fresh:
            add_package(
                session,
                package.content,
                package.pictures,
                source=source,
                screening_id=package.screening_id,
                fingerprint=fingerprint,
            )
    intake.added += len(fresh)
    intake.known += len(different) - len(fresh)
    intake.fresh.update(package.content for package in fresh)
    # Their bytes are stored by now, and would fill the memory.
    intake.taken.update(
        (content, OrdinaryPackage(content, package.pictures, screening_id=package.screening_id))
        for content, package in different.items()
    )


def _finish(bench: Workbench, intake: Intake, *, replace: bool, built_by: str, progress: Progress) -> Built:
    with bench.database.read() as session:
        stored = len(intake.taken) if replace else count_packages(session)
    check_sample_size(stored, bench.policy.wishes.rates)
    if replace:
        # Looked at before the old ones are forgotten.
        measure_with(bench, list(intake.taken.values()), replace=True, progress=progress)
        with bench.database.write() as session:
            keep_only_packages(session, intake.taken)
        intake.fresh.clear()
    return reindex(bench, built_by=built_by, check=_refuse_uncalibrated, progress=progress)


def _refuse_uncalibrated(measured: Measured) -> None:
    if measured.uncalibrated is not None:
        raise InvalidContent(measured.uncalibrated)
