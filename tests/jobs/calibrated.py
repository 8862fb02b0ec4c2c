"""A small catalogue with measured thresholds, for tests of calibration."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagescreen.database.background_set import count_background_pictures
from imagescreen.database.calibration_set import OrdinaryPackage, OrdinaryPicture
from imagescreen.database.calibration_succession import counting_packages
from imagescreen.database.index_versions import current_version
from imagescreen.database.tables import CalibrationPackageRow, CalibrationPictureRow, CalibrationVectorRow
from imagescreen.database.vectors import to_blob
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.ordinary_packages import NewPackage, ScreeningChoice, packages_of_screenings, single_pictures
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.references.enrolment import NewPicture
from tests.conftest import settings_of
from tests.matching.material import unit_vectors
from tests.material import new_reference, product

POLICY = "[rates]\nreview = 0.1\nhold = 0.05\n"
"""9 packages are enough for a review rate, 19 for a hold rate."""


@contextmanager
def calibrated(home: Path) -> Iterator[Workbench]:
    """One reference, and thresholds measured on 20 packages."""
    (home / "policy.toml").write_text(POLICY)
    with open_workbench(settings_of(home, policy_file=home / "policy.toml")) as opened:
        opened.enrolment.add_one(new_reference(1, title="Acme tote"))
        calibrate(opened, ordinary(20), total=20, source="test", built_by="test")
        yield opened


def vector_only(bench: Workbench, first: int, count: int, *, sha256: str | None = None) -> list[OrdinaryPackage]:
    """Packages of one picture of which only the vector is there, as those of screenings."""
    vectors = unit_vectors(count, bench.follower.serving.current().snapshot.dimension, seed=first)
    pictures = [
        OrdinaryPicture(sha256 or f"{first + n:064x}", 1, stored=False, vector=to_blob(vector))
        for n, vector in enumerate(vectors)
    ]
    return [OrdinaryPackage(picture.sha256, [picture]) for picture in pictures]


def choose(bench: Workbench, at_most: int = 1000) -> ScreeningChoice:
    rate = bench.policy.wishes.rates.review
    return packages_of_screenings(bench, since=None, until=None, review_rate=rate, at_most=at_most)


def state(bench: Workbench) -> tuple[object, ...]:
    """What must not change when nothing is written."""
    with bench.database.read() as session:
        current = current_version(session)
        background = count_background_pictures(session)
        tables = (CalibrationPackageRow, CalibrationPictureRow, CalibrationVectorRow)
        calibration = [session.query(table).count() for table in tables]
        kept = session.query(CalibrationPictureRow).filter_by(stored=True).count()
        versions = len(list(bench.versions_dir.iterdir()))
        return counting_packages(session), *calibration, kept, background, current and current.version, versions


def ordinary(count: int, first: int = 2000) -> list[NewPackage]:
    return list(single_pictures(NewPicture(f"{seed}.jpg", product(seed)) for seed in range(first, first + count)))
