"""Ordinary packages, the background and what they do to screenings, with real pictures of rendered goods."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imagescreen.calibration.scale import (
    BACKGROUND_FILE,
    NORMALISATION_FILE,
    ORDINARY_FILE,
    THRESHOLDS_FILE,
    WORDS_FILE,
)
from imagescreen.calibration.thresholds import above_any
from imagescreen.database.index_versions import activate_version
from imagescreen.database.tables import ScreeningRow
from imagescreen.errors import BrokenIndex, InvalidContent
from imagescreen.jobs.activation import activate, record
from imagescreen.jobs.background import CHUNK, add_background
from imagescreen.jobs.calibrate import calibrate, calibrate_with, embed_all, measure_with
from imagescreen.jobs.ordinary_packages import NewPackage, single_pictures
from imagescreen.jobs.preview import preview
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.matching import open_version, write_version
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.screening.answer import Disposition, ScreeningAnswer
from imagescreen.screening.package import Package, SubmittedPicture
from imagescreen.screening.record import Decision, NewReview
from tests.conftest import script
from tests.jobs.calibrated import calibrated, choose, ordinary, state
from tests.matching.material import NOON, references, unit_vectors
from tests.material import blank, edited_product, facts, new_reference, product


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with calibrated(tmp_path) as opened:
        yield opened


def screen(bench: Workbench, name: str, *pictures: bytes) -> ScreeningAnswer:
    return bench.screener.screen(Package(name), [SubmittedPicture(data) for data in pictures]).answer


def test_a_package_counts_by_its_highest_score_and_once_whatever_the_order_of_its_pictures(bench: Workbench) -> None:
    pictures = [NewPicture(f"{seed}.jpg", product(seed)) for seed in (2100, 2101, 2102)]
    packages = [NewPackage("a", pictures), NewPackage("again", pictures[::-1]), NewPackage("known", [pictures[0]])]
    intake, built = calibrate(bench, packages, total=7, source="test", built_by="test")
    assert (intake.added, intake.known) == (2, 1)
    thresholds, packages_measured = built.thresholds, built.measured.scale.ordinary
    assert thresholds is not None and packages_measured is not None
    assert (thresholds.packages, thresholds.pictures) == (22, 24)
    highest = packages_measured.highest["counterfeit"]
    assert highest[-2] >= highest[-1]


def test_scores_are_normalised_by_a_background_and_the_raw_similarity_stays_visible(bench: Workbench) -> None:
    before = screen(bench, "before", edited_product(1)).pictures[0].matches[0]
    intake = add_background(
        bench, [NewPicture(f"{seed}.jpg", product(seed)) for seed in range(2200, 2230)], total=30, source="shelf"
    )
    assert (intake.added, intake.refused) == (30, [])
    built = reindex(bench, built_by="test")
    after = screen(bench, "after", edited_product(1)).pictures[0].matches[0]
    served = bench.follower.serving.current()
    assert before.score == before.similarity == after.similarity
    embedded, _ = embed_all(bench, single_pictures([NewPicture("query", edited_product(1))]), total=1)
    query = np.frombuffer(embedded[0].pictures[0].vector, "<f4")[np.newaxis]
    assert after.score is not None and after.similarity is not None
    assert after.score == pytest.approx(after.similarity - float(served.scale.terms(query)[0]), abs=2e-6)
    assert after.score < after.similarity - 0.05
    assert after.thresholds == built.thresholds.of("counterfeit")  # type: ignore[union-attr]
    assert after.one_in == 21 and after.exceeds is not None
    # The self-test and everything else go on with another process that starts now.
    with open_workbench(bench.settings) as restarted:
        again = screen(restarted, "restarted", edited_product(1)).pictures[0].matches[0]
    assert (again.score, again.one_in) == (after.score, after.one_in)


def test_a_background_that_contains_references_is_refused_by_name_and_nothing_is_written(bench: Workbench) -> None:
    offered = [
        NewPicture("shelf.jpg", product(2300)),
        NewPicture("tote.jpg", product(1)),
        NewPicture("near.jpg", product(1) + b"\0"),
        NewPicture("ordinary.jpg", product(2000)),
        NewPicture("blank.png", blank()),
    ]
    before = state(bench)
    intake = add_background(bench, offered, total=5, source="shelf")
    told = dict(intake.refused)
    assert set(told) == {"tote.jpg", "near.jpg", "ordinary.jpg"}
    assert (
        "has this picture" in told["tote.jpg"] and "near-duplicate" in told["near.jpg"] and "Acme" in told["near.jpg"]
    )
    assert [name for name, _ in intake.unreadable] == ["blank.png"]
    assert state(bench) == before
    assert add_background(bench, offered, total=5, source="shelf", leave_out=True).added == 1
    # Also of those that were taken in before the refused one came.
    before = state(bench)
    many = [NewPicture(f"{n}.jpg", product(2301) + bytes(n)) for n in range(CHUNK)]
    assert add_background(bench, [*many, *offered[1:2]], total=CHUNK + 1, source="shelf").added == 0
    assert state(bench) == before
    # And the other way round: what the background has is no package to calibrate with.
    taken, _ = calibrate(bench, ordinary(2, 2300), total=2, source="test", built_by="test")
    assert taken.rejected == [("2300.jpg", "the background has 2300.jpg")] and taken.added == 1


def test_what_belongs_to_another_model_or_background_than_the_index_is_refused_at_reload_and_at_start(
    bench: Workbench,
) -> None:
    add_background(bench, [NewPicture("a.jpg", product(2400))], total=1, source="shelf")
    bench.enrolment.add_one(new_reference(title="watch", words=["a photo of a watch"]))
    built = reindex(bench, built_by="test")
    good, background = built.manifest, built.measured.scale.normalisation
    assert background is not None
    files = {name: bytes(c) for name, c in open_version(bench.versions_dir, good.version).attachments.items()}
    other, model, shelf = b"e" * 64, good.fingerprint.encode(), background.background.encode()
    for name, content, told in (
        (THRESHOLDS_FILE, files[THRESHOLDS_FILE].replace(model, other), "its thresholds belong to model eeee"),
        (
            THRESHOLDS_FILE,
            files[THRESHOLDS_FILE].replace(shelf, other[:16]),
            "its thresholds belong to background eeee",
        ),
        (NORMALISATION_FILE, files[NORMALISATION_FILE].replace(model, other), "its background belongs to model eeee"),
        # Vectors of another dimension, and packages of another calibration, which have no name in them.
        (BACKGROUND_FILE, files[BACKGROUND_FILE] * 2, f"{BACKGROUND_FILE} does not fit"),
        (ORDINARY_FILE, files[ORDINARY_FILE] * 2, f"{ORDINARY_FILE} does not fit"),
        (WORDS_FILE, files[WORDS_FILE][4:], f"{WORDS_FILE} does not fit"),
    ):
        foreign = write_version(
            bench.versions_dir,
            model=good.model,
            fingerprint=good.fingerprint,
            vectors=unit_vectors(2, good.dimension),
            picture_ids=np.array([1, 2]),
            reference_ids=references(2),
            sequence=good.sequence,
            as_of=NOON,
            built_by="test",
            attachments=files | {name: content},
        )
        with bench.database.write() as session:
            record(session, foreign)
            activate_version(session, foreign.version, actor="test")
        bench.follower.poll()
        with open_workbench(bench.settings) as restarted:
            for process in (bench, restarted):
                problem = process.follower.serving.problem or ""
                assert foreign.version in problem and told in problem and "\n" not in problem
                assert process.follower.serving.require_index().snapshot.version == good.version
        # Nor does it become current by hand.
        with pytest.raises(BrokenIndex, match=told):
            activate(bench, foreign.version, actor="test")


def test_references_that_come_between_builds_move_the_expected_rate_as_the_next_build_measures_it(
    bench: Workbench,
) -> None:
    bench.drift.look()
    quiet = bench.drift.state
    assert quiet is not None and quiet.sentence() is None
    assert quiet.review.expected == quiet.review.at_build
    served = bench.follower.serving.current()
    # Edited copies of ordinary goods, one of a category that was not there, and one that is no known item.
    for seed, members in ((2001, {}), (2002, {"category": "recalled"}), (2003, {}), (2004, {"kind": "genuine"})):
        picture = NewPicture(f"{seed}.jpg", edited_product(seed))
        category = {"category": None} if members.get("kind") else {}
        bench.enrolment.add_one(NewReference(facts(f"item {seed}", **members, **category), [picture]))
    bench.drift.look()
    moved = bench.drift.state
    assert moved is not None and moved.added_pictures == 3
    assert moved.review.moved and moved.review.expected > quiet.review.expected
    assert "run scripts/reindex.py" in (moved.sentence() or "")
    rebuilt = reindex(bench, built_by="test").measured.scale.ordinary
    assert rebuilt is not None and served.thresholds is not None
    assert moved.review.expected == np.mean(above_any(rebuilt.highest, None, served.thresholds, "review"))
    bench.drift.look()
    assert bench.drift.state is not None and bench.drift.state.sentence() is None


def test_a_reference_that_the_background_has_is_told_until_a_build_leaves_it_out(bench: Workbench) -> None:
    shelf = [NewPicture(f"{seed}.jpg", product(seed)) for seed in range(2450, 2454)]
    add_background(bench, shelf, total=4, source="shelf")
    reindex(bench, built_by="test")
    # The listing's own picture, in other bytes, and another one.
    for name, data in (("fake", product(2450) + b"\0"), ("other", product(2460))):
        bench.enrolment.add_one(NewReference(facts(name), [NewPicture("a.jpg", data)]))
    bench.drift.look()
    drift = bench.drift.state
    assert drift is not None and (drift.added_pictures, drift.in_background) == (2, 1)
    assert "the background nearly has 1 of the pictures" in (drift.sentence() or "")
    assert reindex(bench, built_by="test").measured.left_out == ["2450.jpg"]
    bench.drift.look()
    assert bench.drift.state is not None and bench.drift.state.in_background == 0


def test_screenings_that_stayed_clear_or_were_dismissed_are_calibrated_with_each_once(bench: Workbench) -> None:
    answers = [screen(bench, f"p{seed}", product(seed), product(seed + 500)) for seed in range(3000, 3012)]
    again = screen(bench, "again", product(3500), product(3000))
    screen(bench, "broken", product(3100), b"no picture")
    # Cleared while there was no such reference yet, and recognised with another picture later.
    screen(bench, "early", product(3600), product(3601))
    known = screen(bench, "known", edited_product(1), product(3600))
    flagged = [answer for answer in answers if answer.disposition is not Disposition.CLEAR]
    assert known.disposition is Disposition.HOLD
    with pytest.raises(InvalidContent, match="are not decided on"):
        choose(bench)
    bench.record.review(known.screening_id, NewReview(Decision.CONFIRMED))
    for answer in [*flagged, answers[0], again]:
        bench.record.review(answer.screening_id, NewReview(Decision.UNSURE))
        bench.record.review(answer.screening_id, NewReview(Decision.DISMISSED))
    choice = choose(bench)
    assert len(choice.packages) == 12
    assert choice.others == {
        "the same pictures again": 1,
        "incomplete": 1,
        "confirmed": 1,
        "with a picture of another that was confirmed, or is flagged and not decided on": 1,
    }

    before = state(bench)
    measured = measure_with(bench, choice.packages, replace=False)
    assert state(bench) == before
    _, built = calibrate_with(bench, choice.packages, source="screenings", built_by="test")
    assert built.thresholds == measured.thresholds
    assert built.thresholds is not None and (built.thresholds.packages, built.thresholds.pictures) == (32, 44)


def test_screenings_of_another_model_are_not_calibrated_with(bench: Workbench) -> None:
    screen(bench, "p", product(3000))
    with bench.database.write() as session:
        session.query(ScreeningRow).one().fingerprint = "e" * 64
    before = state(bench)
    with pytest.raises(InvalidContent, match="1 made with another model"):
        choose(bench)
    assert state(bench) == before


def test_a_dry_run_shows_which_screenings_would_change_and_writes_nothing(bench: Workbench) -> None:
    screen(bench, "known", edited_product(1))
    screen(bench, "the same file", product(1))
    screen(bench, "ordinary", product(3000))
    before = state(bench)
    embedded, rejected = embed_all(bench, ordinary(12, 2600), total=12)
    assert rejected == []
    same = preview(bench, bench.follower.serving.current().scale, sample=10)
    assert (same.compared, same.other_model, same.changes) == (3, 0, [])
    # 12 packages support no hold rate: what was held on similarity goes to review, and the same file is still held.
    seen = preview(bench, measure_with(bench, embedded, replace=True).scale, sample=10)
    assert [(change.package_id, change.before, change.after) for change in seen.changes] == [
        ("known", Disposition.HOLD, Disposition.REVIEW)
    ]
    assert state(bench) == before


def test_the_tools_refuse_in_one_sentence_and_write_nothing(bench: Workbench, tmp_path: Path) -> None:
    folder = tmp_path / "goods"
    (folder / "package").mkdir(parents=True)
    (folder / "tote.jpg").write_bytes(product(1))
    (folder / "package" / "a.jpg").write_bytes(product(2700))
    (folder / "package" / "b.jpg").write_bytes(product(2701))
    (folder / "handbags").mkdir()
    for number in range(17):
        (folder / "handbags" / f"{number}.jpg").write_bytes(b"looked at by nobody")
    before = state(bench)
    policy = str(tmp_path / "policy.toml")
    refused = script("background.py", "add", folder, home=tmp_path, policy_file=policy)
    assert refused.returncode == 1 and "tote.jpg" in refused.stdout, refused.stderr
    assert "error: nothing was added" in refused.stderr.replace("\n", " ")
    few = script("calibrate.py", folder, "--replace", home=tmp_path, policy_file=policy)
    # At once: of three that are there one is too large, and nobody embeds the others first.
    assert few.returncode == 1 and "2 ordinary packages cannot support" in few.stderr, few.stdout
    assert "7 more" in few.stderr and "Traceback" not in few.stderr and "embedding" not in few.stderr
    assert "rejected: handbags: it has 17 pictures" in few.stdout
    assert state(bench) == before
    shown = script("calibrate.py", folder, "--dry-run", home=tmp_path, policy_file=policy)
    assert "measured on 21 ordinary packages with 22 pictures" in shown.stdout, shown.stderr
    # On 80 columns, with its whole name and on one line.
    assert re.search(r"counterfeit +review +[0-9.]+ +1 in 10 ", shown.stdout)
    assert "rejected: handbags: it has 17 pictures, and a package has at most 16" in shown.stdout.replace("\n", " ")
    assert "nothing was stored" in shown.stdout
    assert state(bench) == before
    assert "there is no background" in script("background.py", "list", home=tmp_path).stdout
