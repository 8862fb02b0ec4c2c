"""Another model, as an operator changes to it: interrupted, compared, refused, agreed to."""

import csv
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from imagescreen.database.index_versions import current_version
from imagescreen.database.tables import CalibrationVectorRow, ReferenceVectorRow
from imagescreen.embedding.manifest import installed_fingerprint
from imagescreen.jobs.activation import activate
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.ordinary_packages import single_pictures
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_store, open_workbench
from imagescreen.references.enrolment import NewPicture
from imagescreen.screening.package import Package, SubmittedPicture
from tests.conftest import ROOT, environment, script, settings_of
from tests.material import edited_product, new_reference, product
from tests.model_variant import install_variant

ORDINARY = 100
REFERENCES = 3


@contextmanager
def opened(home: Path) -> Iterator[Workbench]:
    with open_workbench(settings_of(home, weights_dir=home / "weights", keep_pictures="all")) as bench:
        yield bench


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References and ordinary pictures, two models, and three screenings; the version without thresholds is current,
    with which everything goes to review.
    """
    home = tmp_path_factory.mktemp("catalogue")
    install_variant(ROOT / "weights", home / "weights")
    with opened(home) as bench:
        bench.enrolment.add([new_reference(seed) for seed in range(1, REFERENCES + 1)])
        uncalibrated = reindex(bench, built_by="test").manifest.version
        ordinary = (NewPicture(f"{seed}.jpg", product(2000 + seed)) for seed in range(ORDINARY))
        calibrate(bench, single_pictures(ordinary), total=ORDINARY, source="test", built_by="test")
        activate(bench, uncalibrated, actor="test")
        bench.follower.poll()
        for name, picture in (("KNOWN", edited_product(1)), ("ORDINARY", product(2000)), ("PURGED", product(2001))):
            bench.screener.screen(Package(package_id=name), [SubmittedPicture(data=picture)])
    return home


@pytest.fixture
def home(catalogue: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(catalogue, tmp_path / "home"))


def current(home: Path) -> tuple[str, str]:
    """Version and model."""
    with open_store(settings_of(home)) as store, store.database.read() as session:
        row = current_version(session)
    assert row is not None
    return row.version, row.model


def vectors_of_variant(home: Path) -> int:
    fingerprint = installed_fingerprint("variant", home / "weights")
    with open_store(settings_of(home)) as store, store.database.read() as session:
        return sum(
            session.scalar(select(func.count()).select_from(table).where(table.fingerprint == fingerprint)) or 0
            for table in (ReferenceVectorRow, CalibrationVectorRow)
        )


def test_both_models_are_compared_and_nothing_is_switched_without_being_told(home: Path, tmp_path: Path) -> None:
    before = current(home)
    with opened(home) as bench:
        for path in (home / "data" / "pictures").glob("??/*"):
            if path.read_bytes() == product(2001):
                bench.files.remove(path.name)
                # It is an ordinary picture as well, which the new model must embed.
                lost = path.name
    done = script("reindex.py", "--model", "variant", home=home, weights_dir=str(home / "weights"))
    assert (done.returncode, lost in done.stderr) == (1, True), done.stderr
    with opened(home) as bench:
        bench.files.put(lost, product(2001))
    report = tmp_path / "changed.csv"
    told = script("reindex.py", "--model", "variant", "--report", report, home=home, weights_dir=str(home / "weights"))
    assert told.returncode == 1, told.stderr
    assert "3 stored screenings were screened with both models, 2 get another disposition" in told.stdout
    assert "review -> clear: 2" in told.stdout and "package ORDINARY, /v1/screenings/" in told.stdout
    rows = list(csv.DictReader(report.open(encoding="utf-8")))
    assert {(row["package_id"], row["before"], row["after"]) for row in rows} == {
        ("ORDINARY", "review", "clear"),
        ("PURGED", "review", "clear"),
    }
    assert current(home) == before
    found = re.search(r"scripts/index.py activate (\S+)", told.stderr)
    assert found is not None, told.stderr
    done = script("index.py", "activate", found[1], home=home, weights_dir=str(home / "weights"))
    assert done.returncode == 0, done.stderr
    assert current(home) == (found[1], "variant")


def test_a_killed_change_of_model_goes_on_and_embeds_nothing_twice(home: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reindex.py"), "--model", "variant", "--yes"]
    process = subprocess.Popen(
        command,
        env=environment(home, weights_dir=str(home / "weights")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and vectors_of_variant(home) <= REFERENCES:
        time.sleep(0.02)
    process.kill()
    process.wait()
    embedded = vectors_of_variant(home)
    assert REFERENCES < embedded < REFERENCES + ORDINARY
    again = script("reindex.py", "--model", "variant", "--yes", home=home, weights_dir=str(home / "weights"))
    assert again.returncode == 0, again.stderr
    left = ORDINARY + REFERENCES - embedded
    assert re.findall(r"embedding (?:references|calibration pictures) with variant \D+(\d+)/(\d+)", again.stderr) == [
        (str(left), str(left))
    ]
    assert (vectors_of_variant(home), current(home)[1]) == (REFERENCES + ORDINARY, "variant")


def test_references_that_are_added_before_the_switch_are_not_lost(home: Path) -> None:
    from imagescreen.jobs.change_model import ModelChange

    with opened(home) as bench:
        change = ModelChange(bench, "variant", built_by="test")
        built = change.build()
        added = bench.enrolment.add_one(new_reference(9)).reference_id
        change.activate(built)
        bench.follower.poll()
        answer = bench.screener.match([SubmittedPicture(data=product(9))])
        assert answer.pictures[0].matches[0].reference_id == added
        assert answer.model.name == "variant"
        # The model stays now, so there is nothing to compare.
        assert not ModelChange(bench, "variant", built_by="test").changes_space


def test_options_of_another_model_alone_are_wrong_use(tmp_path: Path) -> None:
    done = script("reindex.py", "--yes", home=tmp_path)
    assert (done.returncode, "--model" in done.stderr) == (2, True)
