"""References described in words: enrolled, calibrated, matched, followed and carried over to another model.

Rendered goods are not what the built-in model has words for, so the picture here is whichever of some fits best: what
words are worth is measured on photographs (docs/words.md).
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from imagescreen.database.tables import PhraseVectorRow
from imagescreen.errors import InvalidContent
from imagescreen.jobs.add_references import add_references
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.change_model import ModelChange
from imagescreen.jobs.ordinary_packages import single_pictures
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.offers import offers_of
from imagescreen.screening.answer import Disposition, Exceeds, Match, MatchKind, ScreeningAnswer
from imagescreen.screening.package import Package, SubmittedPicture
from imagescreen.settings import BUILT_IN_MODEL
from tests.conftest import ROOT, script, settings_of
from tests.material import facts, new_reference, product
from tests.model_variant import install_variant

POLICY = "[rates]\nreview = 0.2\nhold = 0.05\n[words]\nshare = 0.5\n"
"""9 packages are enough for words."""

WORDS = ["a photo of a watch", "a wrist watch"]
FIRST, LAST = 3000, 3040


@pytest.fixture(scope="module")
def without_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One reference with a picture, thresholds measured on 30 packages, the built-in model and `variant`."""
    home = tmp_path_factory.mktemp("described")
    (home / "policy.toml").write_text(POLICY)
    install_variant(ROOT / "weights", home / "weights")
    with opened(home) as bench:
        bench.enrolment.add_one(new_reference(1, title="Acme tote"))
        ordinary = (NewPicture(f"{seed}.jpg", product(seed)) for seed in range(2000, 2030))
        calibrate(bench, single_pictures(ordinary), total=30, source="test", built_by="test")
    return home


@pytest.fixture(scope="module")
def described(without_words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a reference in words alone, and a version that was built with it."""
    home = Path(shutil.copytree(without_words, tmp_path_factory.mktemp("words") / "home"))
    with opened(home) as bench:
        bench.enrolment.add_one(watch("watch"))
        reindex(bench, built_by="test")
    return home


@pytest.fixture(scope="module")
def picture(described: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The one of some that fits the words best."""
    with opened(Path(shutil.copytree(described, tmp_path_factory.mktemp("best") / "home"))) as bench:
        found = {seed: by_words(bench, product(seed)) for seed in range(FIRST, LAST)}
    return product(max(found, key=lambda seed: 0 if (match := found[seed]) is None else match.score or 0))


@contextmanager
def opened(home: Path) -> Iterator[Workbench]:
    settings = settings_of(home, policy_file=home / "policy.toml", weights_dir=home / "weights", torch_threads=1)
    with open_workbench(settings) as bench:
        yield bench


@pytest.fixture
def bench(described: Path, tmp_path: Path) -> Iterator[Workbench]:
    with opened(Path(shutil.copytree(described, tmp_path / "home"))) as bench:
        yield bench


@pytest.fixture
def unmeasured(without_words: Path, tmp_path: Path) -> Iterator[Workbench]:
    with opened(Path(shutil.copytree(without_words, tmp_path / "home"))) as bench:
        yield bench


def watch(title: str, *words: str, **members: object) -> NewReference:
    return new_reference(title=title, words=list(words) or WORDS, **members)


def by_words(bench: Workbench, picture: bytes, title: str = "watch") -> Match | None:
    matches = bench.screener.match([SubmittedPicture(picture)]).pictures[0].matches
    return next((one for one in matches if one.kind is MatchKind.DESCRIBED and one.title == title), None)


def screen(bench: Workbench, picture: bytes) -> ScreeningAnswer:
    return bench.screener.screen(Package("p"), [SubmittedPicture(picture)]).answer


def id_of(bench: Workbench, title: str = "watch") -> UUID:
    from imagescreen.references.catalogue import ReferenceFilter

    rows = bench.catalogue.list(ReferenceFilter(), limit=50)
    return next(row.reference_id for row in rows if row.title == title)


def problem(bench: Workbench) -> str | None:
    return bench.follower.serving.current().words_problem


def test_a_picture_that_fits_words_goes_to_review_by_thresholds_of_words(bench: Workbench, picture: bytes) -> None:
    thresholds = bench.follower.serving.current().thresholds
    assert thresholds is not None and thresholds.words is not None
    pair = thresholds.words.pair
    assert pair.review is not None
    # Words do not hold unless the policy says so.
    assert pair.hold is None
    assert thresholds.total.review.measured is not None
    assert thresholds.total.review.measured <= thresholds.rates.review
    answer = screen(bench, picture)
    match = next(one for one in answer.pictures[0].matches if one.kind is MatchKind.DESCRIBED)
    assert match.score is not None and match.score > pair.review
    assert (match.exceeds, match.thresholds, match.phrase in WORDS) == (Exceeds.REVIEW, pair, True)
    assert match.reference_picture_id is None
    # Half of a review rate of 1 in 5.
    assert match.one_in is not None and match.one_in >= 10
    # Matches by pictures come first, on their own scale and with their own thresholds.
    first = answer.pictures[0].matches[0]
    assert (first.kind, first.title) == (MatchKind.RESEMBLES, "Acme tote")
    assert first.thresholds == thresholds.of("counterfeit") != pair
    assert answer.disposition is Disposition.REVIEW
    reasons = [(one.code.value, one.text) for one in answer.reasons if one.reference_id == match.reference_id]
    assert reasons == [("fits_words_of_reference", "picture 0 fits the words of 'watch' (counterfeit)")]
    assert bench.record.get(answer.screening_id).pictures == answer.pictures
    # And it stays so after a restart and another build.
    with opened(bench.settings.data_dir.parent) as restarted:
        assert by_words(restarted, picture) == match
        reindex(restarted, built_by="test")
        assert by_words(restarted, picture) == match
        assert problem(restarted) is None


def test_what_is_suspended_does_not_match_by_words(bench: Workbench, picture: bytes) -> None:
    bench.catalogue.change(id_of(bench), {"state": "suspended"})
    assert by_words(bench, picture) is None
    bench.catalogue.change(id_of(bench), {"state": "active"})
    assert by_words(bench, picture) is not None


def test_words_that_come_between_builds_take_effect_at_once_with_the_thresholds_of_words(
    bench: Workbench, picture: bytes
) -> None:
    before = by_words(bench, picture)
    assert before is not None
    bench.drift.look()
    quiet = bench.drift.state
    bench.enrolment.add_one(watch("another"))
    another = by_words(bench, picture, "another")
    assert another is not None
    assert (another.score, another.thresholds, another.exceeds) == (before.score, before.thresholds, Exceeds.REVIEW)
    bench.catalogue.change(id_of(bench, "another"), {"words": ["a photo of a shoe"]})
    changed = by_words(bench, picture, "another")
    assert changed is not None
    assert (changed.phrase, changed.score == before.score) == ("a photo of a shoe", False)
    # What further words do to the promise is told before the next build.
    bench.enrolment.add([watch(f"{n}", f"a photo of a {n}") for n in ("shirt", "camera", "cup", "lamp", "bottle")])
    bench.drift.look()
    moved = bench.drift.state
    assert quiet is not None and moved is not None
    assert (quiet.review.moved, moved.review.moved) == (False, True)
    assert moved.review.expected > quiet.review.expected


def test_without_thresholds_for_words_a_match_is_shown_flags_nothing_and_this_is_told(
    unmeasured: Workbench, picture: bytes
) -> None:
    assert problem(unmeasured) is None
    unmeasured.enrolment.add_one(watch("watch"))
    match = by_words(unmeasured, picture)
    assert match is not None
    assert (match.exceeds, match.one_in, match.thresholds.review) == (None, None, None)
    assert screen(unmeasured, picture).disposition is Disposition.CLEAR
    assert "no threshold was measured for words yet, run scripts/reindex.py" in (problem(unmeasured) or "")
    reindex(unmeasured, built_by="test")
    assert problem(unmeasured) is None
    flagged = by_words(unmeasured, picture)
    assert flagged is not None and flagged.exceeds is Exceeds.REVIEW


def test_words_are_carried_over_to_another_model_also_those_that_come_while_it_is_built(bench: Workbench) -> None:
    change = ModelChange(bench, "variant", built_by="test")
    built = change.build()
    assert built.thresholds is not None and built.thresholds.words is not None
    assert (built.measured.without_words, built.thresholds.words.references) == (0, 1)
    bench.enrolment.add_one(watch("late", "a photo of a shoe"))
    change.activate(built)
    bench.follower.poll()
    served = bench.follower.serving.current()
    assert served.batcher.encoder.name == "variant"
    assert (len(served.words), problem(bench)) == (2, None)
    match, late = by_words(bench, product(FIRST)), by_words(bench, product(FIRST), "late")
    assert match is not None and late is not None
    assert match.thresholds == built.thresholds.words.pair
    with bench.database.read() as session:
        stored = {row.phrase for row in session.query(PhraseVectorRow) if row.fingerprint == built.manifest.fingerprint}
    assert stored == set(WORDS)
    # Building without the model counts only what has vectors, and says what it left out.
    assert reindex(bench, built_by="test").measured.without_words == 1
    assert reindex(bench, model="variant", built_by="test").measured.without_words == 0


def test_a_model_without_a_text_side_says_so_and_serves_pictures(described: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(described, tmp_path / "home"))
    registry = home / "weights" / "models.toml"
    registry.write_text(registry.read_text().replace("text_side = true", "text_side = false"))
    with opened(home) as bench:
        with pytest.raises(
            InvalidContent, match=f"`words` cannot be used, only pictures: The model '{BUILT_IN_MODEL}' has no text"
        ):
            bench.enrolment.add_one(watch("another"))
        tote = id_of(bench, "Acme tote")
        with pytest.raises(InvalidContent, match="has no text side"):
            bench.catalogue.change(tote, {"words": WORDS})
        assert bench.catalogue.change(tote, {"notes": "seen"}).notes == "seen"
        assert screen(bench, product(1)).disposition is Disposition.HOLD
        # Words that have their vectors still match; those that lack one are told.
        assert by_words(bench, product(FIRST)) is not None
        with bench.database.write() as session:
            session.query(PhraseVectorRow).delete()
    with opened(home) as bench:
        assert problem(bench) == (
            f"1 references described in words cannot match by them: The model '{BUILT_IN_MODEL}' has no text side."
        )
        assert screen(bench, product(1)).disposition is Disposition.HOLD
        assert by_words(bench, product(FIRST)) is None


def test_words_may_be_all_that_a_reference_has_but_not_nothing(bench: Workbench) -> None:
    words_alone = id_of(bench)
    with pytest.raises(InvalidContent, match="its words are all that this reference matches by"):
        bench.catalogue.change(words_alone, {"words": []})
    with pytest.raises(InvalidContent, match="needs 1 to 16 pictures, or `words`"):
        bench.enrolment.add_one(NewReference(facts("nothing"), []))
    # Screening needs a known item with a picture.
    bench.enrolment.add_one(new_reference(2))
    tote = id_of(bench, "Acme tote")
    bench.catalogue.change(tote, {"words": ["a tote bag"], "contrast_words": ["a backpack"]})
    (picture,) = bench.catalogue.get(tote).pictures
    bench.catalogue.remove_picture(tote, picture.reference_picture_id)
    assert by_words(bench, product(1), "Acme tote") is not None


def test_a_manifest_of_words_is_added_once(unmeasured: Workbench, tmp_path: Path) -> None:
    manifest = tmp_path / "words.csv"
    manifest.write_text(
        "title,category,words,contrast_words\n"
        "revolver,prohibited,a photo of a revolver; a handgun,a photo of a hair dryer\n"
        "revolver,prohibited,a photo of a revolver; a handgun,a photo of a hair dryer\n"
        "nothing,prohibited,,\n"
        "contrast alone,prohibited,,a hair dryer\n"
    )
    report = add_references(unmeasured, offers_of(manifest, {}))
    assert (report.added, report.skipped) == (1, 1)
    assert [name for name, _ in report.rejected] == ["row 4", "row 5"]
    stored = unmeasured.catalogue.get(id_of(unmeasured, "revolver"))
    assert (stored.words, stored.contrast_words) == (
        ["a photo of a revolver", "a handgun"],
        ["a photo of a hair dryer"],
    )
    assert add_references(unmeasured, offers_of(manifest, {})).skipped == 2
    home = unmeasured.settings.data_dir.parent
    settings = {"weights_dir": str(home / "weights"), "policy_file": str(home / "policy.toml")}
    told = script("add_references.py", manifest, home=home, **settings)
    assert "0 added" in told.stdout and "no threshold was measured for words yet" in told.stdout, told.stderr
    built = script("reindex.py", home=home, **settings)
    assert "by words" in built.stdout, built.stderr
