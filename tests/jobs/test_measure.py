"""What a build measures of stored vectors, held against looking at every pair."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from imagescreen.calibration.scale import decode_scale
from imagescreen.calibration.thresholds import Rates, conformal_threshold
from imagescreen.database.background_set import NewBackgroundPicture, add_background_pictures
from imagescreen.database.calibration_set import OrdinaryPackage, OrdinaryPicture, add_packages
from imagescreen.database.calibration_succession import Succession, succeed
from imagescreen.database.tables import ReferenceVectorRow
from imagescreen.database.vectors import to_blob
from imagescreen.errors import BrokenIndex
from imagescreen.evaluation.reindex_benchmark import CATEGORIES, PICTURES_A_REFERENCE
from imagescreen.jobs.build import Built
from imagescreen.jobs.reindex import rebuild
from imagescreen.jobs.workbench import Store
from imagescreen.matching import open_version
from imagescreen.screening.policy import read_policy
from tests.jobs.synthetic import DIMENSION, fingerprint, synthetic_store
from tests.matching.material import near, normalised, unit_vectors

PICTURES = 240
PACKAGES = 130
RATES = Rates(review=0.1, hold=0.02)
POLICY = read_policy(None)
POLICY = msgspec.structs.replace(POLICY, wishes=msgspec.structs.replace(POLICY.wishes, rates=RATES))

Vectors = NDArray[np.float32]


@contextmanager
def catalogue(home: Path) -> Iterator[tuple[Store, Vectors]]:
    """Synthetic references of four categories, and the vectors of their pictures."""
    with synthetic_store(home, pictures=PICTURES) as store:
        with store.database.read() as session:
            rows = session.query(ReferenceVectorRow).order_by(ReferenceVectorRow.reference_picture_id).all()
        yield store, np.stack([np.frombuffer(row.vector, "<f4") for row in rows])


def add_ordinary_packages(store: Store, references: Vectors, seed: int = 5) -> list[Vectors]:
    """Ordinary packages of 1 to 3 pictures, a little like some references."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 4, PACKAGES)
    alike = references[random.integers(0, len(references), sizes.sum())]
    pictures = normalised(unit_vectors(int(sizes.sum()), DIMENSION, seed) + 0.4 * alike)
    packages = np.split(pictures, np.cumsum(sizes)[:-1])
    for number, package in enumerate(packages):
        add_package_of(store, f"package {number}", package)
    return packages


def add_package_of(store: Store, name: str, pictures: Vectors, *, model: str | None = None) -> None:
    stored = [OrdinaryPicture(f"{name} {n}", 1, False, to_blob(vector)) for n, vector in enumerate(pictures)]
    with store.database.write() as session:
        add_packages(session, [OrdinaryPackage(name, stored)], source=None, fingerprint=model or fingerprint())
        succeed(session, Succession(frozenset([name])))


def add_background(store: Store, vectors: Vectors) -> None:
    pictures = [NewBackgroundPicture(f"shelf/{n}.jpg", f"{n:064x}", 1, to_blob(v)) for n, v in enumerate(vectors)]
    with store.database.write() as session:
        add_background_pictures(session, pictures, source="test", fingerprint=fingerprint())


def build(store: Store) -> Built:
    return rebuild(store, POLICY, built_by="test")


def test_thresholds_are_those_of_looking_at_every_pair_of_pictures(tmp_path: Path) -> None:
    with catalogue(tmp_path) as (store, references):
        packages = add_ordinary_packages(store, references)
        background = unit_vectors(40, DIMENSION, seed=77)
        add_background(store, background)
        built = build(store)
        opened = open_version(store.versions_dir, built.manifest.version)
    thresholds = built.thresholds
    assert thresholds is not None and thresholds.packages == PACKAGES
    wide = background.astype(np.float64)
    wish = POLICY.wishes.normalisation
    highest: dict[str, Vectors] = {}
    for category in CATEGORIES:
        rows = np.arange(PICTURES) // PICTURES_A_REFERENCE % len(CATEGORIES) == CATEGORIES.index(category)
        scores = [
            max(
                float((references[rows] @ picture).max()) - wish.beta * float(np.sort(wide @ picture)[-wish.k :].mean())
                for picture in package
            )
            for package in packages
        ]
        highest[category] = np.array(scores, np.float32)
        review = conformal_threshold(highest[category], RATES.review / 4)
        assert thresholds.categories[category].review == pytest.approx(review, abs=3e-6)
        assert thresholds.shares[category] == 0.25
    anywhere = np.max(list(highest.values()), axis=0)
    hold = conformal_threshold(anywhere, RATES.hold)
    (common,) = {pair.hold for pair in thresholds.categories.values()}
    assert common == pytest.approx(hold, abs=3e-6)
    # What a server reads from the version is what the build measured.
    scale = decode_scale(opened.attachments, fingerprint=fingerprint(), dimension=DIMENSION)
    assert scale.thresholds == thresholds and scale.normalisation == built.measured.scale.normalisation
    assert scale.ordinary is not None and scale.normaliser is not None
    for category, scores_of in highest.items():
        assert scale.ordinary.highest[category] == pytest.approx(scores_of, abs=2e-6)
        for score in (-1.0, 0.2, float(np.median(scores_of)), 1.0):
            as_high = int((scale.ordinary.highest[category].astype(np.float64) >= score).sum())
            assert scale.one_in(category, score) == (PACKAGES + 1) // (1 + as_high)


def test_a_background_picture_that_became_a_references_is_left_out_and_named(tmp_path: Path) -> None:
    with catalogue(tmp_path) as (store, references):
        add_background(store, np.concatenate([near(references[7], 1, 0.1), unit_vectors(3, DIMENSION, seed=9)]))
        measured = build(store).measured
    normalisation = measured.scale.normalisation
    assert measured.left_out == ["shelf/0.jpg"]
    assert normalisation is not None and (normalisation.pictures, normalisation.left_out) == (3, 1)


def test_packages_that_show_a_known_item_or_the_background_or_that_are_lost_do_not_count(tmp_path: Path) -> None:
    with catalogue(tmp_path) as (store, references):
        add_ordinary_packages(store, references)
        background = unit_vectors(5, DIMENSION, seed=9)
        add_background(store, background)
        other = unit_vectors(2, DIMENSION, seed=10)
        add_package_of(store, "a known item", np.stack([other[0], references[3]]))
        add_package_of(store, "the background", np.stack([other[1], background[2]]))
        add_package_of(store, "of another model", other, model="e" * 64)
        measured = build(store).measured
    assert (measured.known_items, measured.in_background, measured.lost) == (1, 1, 1)
    assert measured.thresholds is not None and measured.thresholds.packages == PACKAGES


def test_scores_of_another_model_background_or_size_are_refused(tmp_path: Path) -> None:
    with catalogue(tmp_path) as (store, references):
        add_ordinary_packages(store, references)
        add_background(store, unit_vectors(5, DIMENSION, seed=9))
        built = build(store)
        files = dict(open_version(store.versions_dir, built.manifest.version).attachments)

    def refused(told: str, dimension: int = DIMENSION, **changed: bytes | None) -> None:
        altered = {name.replace(".", "_"): name for name in files}
        mixed = files | {altered[name]: memoryview(content) for name, content in changed.items() if content is not None}
        for name in (altered[name] for name, content in changed.items() if content is None):
            del mixed[name]
        with pytest.raises(BrokenIndex, match=told):
            decode_scale(mixed, fingerprint=fingerprint(), dimension=dimension)

    other = bytes(files["normalisation.json"]).replace(fingerprint().encode(), b"e" * 64)
    refused("background belongs to model eeee", normalisation_json=other)
    other = bytes(files["package_thresholds.json"]).replace(fingerprint().encode(), b"e" * 64)
    refused("thresholds belong to model eeee", package_thresholds_json=other)
    refused(r"the index to \(none\)", normalisation_json=None)
    refused("background.f32 does not fit", background_f32=bytes(files["background.f32"])[:-4])
    refused("ordinary_highest.f32 does not fit", ordinary_highest_f32=None)
    refused("background.f32 does not fit", dimension=DIMENSION + 1)
