"""A calibration counts as a whole or not at all: ended at any moment, on a full disk, and beside other builds."""

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from imagescreen.database.calibration_succession import counting_packages
from imagescreen.database.index_versions import current_version
from imagescreen.database.tables import CalibrationPackageRow, CalibrationPictureRow
from imagescreen.errors import Conflict, ImagescreenError
from imagescreen.jobs.activation import activate_built
from imagescreen.jobs.build import build_version
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.calibration_leftovers import calibrating
from imagescreen.jobs.progress import silent
from imagescreen.jobs.reindex import current_space, rebuild
from imagescreen.jobs.workbench import Store, Workbench, open_store
from tests.conftest import settings_of
from tests.jobs.calibrated import calibrated, ordinary, state

NEW = 12


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    (tmp_path / "home").mkdir()
    with calibrated(tmp_path / "home") as opened:
        yield opened


def replace(bench: Workbench, progress: object = silent) -> None:
    """Three of the twenty packages stay, nine are new."""
    calibrate(
        bench,
        ordinary(NEW, 2017),
        total=NEW,
        source="test",
        replace=True,
        built_by="test",
        progress=progress,  # type: ignore[arg-type]
    )


def counting(store: Store) -> tuple[frozenset[str], str]:
    with store.database.read() as session:
        current = current_version(session)
        assert current is not None
        return frozenset(counting_packages(session)), current.version


def test_replaced_packages_count_until_the_version_with_the_new_thresholds_is_current(
    bench: Workbench, tmp_path: Path
) -> None:
    """What is on the disk at every commit and between the steps is what a kill would leave there."""
    home = bench.settings.data_dir.parent
    images: list[Path] = []

    def take_image(*_: object) -> None:
        images.append(Path(shutil.copytree(home, tmp_path / f"killed-{len(images)}")))

    def commit(_: Connection) -> None:
        take_image()

    before = counting(bench)
    event.listen(bench.database.engine, "commit", commit)
    try:
        replace(bench, take_image)
    finally:
        event.remove(bench.database.engine, "commit", commit)
    after = counting(bench)
    assert (len(before[0]), len(after[0]), len(before[0] & after[0])) == (20, NEW, 3)

    found = []
    for image in images:
        with open_store(settings_of(image, policy_file=image / "policy.toml")) as killed:
            found.append(counting(killed))
            built = rebuild(killed, bench.policy, built_by="test")
            assert built.thresholds is not None and built.thresholds.packages == len(found[-1][0])
            assert counting(killed) == (found[-1][0], built.manifest.version)
            with killed.database.read() as session:
                # The build has removed what does not count.
                assert session.query(CalibrationPackageRow).count() == len(found[-1][0])
                assert session.query(CalibrationPictureRow).count() == len(found[-1][0])
    assert set(found) == {before, after}
    # From one moment on the new ones count, and never the old ones again.
    assert found == sorted(found, key=lambda one: one == after)


def test_a_full_disk_leaves_the_packages_that_counted_although_nothing_can_be_undone(bench: Workbench) -> None:
    before, kept = state(bench), counting(bench)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(what: str, _done: int, _total: int) -> None:
        if what == "reading vectors":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))

    try:
        with pytest.raises(ImagescreenError):
            replace(bench, fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert counting(bench) == kept
    replace(bench)
    assert counting(bench)[1] != kept[1] and len(counting(bench)[0]) == NEW
    assert len(before) == len(state(bench))


def test_a_second_calibration_at_the_same_time_is_refused_and_adds_nothing(bench: Workbench) -> None:
    before = state(bench)
    with calibrating(bench), pytest.raises(Conflict, match="another calibration is at work"):
        replace(bench)
    assert state(bench) == before


def test_a_build_that_began_before_a_calibration_does_not_bring_the_old_thresholds_back(bench: Workbench) -> None:
    with bench.database.read() as session:
        seen = current_version(session)
    space = current_space(bench, seen)
    late = build_version(bench, bench.policy, space, built_by="server", progress=silent)
    replace(bench)
    calibrated_now = counting(bench)
    with pytest.raises(Conflict, match="changed the calibration packages"):
        activate_built(bench, late, seen=seen, actor="server")
    assert counting(bench) == calibrated_now
