"""The line of one package in this process, under settings of its own."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select

from imagescreen.database.tables import PolicyRow, ScreeningPictureRow, ScreeningRow
from imagescreen.embedding.patience import Patience
from imagescreen.errors import CallerGone, Overloaded
from imagescreen.jobs.purge import purge
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.facts import facts_from_json
from imagescreen.references.sample.catalogue import cleared_sample_picture, held_sample_picture
from imagescreen.screening.answer import Disposition, PictureStatus, ScreeningAnswer
from imagescreen.screening.package import Package, SubmittedPicture
from tests.conftest import settings_of
from tests.material import product

HELD = held_sample_picture()
CLEARED = cleared_sample_picture()

Open = Callable[..., Workbench]


@pytest.fixture
def opened(sample_copy: Path) -> Iterator[Open]:
    """Opens the sample with settings of one's own."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(open_workbench(settings_of(sample_copy, **settings)))


def screened(bench: Workbench, package_id: str, *pictures: bytes) -> ScreeningAnswer:
    return bench.screener.screen(Package(package_id), [SubmittedPicture(data) for data in pictures]).answer


def stored_files(bench: Workbench) -> set[str]:
    with bench.database.read() as session:
        rows = session.scalars(select(ScreeningPictureRow.sha256).where(ScreeningPictureRow.stored.is_(True)))
        return {str(sha256) for sha256 in rows}


@pytest.mark.parametrize(("keep", "kept"), [("flagged", {0}), ("all", {0, 1}), ("none", set())])
def test_bytes_of_screened_pictures_are_kept_as_the_setting_says(opened: Open, keep: str, kept: set[int]) -> None:
    bench = opened(keep_pictures=keep)
    answers = [screened(bench, "held", HELD), screened(bench, "cleared", CLEARED)]
    sha256s = [answer.pictures[0].sha256 for answer in answers]
    assert stored_files(bench) == {sha256s[position] for position in kept}
    for position, data in enumerate((HELD, CLEARED)):
        sha256 = sha256s[position]
        assert sha256 is not None
        if position in kept:
            assert bench.files.get(sha256) == data
        else:
            with pytest.raises(Exception, match="not stored"):
                bench.files.get(sha256)


def test_the_record_holds_facts_answer_vectors_and_policy(opened: Open) -> None:
    bench = opened()
    answer = screened(bench, "recorded", HELD, b"broken")
    with bench.database.read() as session:
        row = session.get_one(ScreeningRow, answer.screening_id)
        pictures = session.scalars(
            select(ScreeningPictureRow).where(ScreeningPictureRow.screening_id == answer.screening_id)
        ).all()
        policy = session.get_one(PolicyRow, answer.policy.version)
    assert json.loads(row.package)["package_id"] == "recorded"
    assert (row.disposition, row.fingerprint) == ("hold", answer.model.fingerprint)
    assert [(picture.status, picture.size_bytes) for picture in pictures] == [
        ("screened", len(HELD)),
        ("unsupported_format", 6),
    ]
    dimension = bench.follower.serving.current().batcher.encoder.dimension
    assert len(pictures[0].vector or b"") == 4 * dimension and pictures[1].vector is None
    assert "[rates]" in policy.document


def test_retention_ends_a_screening_and_its_pictures(opened: Open) -> None:
    bench = opened(keep_pictures="all")
    old, young = screened(bench, "old", HELD), screened(bench, "young", CLEARED)
    with bench.database.write() as session:
        session.get_one(ScreeningRow, old.screening_id).screened_at -= timedelta(days=40)
    for path in (bench.settings.data_dir / "pictures").glob("??/*"):
        os.utime(path, (time.time() - 7200,) * 2)
    purged = purge(bench, retention_days=30)
    assert (purged.screenings, purged.files) == (1, 1)
    with pytest.raises(Exception, match="no screening"):
        bench.record.get(old.screening_id)
    assert bench.record.get(young.screening_id).package.package_id == "young"
    assert bench.files.get(str(young.pictures[0].sha256)) == CLEARED
    # References kept their pictures: everything can still be embedded again.
    for path in (bench.settings.data_dir / "pictures").glob("??/*"):
        assert path.stat().st_size > 0


def test_pixels_of_a_whole_package_are_limited_and_the_rest_is_screened(opened: Open) -> None:
    bench = opened(max_package_pixels=480 * 600 + 300 * 400)
    file = BytesIO()
    Image.effect_noise((1000, 1000), 90).convert("RGB").save(file, "JPEG")
    answer = screened(bench, "large", CLEARED, file.getvalue(), HELD)
    assert [picture.status for picture in answer.pictures] == [
        PictureStatus.SCREENED,
        PictureStatus.TOO_LARGE,
        PictureStatus.SCREENED,
    ]
    assert "together exceed" in (answer.pictures[1].problem or answer).detail  # type: ignore[union-attr]
    assert answer.disposition is Disposition.HOLD


def test_a_reference_beyond_the_nearest_five_that_exceeds_its_own_threshold_still_decides(opened: Open) -> None:
    """Six genuine photos of the very same item stand nearer than the counterfeit reference."""
    bench = opened()

    def variant(quality: int) -> bytes:
        file = BytesIO()
        Image.open(BytesIO(product(1))).save(file, "JPEG", quality=quality)
        return file.getvalue()

    nearer: list[str] = []
    for quality in range(88, 94):
        genuine = facts_from_json({"title": f"genuine {quality}", "kind": "genuine"})
        added = bench.enrolment.add_one(NewReference(genuine, [NewPicture("a.jpg", variant(quality))]))
        nearer.append(str(added.reference_id))
    fake = facts_from_json({"title": "fake", "category": "counterfeit", "look_alikes": nearer})
    bench.enrolment.add_one(NewReference(fake, [NewPicture("a.jpg", variant(25))]))
    answer = screened(bench, "hidden", product(1))
    matches = answer.pictures[0].matches
    assert [match.title for match in matches[:5]] == [match.title for match in matches if "genuine" in match.title][:5]
    assert [match.title for match in matches if match.exceeds] == ["fake"]
    assert answer.disposition is Disposition.HOLD


def test_a_policy_whose_rates_changed_is_noticed(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[rates]\nreview = 0.05\nhold = 0.01\n")
    bench = opened(policy_file=path)
    assert not bench.policy.kept_by(bench.follower.serving.current().scale)
    reindex(bench, built_by="test")
    assert bench.policy.kept_by(bench.follower.serving.current().scale)


def test_a_package_whose_caller_does_not_wait_any_more_leaves_no_record(sample_bench: Workbench) -> None:
    gone = Patience()
    gone.give_up()
    for patience, error in ((gone, CallerGone), (Patience(0), Overloaded)):
        with pytest.raises(error):
            sample_bench.screener.screen(Package("left"), [SubmittedPicture(CLEARED)], patience)
    with sample_bench.database.read() as session:
        assert session.scalars(select(ScreeningRow.id).where(ScreeningRow.package_id == "left")).all() == []
    # What was given up is not remembered as a problem of the picture.
    assert screened(sample_bench, "left", CLEARED).disposition is Disposition.CLEAR
