"""Figures of hand-made vectors, and which sets can be measured with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagescreen.errors import WrongUse
from imagescreen.evaluation.photo_tasks import PhotoPicture
from imagescreen.evaluation.photos import PhotoRow, PhotoSet
from imagescreen.evaluation.training.measure import Measured, Vectors, check_measurable, measure
from tests.evaluation.training.conftest import KEPT_OUT, TRAINED, write_photo_set

NAMES = ("hat", "pear", "apple", "p1", "p2", "p3", "p4", "p5", "lamp", "stapler", "revolver")


def at(*places: int) -> Vectors:
    """A unit vector that has its largest component first, the others smaller each."""
    vector = np.zeros(16, np.float32)
    for rank, place in enumerate(places):
        vector[place] = 0.5**rank
    return vector / np.linalg.norm(vector)


CASES = [
    # Garments: the first copy finds its own, the second one a garment of use calibrate.
    (PhotoRow("clothing", "a", "hat", "", "test"), False, at(0)),
    (PhotoRow("clothing", "b", "hat", "", "test"), False, at(1)),
    (PhotoRow("clothing", "c", "hat", "", "calibrate"), False, at(2)),
    (PhotoRow("clothing", "a", "hat", "", "test"), True, at(0, 1)),
    (PhotoRow("clothing", "b", "hat", "", "test"), True, at(2, 1)),
    # Seven catalogue pictures; apple's photograph finds it first, pear's one third, p5's one last.
    *((PhotoRow("grocery_iconic", name, name, "", "test"), False, at(n)) for n, name in enumerate(NAMES[1:8])),
    (PhotoRow("grocery", "1", "apple", "", "test"), False, at(1)),
    (PhotoRow("grocery", "2", "pear", "", "test"), False, at(4, 5, 0)),
    (PhotoRow("grocery", "3", "p5", "", "test"), False, at(0, 1, 2, 3, 4, 5, 6)),
    (PhotoRow("grocery", "4", "no catalogue picture", "", "test"), False, at(9)),
    # Objects: two lamps near each other, a stapler that is nearest to a lamp, and a class that is kept out.
    (PhotoRow("caltech101", "1", "lamp", "", "test"), False, at(8, 9)),
    (PhotoRow("caltech101", "2", "lamp", "", "test"), False, at(8, 10)),
    (PhotoRow("caltech101", "3", "stapler", "", "test"), False, at(9, 8)),
    (PhotoRow("caltech101", "4", "revolver", "", "test"), False, at(9)),
    (PhotoRow("caltech101", "5", "BACKGROUND_Google", "", "test"), False, at(9)),
]


def measured(cases: list[tuple[PhotoRow, bool, Vectors]]) -> Measured:
    names = (*NAMES, "no catalogue picture")
    words = np.eye(16, dtype=np.float32)[: len(names)]
    pictures = [PhotoPicture(row, edited, bytes) for row, edited, _ in cases]
    vectors = np.stack([vector for _, _, vector in cases])
    return measure(pictures, vectors, seen=frozenset({"hat", "apple"}), names=names, words=words)


def test_each_figure_is_the_share_of_right_answers() -> None:
    found = measured(CASES)
    assert (found.edited_copies_r1, found.copies, found.garments) == (0.5, 2, 3)
    assert found.grocery_photos == 3
    assert found.grocery_r1 == pytest.approx(1 / 3)
    assert found.grocery_r5 == pytest.approx(2 / 3)
    assert found.objects == 3
    assert found.objects_r1 == pytest.approx(2 / 3)
    # Of use test and of seen classes: garments at places 0 (hat, right) and 1, and apple at 1 ("pear", wrong).
    assert (found.words_pictures, found.names) == (3, 12)
    assert found.words_r1 == pytest.approx(1 / 3)


def test_a_copy_whose_original_could_not_be_read_is_left_out() -> None:
    found = measured([case for case in CASES if (case[0].member, case[1]) != ("b", False)])
    assert (found.edited_copies_r1, found.copies, found.garments) == (1.0, 1, 2)


def test_a_set_without_what_a_figure_needs_is_refused_by_name() -> None:
    with pytest.raises(WrongUse, match=r"no pictures of grocery\.tar"):
        measured([case for case in CASES if case[0].tar != "grocery"])


@pytest.mark.parametrize(
    ("lacking", "named"),
    [("clothing", "clothing.tar"), ("grocery_iconic", "grocery_iconic.tar"), ("caltech101", "caltech101.tar")],
)
def test_a_set_that_could_not_be_measured_is_refused_before_training(tmp_path: Path, lacking: str, named: str) -> None:
    rows = TRAINED + KEPT_OUT
    check_measurable(PhotoSet(write_photo_set(tmp_path / "whole", rows, [])))
    left = [row if row.tar != lacking else replace(row, use="train") for row in rows]
    with pytest.raises(WrongUse, match=f"{named}.*--no-measure"):
        check_measurable(PhotoSet(write_photo_set(tmp_path / "lacking", left, [])))
