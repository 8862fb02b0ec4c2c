"""What words catch is measured on rows that they may be measured on, with the service's own matcher."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from imagescreen.embedding.encoder import Encoder, load_encoder
from imagescreen.errors import WrongUse
from imagescreen.evaluation.embedded import Embedded
from imagescreen.evaluation.photo_tasks import KNOWN_OBJECTS, PhotoPicture
from imagescreen.evaluation.photos import PhotoRow
from imagescreen.evaluation.words import choices, known_classes
from imagescreen.settings import BUILT_IN_MODEL, Device, DType
from tests.conftest import ROOT

OTHERS = ("lamp", "chair", "anchor", "cup")
PICTURES = 12


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(BUILT_IN_MODEL, ROOT / "weights", dtype=DType.FLOAT32, device=Device.CPU, threads=1)


@pytest.fixture(scope="module")
def embedded(encoder: Encoder) -> Embedded[PhotoPicture]:
    """Pictures near the words for their label, in the embedding space, and ordinary ones enough for 1 in 100."""
    random = np.random.default_rng(5)
    rows, vectors = [], []
    for label in (*KNOWN_OBJECTS, *OTHERS):
        words = encoder.encode_words([f"a photo of a {label}"])[0]
        for use in ("train", "calibrate", "test"):
            for number in range(PICTURES if label in KNOWN_OBJECTS else 10 * PICTURES):
                near = words + 0.3 * random.normal(size=len(words)) / np.sqrt(len(words))
                rows.append(PhotoRow("caltech101", f"{use}/{label}/{number}.jpg", label, "", use))
                vectors.append(near / np.linalg.norm(near))
    return made_of(rows, np.stack(vectors).astype("f4"))


def made_of(
    rows: Sequence[PhotoRow], vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]]
) -> Embedded[PhotoPicture]:
    return Embedded(tuple(PhotoPicture(row, False, partial(bytes, 0)) for row in rows), vectors, (), ())


def test_classes_are_found_by_their_words_among_others(embedded: Embedded[PhotoPicture], encoder: Encoder) -> None:
    found = known_classes(embedded, encoder, seed=1)
    # Neither what the model was trained on nor another known class is ordinary.
    ordinary = 10 * PICTURES * len(OTHERS)
    assert [(one.label, one.pictures, one.ordinary) for one in found] == [
        (label, PICTURES, ordinary) for label in KNOWN_OBJECTS
    ]
    for one in found:
        assert min(one.alone, one.contrasted, one.together) > 0.9
        assert one.interval.low <= one.alone <= one.interval.high
        assert len(set(one.contrast)) == 3 and set(one.contrast) < set(OTHERS)


def test_a_set_without_a_known_class_is_refused_by_its_name(embedded: Embedded[PhotoPicture], encoder: Encoder) -> None:
    kept = [place for place, one in enumerate(embedded.pictures) if one.row.label != "wrench"]
    without = made_of([embedded.pictures[place].row for place in kept], embedded.vectors[kept])
    with pytest.raises(WrongUse, match="no pictures of wrench of use test"):
        known_classes(without, encoder, seed=1)


def test_ways_to_score_are_compared_without_the_classes_that_figures_are_of(
    embedded: Embedded[PhotoPicture], encoder: Encoder
) -> None:
    # Several classes are compared against others, so not all of them can be chosen at a time.
    compared = choices(embedded, encoder, seed=1, splits=2, together=2)
    assert {one.classes for one in compared} == {len(OTHERS)}
    served = [one.recall for one in compared if "(the service)" in one.what]
    assert len(served) == 2 and min(served) > 0.9
