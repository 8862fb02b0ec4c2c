"""What the built-in model is measured by, on rows of use `test` alone; the card and the document show it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import WrongUse
from imagescreen.evaluation.photo_tasks import CATALOGUE, GARMENTS, GROCERY, OBJECTS, PhotoPicture, photo_pictures
from imagescreen.evaluation.photos import PhotoRow, PhotoSet
from imagescreen.evaluation.retrieval import recall_at
from imagescreen.evaluation.training.names import NO_CLASS, class_name, class_names
from imagescreen.pictures import PictureReader

Vectors = NDArray[np.float32]

KEPT_OUT = "revolver"
"""A class of objects that only other figures of the project use: no goal is set on it."""

_RANKED = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """Each from 0 to 1. `words` is None for a model without a text side."""

    edited_copies_r1: float
    copies: int
    garments: int
    grocery_r1: float
    grocery_r5: float
    grocery_photos: int
    objects_r1: float
    objects: int
    words_r1: float | None
    words_pictures: int
    names: int
    rejected: int = 0
    """Pictures that could not be read and are in none of the figures."""


def measured_pictures(photos: PhotoSet, reader: PictureReader) -> list[PhotoPicture]:
    """Rows of use calibrate and test with the edited copies of the garments of use test."""
    return [
        picture
        for picture in photo_pictures(photos, reader)
        if picture.row.use == "test" or picture.row.tar == GARMENTS
    ]


def seen_names(photos: PhotoSet) -> frozenset[str]:
    """Names of the classes that have rows to train on."""
    return frozenset(class_names([row.label for row in photos.rows(use="train")]))


def all_names(photos: PhotoSet) -> tuple[str, ...]:
    return class_names([row.label for row in photos.rows()])


def check_measurable(photos: PhotoSet) -> None:
    """Raises WrongUse, before anything is trained, for a set whose rows lack what `measure` takes."""
    seen = seen_names(photos)
    test = photos.rows(use="test")
    found = {
        f"{GARMENTS}.tar": any(row.tar == GARMENTS for row in test),
        f"{GROCERY}.tar": any(row.tar == GROCERY for row in test),
        f"{CATALOGUE}.tar with labels of {GROCERY}.tar": bool(
            {row.label for row in test if row.tar == CATALOGUE} & {row.label for row in test if row.tar == GROCERY}
        ),
        f"{CATALOGUE}.tar, of which {_RANKED} are needed": sum(row.tar == CATALOGUE for row in test) >= _RANKED,
        f"{OBJECTS}.tar whose class has none to train on": any(
            row.tar == OBJECTS and _held_out(row, seen) for row in test
        ),
        "a class that has some to train on": any(row.tar != CATALOGUE and _seen(row, seen) for row in test),
    }
    missing = [what for what, there in found.items() if not there]
    if missing:
        raise WrongUse(
            f"the model cannot be measured on this photo set, which has no pictures of use test of {missing[0]}: "
            "train with --no-measure"
        )


def measure(
    pictures: Sequence[PhotoPicture],
    vectors: Vectors,
    *,
    seen: frozenset[str],
    names: Sequence[str],
    words: Vectors | None,
) -> Measured:
    """`vectors` (n, d) of the `pictures`, `words` (c, d) of the `names`, all of unit length.

    Garments: edited copies of use test among all garments of use calibrate and test. Groceries: photographs against
    catalogue pictures, right when the class is. Objects: each picture of the classes that nothing was trained on,
    against all others of those classes. Words: pictures of use test of the `seen` classes, over all names.
    Raises WrongUse when the set lacks rows for one of them.
    """
    rows = [picture.row for picture in pictures]
    edited = np.array([picture.edited for picture in pictures])

    def places(tar: str, *, use: str | None = "test", copies: bool = False) -> NDArray[np.int64]:
        found = [n for n, row in enumerate(rows) if row.tar == tar and use in (None, row.use) and edited[n] == copies]
        if not found:
            raise WrongUse(f"the photo set has no pictures of {tar}.tar that can be measured with")
        return np.array(found)

    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([-1 if row.label == NO_CLASS else numbers[class_name(row.label)] for row in rows])
    originals, copies = places(GARMENTS, use=None), places(GARMENTS, copies=True)
    by_member = {rows[place].member: place for place in originals}
    # A copy whose original could not be read has nothing to be found.
    copies = np.array([place for place in copies if rows[place].member in by_member])
    own = np.array([by_member[rows[place].member] for place in copies])
    photos_of, catalogue = places(GROCERY), places(CATALOGUE)
    photos_of = photos_of[np.isin(labels[photos_of], labels[catalogue])]
    ranked = _ranked(vectors[photos_of], vectors[catalogue], _RANKED)
    objects = np.array([place for place in places(OBJECTS) if _held_out(rows[place], seen)])
    if not len(objects):
        raise WrongUse("the photo set has no classes of objects without rows to train on")
    right_words = None
    named = np.array([n for n, row in enumerate(rows) if row.use == "test" and not edited[n] and _seen(row, seen)])
    named = named[[rows[place].tar != CATALOGUE for place in named]]
    if words is not None:
        right_words = float(((vectors[named] @ words.T).argmax(1) == labels[named]).mean())
    return Measured(
        edited_copies_r1=recall_at(1, originals[_ranked(vectors[copies], vectors[originals], 1)], own),
        copies=len(copies),
        garments=len(originals),
        grocery_r1=recall_at(1, labels[catalogue][ranked], labels[photos_of]),
        grocery_r5=recall_at(_RANKED, labels[catalogue][ranked], labels[photos_of]),
        grocery_photos=len(photos_of),
        objects_r1=_same_class_first(vectors[objects], labels[objects]),
        objects=len(objects),
        words_r1=right_words,
        words_pictures=len(named),
        names=len(names),
    )


def _seen(row: PhotoRow, seen: frozenset[str]) -> bool:
    return row.label != NO_CLASS and class_name(row.label) in seen


def _held_out(row: PhotoRow, seen: frozenset[str]) -> bool:
    return row.label not in (NO_CLASS, KEPT_OUT) and class_name(row.label) not in seen


def _ranked(queries: Vectors, known: Vectors, k: int) -> NDArray[np.int64]:
    ranked: NDArray[np.int64] = np.argsort(-(queries @ known.T), axis=1, kind="stable")[:, :k]
    return ranked


def _same_class_first(vectors: Vectors, labels: NDArray[np.int64]) -> float:
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    return float((labels[similarity.argmax(1)] == labels).mean())
