"""How packages and backgrounds are taken in: many, again, interrupted and refused."""

import hashlib
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import Connection, event, func, select
from sqlalchemy.exc import IntegrityError

from imagescreen.database.background_set import background_sha256s
from imagescreen.database.calibration_set import OrdinaryPackage, OrdinaryPicture, add_packages
from imagescreen.database.calibration_succession import Succession, succeed
from imagescreen.database.tables import (
    CalibrationPackageRow,
    CalibrationPictureRow,
    PolicyRow,
    ScreeningPictureRow,
    ScreeningRow,
)
from imagescreen.database.vectors import to_blob
from imagescreen.errors import InvalidContent
from imagescreen.jobs.background import CHUNK, add_background
from imagescreen.jobs.calibrate import calibrate, calibrate_with, embed_all, measure_with
from imagescreen.jobs.progress import silent
from imagescreen.jobs.tidy import remove_orphans
from imagescreen.jobs.workbench import Workbench
from imagescreen.references.enrolment import NewPicture
from tests.jobs.calibrated import calibrated, choose, ordinary, state, vector_only
from tests.matching.material import NOON, unit_vectors
from tests.material import product


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with calibrated(tmp_path) as opened:
        yield opened


def test_of_more_screenings_than_wanted_a_random_sample_is_taken_the_same_each_time(bench: Workbench) -> None:
    served = bench.follower.serving.current().snapshot
    vectors = unit_vectors(212, served.dimension)
    with bench.database.write() as session:
        policy = session.scalars(select(PolicyRow.version)).first()
        for n, vector in enumerate(vectors):
            key, flagged = UUID(int=n), n < 2
            session.add(
                ScreeningRow(
                    id=key,
                    participant="",
                    package_id=f"p{n}",
                    revision=1,
                    content_hash="",
                    disposition="hold" if flagged else "clear",
                    incomplete=False,
                    package="{}",
                    answer="{}",
                    fingerprint=served.fingerprint,
                    index_version=served.version,
                    sequence=1,
                    policy_version=policy,
                    screened_at=NOON,
                )
            )
            session.flush()
            session.add(
                ScreeningPictureRow(
                    screening_id=key,
                    position=0,
                    status="screened",
                    sha256=f"{n:064x}",
                    vector=to_blob(vector),
                    stored=False,
                )
            )
    # Two that nobody has decided on are not too many for all 210, of which the sample is a part.
    choice = choose(bench, at_most=40)
    assert (choice.drawn, choice.eligible, len(choice.packages)) == (40, 210, 40)
    assert {one.content for one in choice.packages} == {one.content for one in choose(bench, at_most=40).packages}
    numbers = sorted(int(one.content, 16) for one in choice.packages)
    assert numbers[0] < 53 and numbers[-1] > 158 and numbers != list(range(numbers[0], numbers[0] + 40))
    assert len(choose(bench).packages) == 210


def test_a_large_calibration_is_committed_in_parts_and_taken_back_whole_when_it_fails(bench: Workbench) -> None:
    before = state(bench)
    committed: list[int] = []

    def count(connection: Connection) -> None:
        committed.append(connection.scalar(select(func.count()).select_from(CalibrationPackageRow)) or 0)

    broken = vector_only(bench, 10_000, 230)
    broken[-1] = OrdinaryPackage("c" * 64, [OrdinaryPicture("c" * 64, 1, stored=False, vector=None)])  # type: ignore[arg-type]
    event.listen(bench.database.engine, "commit", count)
    try:
        with pytest.raises(IntegrityError):
            calibrate_with(bench, broken, source="screenings", built_by="test")
    finally:
        event.remove(bench.database.engine, "commit", count)
    assert max(committed) == 220 and max(np.diff([20, *committed])) == 100
    assert state(bench) == before
    # And when it is refused: five packages alone support no review rate.
    with pytest.raises(InvalidContent, match="5 ordinary packages"):
        calibrate_with(bench, vector_only(bench, 10_000, 5), source="screenings", replace=True, built_by="test")
    assert state(bench) == before


def test_packages_that_another_model_could_not_embed_count_again_when_they_are_offered_again(bench: Workbench) -> None:
    sha256 = hashlib.sha256(product(2800)).hexdigest()
    (of_another,) = vector_only(bench, 20_000, 1, sha256=sha256)
    (unseen,) = vector_only(bench, 20_001, 1)
    with bench.database.write() as session:
        add_packages(session, [of_another, unseen], source="screenings", fingerprint="e" * 64)
        succeed(session, Succession(frozenset([of_another.content, unseen.content])))
    before = state(bench)
    offered = ordinary(1, 2800)
    embedded, _ = embed_all(bench, offered, total=1)
    with pytest.raises(InvalidContent, match="1 ordinary packages"):
        calibrate(bench, offered, total=1, source="test", replace=True, built_by="test")
    assert state(bench) == before
    measured = measure_with(bench, embedded, replace=False)
    intake, built = calibrate(bench, offered, total=1, source="test", built_by="test")
    assert (intake.added, intake.known, intake.regained) == (0, 1, 1)
    assert built.measured.lost == measured.lost == 1
    assert built.thresholds == measured.thresholds
    assert built.thresholds is not None and built.thresholds.packages == 21
    assert bench.files.get(sha256) == product(2800)
    with bench.database.read() as session:
        assert session.query(CalibrationPictureRow).filter_by(sha256=sha256).one().stored
    assert calibrate(bench, offered, total=1, source="test", built_by="test")[0].regained == 0


def test_a_background_that_takes_hours_to_add_loses_no_file_and_goes_on_after_an_interruption(bench: Workbench) -> None:
    pictures = [NewPicture(f"{n}.jpg", product(2900) + bytes(n)) for n in range(CHUNK + 1)]

    def offered() -> Iterator[NewPicture]:
        yield from pictures[:CHUNK]
        hours_ago = time.time() - 5 * 3600
        for path in (bench.settings.data_dir / "pictures").glob("??/*"):
            os.utime(path, (hours_ago, hours_ago))
        remove_orphans(bench, since=None, progress=silent)
        yield pictures[CHUNK]

    def interrupted() -> Iterator[NewPicture]:
        yield from islice(offered(), CHUNK)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_background(bench, interrupted(), total=CHUNK + 1, source="shelf")
    intake = add_background(bench, offered(), total=CHUNK + 1, source="shelf")
    assert (intake.known, intake.added) == (CHUNK, 1)
    with bench.database.read() as session:
        names = background_sha256s(session)
    assert {bench.files.get(name) for name in names} == {picture.data for picture in pictures}
