"""Takes in packages of ordinary goods, and measures thresholds with them by building an index version."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from imagescreen.calibration.thresholds import NOTHING_TO_MEASURE_AGAINST, check_sample_size
from imagescreen.database.background_set import known_background_pictures
from imagescreen.database.calibration_set import (
    Additions,
    OrdinaryPackage,
    add_packages,
    measurable_packages,
    take_back,
)
from imagescreen.database.calibration_succession import Succession, counting_packages
from imagescreen.database.feed import lock_feed, now
from imagescreen.database.index_versions import current_version
from imagescreen.database.matchable import any_known_item_matches
from imagescreen.database.vectors import from_blobs
from imagescreen.errors import InvalidContent
from imagescreen.jobs.build import Built, measure_only, stored_ordinary
from imagescreen.jobs.calibration_leftovers import PACKAGES_A_COMMIT, calibrating, remove_leftovers
from imagescreen.jobs.measure import Measured, Ordinary
from imagescreen.jobs.ordinary_packages import NewPackage, embed_packages
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.reindex import build_current, current_space
from imagescreen.jobs.tidy import tidy
from imagescreen.jobs.workbench import Store, Workbench
from imagescreen.references.facts import ReferenceKind
from imagescreen.screening.policy import Policy

CHUNK = 64
"""Pictures embedded and committed together, or a little more."""


@dataclass(slots=True)
class Intake:
    """What became of the packages that were offered; `rejected` is (name, why), `taken` the others by their content.

    `regained`: of those that were known, which could not be measured with the current model before. `additions`: what
    each commit added.
    """

    added: int = 0
    known: int = 0
    regained: int = 0
    additions: list[Additions] = field(default_factory=list)
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

    They count, and replaced ones no more, from the moment on at which that version is current. A package that is stored
    already is kept once, with the vectors and bytes that it lacked; one with a picture that a reference has is rejected
    by name, because goods that are known items are not ordinary. Raises InvalidContent when the set cannot support the
    policy's review rate, or there is nothing to measure against, and Conflict while another calibration is at work;
    nothing is changed then.
    """
    intake = Intake()
    with calibrating(bench), _undone_on_failure(bench, intake):
        remove_leftovers(bench)
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
    with calibrating(bench), _undone_on_failure(bench, intake):
        remove_leftovers(bench)
        for start in range(0, len(packages), PACKAGES_A_COMMIT):
            _store(bench, packages[start : start + PACKAGES_A_COMMIT], source, intake)
            progress("storing packages", min(start + PACKAGES_A_COMMIT, len(packages)), len(packages))
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


def check_offered(store: Store, policy: Policy, packages: int, *, replace: bool) -> None:
    """Raises InvalidContent where so many new packages at most cannot be enough, or nothing is there to measure
    against, as far as that can be known before they are embedded: how many of them can be used is not.
    """
    with store.database.read() as session:
        counting = 0 if replace else len(counting_packages(session))
        if not any_known_item_matches(session, moment=now(), kind=ReferenceKind.KNOWN_ITEM.value):
            raise InvalidContent(NOTHING_TO_MEASURE_AGAINST)
    check_sample_size(packages + counting, policy.wishes.rates)


def measure_with(
    bench: Workbench, packages: Sequence[OrdinaryPackage], *, replace: bool, progress: Progress = silent
) -> Measured:
    """What a calibration with these packages would measure; nothing is stored. Raises as `calibrate`."""
    with bench.database.read() as session:
        current = current_version(session)
    space = current_space(bench, current)
    with bench.database.read() as session:
        stored = stored_ordinary(session, space)
        contents = [package.content for package in packages]
        counting = set() if replace else counting_packages(session)
        there = measurable_packages(session, contents, fingerprint=space.fingerprint) & counting
        regained = counting.intersection(contents) - there
    fresh = [package for package in {one.content: one for one in packages}.values() if package.content not in there]
    vectors = from_blobs([picture.vector for package in fresh for picture in package.pictures], space.dimension)
    sizes = np.array([len(package.pictures) for package in fresh], np.int64)
    ordinary = Ordinary(
        vectors=vectors if replace else np.concatenate([stored.vectors, vectors]),
        sizes=sizes if replace else np.concatenate([stored.sizes, sizes]),
        background=stored.background,
        names=stored.names,
        sha256s=stored.sha256s,
        lost=0 if replace else max(stored.lost - len(regained), 0),
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
    """Takes back what was added when the calibration is refused, fails or is interrupted."""
    try:
        yield
    except BaseException:
        for added in intake.additions:
            with bench.database.write() as session:
                take_back(session, added)
        raise


def _store(bench: Workbench, packages: Sequence[OrdinaryPackage], source: str, intake: Intake) -> None:
    fingerprint = bench.follower.serving.current().snapshot.fingerprint
    different = {package.content: package for package in packages}
    sha256s = [picture.sha256 for package in different.values() for picture in package.pictures]
    with bench.database.read() as session:
        background = known_background_pictures(session, sha256s)
    sound: list[OrdinaryPackage] = []
    for content, package in different.items():
        if any(picture.sha256 in background for picture in package.pictures):
            intake.rejected.append((content[:16], "the background has one of its pictures"))
            continue
        for sha256, data in package.data.items():
            bench.files.put(sha256, data)
        sound.append(package)
    with bench.database.write() as session:
        lock_feed(session)
        added = add_packages(session, sound, source=source, fingerprint=fingerprint)
    intake.additions.append(added)
    intake.added += len(added.packages)
    intake.known += len(packages) - len(different) + len(sound) - len(added.packages)
    intake.regained += added.regained
    # Their bytes are stored by now, and would fill the memory.
    intake.taken.update(
        (one.content, OrdinaryPackage(one.content, one.pictures, screening_id=one.screening_id)) for one in sound
    )


def _finish(bench: Workbench, intake: Intake, *, replace: bool, built_by: str, progress: Progress) -> Built:
    succession = Succession(frozenset(intake.taken), replaces=replace)
    with bench.database.read() as session:
        counting = set() if replace else counting_packages(session)
    check_sample_size(len(counting | succession.contents), bench.policy.wishes.rates)
    built = build_current(
        bench,
        bench.policy,
        built_by=built_by,
        succession=succession,
        check=_refuse_uncalibrated,
        # What is served is measured with them from then on: whatever fails afterwards, they stay.
        settled=intake.additions.clear,
        progress=progress,
    )
    remove_leftovers(bench)
    tidy(bench, progress)
    bench.follower.poll()
    return built


def _refuse_uncalibrated(measured: Measured) -> None:
    if measured.uncalibrated is not None:
        raise InvalidContent(measured.uncalibrated)
