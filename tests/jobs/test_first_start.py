import shutil
from pathlib import Path

from imagescreen.jobs.first_start import first_look, sample_lines
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_store, open_workbench
from imagescreen.references.catalogue import ReferenceFilter
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.facts import facts_from_json
from imagescreen.references.sample.catalogue import (
    SAMPLE_REFERENCES,
    cleared_sample_picture,
    held_sample_picture,
    reference_pictures,
)
from imagescreen.screening.answer import Disposition
from imagescreen.screening.package import SubmittedPicture
from tests.conftest import settings_of
from tests.material import new_reference


def test_an_empty_catalogue_wants_the_sample_and_a_filled_one_does_not(tmp_path: Path, sample_copy: Path) -> None:
    with open_store(settings_of(tmp_path / "empty")) as store:
        assert first_look(store).wants_sample
    with open_store(settings_of(sample_copy)) as store:
        look = first_look(store)
    assert (look.wants_sample, look.has_sample, look.advice) == (False, True, None)


def test_a_version_of_an_empty_catalogue_does_not_keep_the_sample_away(bench: Workbench, tmp_path: Path) -> None:
    reindex(bench, built_by="test")
    with open_store(settings_of(tmp_path)) as store:
        assert first_look(store).wants_sample


def test_the_sample_has_every_category_and_its_thresholds_are_measured(sample_bench: Workbench) -> None:
    rows = sample_bench.catalogue.list(ReferenceFilter(), limit=500)
    categories = {row.category for row in rows if row.category}
    assert len(categories) == 8
    thresholds = sample_bench.follower.serving.require_index().thresholds
    assert thresholds is not None
    assert set(thresholds.categories) == categories
    assert all(pair.hold is not None for pair in thresholds.categories.values())
    assert (thresholds.packages, thresholds.divided_review, thresholds.divided_hold) == (1000, True, False)
    assert disposition(sample_bench, held_sample_picture()) is Disposition.HOLD
    assert disposition(sample_bench, cleared_sample_picture()) is Disposition.CLEAR


def disposition(bench: Workbench, picture: bytes) -> Disposition:
    return bench.screener.disposition([SubmittedPicture(picture)])


def test_a_catalogue_of_the_users_own_is_left_alone_and_the_command_is_named(bench: Workbench, tmp_path: Path) -> None:
    bench.enrolment.add_one(new_reference(1))
    with open_store(settings_of(tmp_path)) as store:
        look = first_look(store)
    assert not look.wants_sample
    assert "scripts/reindex.py" in (look.advice or "")
    reindex(bench, built_by="test")
    with open_store(settings_of(tmp_path)) as store:
        assert first_look(store).advice is None


def test_a_deleted_index_is_told_with_the_command(sample_copy: Path) -> None:
    shutil.rmtree(sample_copy / "index")
    with open_store(settings_of(sample_copy)) as store:
        advice = first_look(store).advice or ""
    assert "is gone" in advice and advice.endswith("scripts/reindex.py")


def test_an_interrupted_first_start_goes_on(tmp_path: Path) -> None:
    with open_workbench(settings_of(tmp_path)) as bench:
        first = SAMPLE_REFERENCES[0]
        pictures = [NewPicture("a.jpg", data) for data in reference_pictures(first)]
        bench.enrolment.add_one(NewReference(facts_from_json(first.facts), pictures))
    with open_store(settings_of(tmp_path)) as store:
        assert first_look(store).wants_sample


def test_the_printed_commands_send_pictures_that_are_there(sample_copy: Path) -> None:
    lines = sample_lines(settings_of(sample_copy, port=8123))
    assert "http://127.0.0.1:8123/v1/screenings" in lines[1]
    assert (sample_copy / "data" / "sample" / "held.jpg").stat().st_size > 1000
