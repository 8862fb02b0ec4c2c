import os
import shutil
import time
from pathlib import Path

import pytest

from imagescreen.database.calibration_succession import counting_packages
from imagescreen.database.index_versions import current_version
from imagescreen.database.tables import CalibrationPictureRow, CalibrationVectorRow
from imagescreen.embedding.encoder import installed_fingerprint
from imagescreen.errors import BrokenIndex, BrokenInstallation, FingerprintMismatch, IndexUnavailable, InvalidContent
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.ordinary_packages import NewPackage, single_pictures
from imagescreen.jobs.purge import purge
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.facts import facts_from_json
from imagescreen.settings import BUILT_IN_MODEL
from tests.conftest import ROOT, settings_of
from tests.material import blank, facts, new_reference, product
from tests.model_variant import install_variant


def ordinary(count: int, first: int = 2000) -> list[NewPackage]:
    return list(single_pictures(NewPicture(f"{seed}.jpg", product(seed)) for seed in range(first, first + count)))


def test_deleting_the_index_folder_loses_nothing(bench: Workbench, tmp_path: Path) -> None:
    bench.enrolment.add([new_reference(1), new_reference(2)])
    reindex(bench, built_by="test")
    shutil.rmtree(tmp_path / "index")
    with open_workbench(settings_of(tmp_path)) as restarted:
        assert restarted.follower.serving.current().snapshot.version is None
        assert "refused" in (restarted.follower.serving.problem or "")
        built = reindex(restarted, built_by="test")
        assert built.manifest.references == 2
        assert restarted.follower.serving.require_index().snapshot.version == built.manifest.version
        assert restarted.follower.serving.problem is None


def test_only_what_matches_now_is_in_a_version(bench: Workbench) -> None:
    bench.enrolment.add([new_reference(1), new_reference(2, state="draft"), new_reference(3, 4)])
    manifest = reindex(bench, built_by="test").manifest
    assert (manifest.references, manifest.pictures) == (2, 3)
    assert manifest.built_by == "test"


def test_calibration_writes_thresholds_into_the_version_and_later_builds_measure_again(bench: Workbench) -> None:
    bench.enrolment.add([new_reference(1), new_reference(2, category="recalled")])
    intake, built = calibrate(bench, ordinary(120), total=120, source="test", built_by="test")
    assert intake.added == 120
    assert built.thresholds is not None
    assert set(built.thresholds.categories) == {"counterfeit", "recalled"}
    assert built.thresholds.overall.review is not None
    assert built.thresholds.overall.hold is None
    assert bench.follower.serving.require_index().thresholds == built.thresholds
    bench.enrolment.add_one(new_reference(3, category="prohibited"))
    again = reindex(bench, built_by="test")
    assert again.thresholds is not None and "prohibited" in again.thresholds.categories


def test_a_calibration_set_that_is_too_small_is_refused_and_nothing_is_written(bench: Workbench) -> None:
    bench.enrolment.add_one(new_reference(1))
    reindex(bench, built_by="test")
    serving = bench.follower.serving.current().snapshot.version
    with pytest.raises(InvalidContent, match="at least 99 are needed, 59 more"):
        calibrate(bench, ordinary(40), total=40, source="test", built_by="test")
    with bench.database.read() as session:
        assert counting_packages(session) == set()
        assert session.query(CalibrationPictureRow).count() == session.query(CalibrationVectorRow).count() == 0
        assert current_version(session).version == serving  # type: ignore[union-attr]
    built = reindex(bench, built_by="test")
    assert built.thresholds is None and "no calibration packages" in (built.measured.uncalibrated or "")


def test_pictures_of_references_and_broken_ones_are_not_ordinary(bench: Workbench) -> None:
    bench.enrolment.add_one(new_reference(1, title="Acme tote"))
    wrong = [
        NewPackage("tote", [NewPicture("front.jpg", product(3001)), NewPicture("tote.jpg", product(1))]),
        NewPackage("cut", [NewPicture("front.jpg", product(3002)), NewPicture("cut.jpg", product(5)[:900])]),
        NewPackage("blank", [NewPicture("blank.png", blank())]),
        NewPackage("good", [NewPicture("front.jpg", product(3003)), NewPicture("blank.png", blank())]),
    ]
    intake, built = calibrate(bench, [*ordinary(100), *wrong], total=107, source="test", built_by="test")
    told = dict(intake.rejected)
    assert set(told) == {"tote", "cut", "blank"}
    assert "Acme tote" in told["tote"] and "cut.jpg" in told["cut"]
    assert built.thresholds is not None
    assert (built.thresholds.packages, built.thresholds.pictures) == (101, 101)


def test_replacing_the_calibration_set_forgets_the_old_one_only_when_the_new_one_suffices(bench: Workbench) -> None:
    bench.enrolment.add_one(new_reference(1))
    calibrate(bench, ordinary(100), total=100, source="old", built_by="test")
    with pytest.raises(Exception, match="at least 99"):
        calibrate(bench, ordinary(10, 3000), total=10, source="new", replace=True, built_by="test")
    still = reindex(bench, built_by="test").thresholds
    assert still is not None and still.packages == 100
    _, built = calibrate(bench, ordinary(100, 3000), total=100, source="new", replace=True, built_by="test")
    assert built.thresholds is not None and built.thresholds.packages == 100


@pytest.fixture
def two_models(tmp_path: Path) -> Path:
    """A weights folder with the built-in model and a second model made from it, in another embedding space."""
    return install_variant(ROOT / "weights", tmp_path / "weights")


def test_another_model_embeds_everything_again_and_serves_with_its_own_thresholds(
    tmp_path: Path, two_models: Path
) -> None:
    with open_workbench(settings_of(tmp_path, weights_dir=two_models)) as bench:
        bench.enrolment.add([new_reference(1), new_reference(2)])
        calibrate(bench, ordinary(100), total=100, source="test", built_by="test")
        before = bench.follower.serving.current()
        built = reindex(bench, model="variant", built_by="test")
        after = bench.follower.serving.current()
        assert (built.manifest.model, after.batcher.encoder.name) == ("variant", "variant")
        assert after.snapshot.fingerprint != before.snapshot.fingerprint
        assert after.snapshot.reference_count == 2
        assert after.thresholds is not None
        assert after.thresholds.fingerprint == after.snapshot.fingerprint
    # The setting names the model of the first build only: what is current keeps its own.
    with open_workbench(settings_of(tmp_path, weights_dir=two_models, model=BUILT_IN_MODEL)) as restarted:
        assert restarted.follower.serving.current().batcher.encoder.name == "variant"
        added = restarted.enrolment.add_one(new_reference(3))
        assert added.reference_id
        assert restarted.follower.serving.current().snapshot.reference_count == 3


def test_an_index_of_another_fingerprint_is_refused_naming_both(tmp_path: Path, two_models: Path) -> None:
    with open_workbench(settings_of(tmp_path, weights_dir=two_models)) as bench:
        bench.enrolment.add_one(new_reference(1))
        version = reindex(bench, model="variant", built_by="test").manifest.version
        of_variant = bench.follower.serving.current().snapshot.fingerprint
    # The same name, other content: as if somebody had replaced the model's files.
    shutil.rmtree(two_models / "variant")
    install_variant(ROOT / "weights", two_models, seed=1)
    with open_workbench(settings_of(tmp_path, weights_dir=two_models)) as restarted:
        with pytest.raises(FingerprintMismatch) as caught:
            restarted.loader.version(version)
        assert of_variant in caught.value.detail
        assert installed_fingerprint("variant", two_models) in caught.value.detail
        assert installed_fingerprint("variant", two_models) != of_variant
        with pytest.raises(Exception, match="was refused"):
            restarted.follower.serving.require_index()


def test_a_model_whose_files_were_replaced_is_embedded_anew_as_the_message_says(
    tmp_path: Path, two_models: Path
) -> None:
    with open_workbench(settings_of(tmp_path, weights_dir=two_models)) as bench:
        bench.enrolment.add_one(new_reference(1))
        reindex(bench, model="variant", built_by="test")
    shutil.rmtree(two_models / "variant")
    install_variant(ROOT / "weights", two_models, seed=1)
    with open_workbench(settings_of(tmp_path, weights_dir=two_models)) as restarted:
        with pytest.raises(FingerprintMismatch, match="--model variant"):
            reindex(restarted, built_by="test")
        reindex(restarted, model="variant", built_by="test")
        assert restarted.follower.serving.require_index().snapshot.reference_count == 1


def test_deleting_the_index_folder_keeps_the_model(tmp_path: Path, two_models: Path) -> None:
    with open_workbench(settings_of(tmp_path, weights_dir=two_models)) as bench:
        bench.enrolment.add_one(new_reference(1))
        reindex(bench, model="variant", built_by="test")
    shutil.rmtree(tmp_path / "index")
    with open_workbench(settings_of(tmp_path, weights_dir=two_models)) as restarted:
        assert reindex(restarted, built_by="test").manifest.model == "variant"


def test_a_process_that_started_before_a_switch_does_not_take_it_back(tmp_path: Path, two_models: Path) -> None:
    settings = settings_of(tmp_path, weights_dir=two_models)
    with open_workbench(settings) as early, open_workbench(settings) as other:
        early.enrolment.add_one(new_reference(1))
        reindex(other, model="variant", built_by="test")
        assert reindex(early, built_by="test").manifest.model == "variant"


def test_an_ordinary_picture_that_becomes_a_reference_no_longer_measures_thresholds(bench: Workbench) -> None:
    bench.enrolment.add_one(new_reference(1))
    _, before = calibrate(bench, ordinary(120), total=120, source="test", built_by="test")
    # The very bytes of one ordinary picture, and a near-copy of another with one byte more.
    bench.enrolment.add_one(new_reference(2000))
    copy = NewPicture("copy.jpg", product(2001) + b"\0")
    bench.enrolment.add_one(NewReference(facts("copy"), [copy]))
    after = reindex(bench, built_by="test")
    assert before.thresholds is not None and after.thresholds is not None
    assert after.thresholds.packages == 118
    review = after.thresholds.of("counterfeit").review
    assert review is not None and review < 0.999


def test_with_no_known_item_left_nothing_is_cleared(bench: Workbench) -> None:
    known = bench.enrolment.add_one(new_reference(1)).reference_id
    bench.enrolment.add_one(NewReference(facts_from_json({"title": "x", "kind": "genuine"}), new_reference(2).pictures))
    reindex(bench, built_by="test")
    bench.follower.serving.require_index()
    bench.catalogue.change(known, {"state": "suspended"})
    with pytest.raises(IndexUnavailable, match="no active reference to a known item"):
        bench.follower.serving.require_index()
    bench.catalogue.change(known, {"state": "active"})
    bench.follower.serving.require_index()


def test_a_stored_picture_that_is_gone_stops_a_new_model_by_name_and_the_old_one_serves(
    tmp_path: Path, two_models: Path
) -> None:
    with open_workbench(settings_of(tmp_path, weights_dir=two_models)) as bench:
        added = bench.enrolment.add_one(new_reference(1))
        version = reindex(bench, built_by="test").manifest.version
        (picture,) = bench.catalogue.get(added.reference_id).pictures
        bench.files.remove(picture.sha256)
        with pytest.raises(BrokenInstallation, match=picture.sha256):
            reindex(bench, model="variant", built_by="test")
        assert bench.follower.serving.require_index().snapshot.version == version


def test_a_build_with_a_model_that_not_everything_is_embedded_with_is_refused(tmp_path: Path, two_models: Path) -> None:
    with open_workbench(settings_of(tmp_path, weights_dir=two_models)) as bench:
        bench.enrolment.add_one(new_reference(1))
    with (
        open_workbench(settings_of(tmp_path, weights_dir=two_models, model="variant")) as other,
        pytest.raises(BrokenIndex, match="--model variant"),
    ):
        reindex(other, built_by="test")


def test_purging_keeps_what_is_named_and_young(bench: Workbench, tmp_path: Path) -> None:
    added = bench.enrolment.add_one(new_reference(1))
    orphan = "0" * 64
    bench.files.put(orphan, b"left by a writer that was killed")
    assert purge(bench, retention_days=30).files == 0
    for path in (tmp_path / "data" / "pictures").glob("??/*"):
        os.utime(path, (time.time() - 7200,) * 2)
    assert purge(bench, retention_days=30).files == 1
    (picture,) = bench.catalogue.get(added.reference_id).pictures
    assert bench.files.get(picture.sha256) == product(1)
