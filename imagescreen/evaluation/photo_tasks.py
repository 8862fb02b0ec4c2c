"""The tasks on a photo set: which rows are references, queries, ordinary goods and background.

Only rows of use `calibrate` and `test` are ever read: what the built-in model was trained on would flatter it.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from imagescreen.errors import PhotosUnusable, PictureUnavailable, WrongUse
from imagescreen.evaluation.edited_copies import edited_copy
from imagescreen.evaluation.photos import PhotoRow, PhotoSet
from imagescreen.evaluation.retrieval import recall_at
from imagescreen.evaluation.trials import Ids, Scores, Trial, packages_of
from imagescreen.pictures import PictureReader

GARMENTS, GROCERY, CATALOGUE, OBJECTS = "clothing", "grocery", "grocery_iconic", "caltech101"
KNOWN_OBJECTS = ("revolver", "watch", "wrench", "camera")
REFERENCES_OF_AN_OBJECT = 10
PACKAGE_PICTURES = 3
_USES = ("calibrate", "test")
# Larger than any side of a photograph of a set, so that an edit starts from the published size.
_WHOLE = 1 << 14


@dataclass(frozen=True, slots=True)
class PhotoPicture:
    """A row of the set, or an edited copy of it."""

    row: PhotoRow
    edited: bool
    read: Callable[[], bytes]

    @property
    def name(self) -> str:
        return f"{'edited copy of ' if self.edited else ''}{self.row.tar}/{self.row.member}"


@dataclass(frozen=True, slots=True)
class PhotoTask:
    """`trials` are measured one by one, and their packages' scores pooled."""

    name: str
    what: str
    trials: Sequence[Trial]
    labels: Ids


def photo_pictures(photos: PhotoSet, reader: PictureReader) -> list[PhotoPicture]:
    """Every row of use calibrate and test, and one edited copy of each garment of use test."""
    pictures = [PhotoPicture(row, False, partial(_read, photos, row)) for use in _USES for row in photos.rows(use=use)]
    copies = [
        PhotoPicture(row, True, partial(_read_edited, photos, row, reader))
        for row in photos.rows(use="test", tar=GARMENTS)
    ]
    return pictures + copies


def photo_tasks(pictures: Sequence[PhotoPicture], *, seed: int) -> list[PhotoTask]:
    """The tasks over the `pictures` that could be embedded. Raises WrongUse when the set lacks what one needs."""
    chosen = _Chosen(pictures, seed)
    return [
        _edited_copies(chosen),
        _grocery(chosen),
        _grocery_among_other_goods(chosen),
        *(_one_object(chosen, label) for label in KNOWN_OBJECTS),
    ]


@dataclass(frozen=True, slots=True)
class PromisePool:
    """Places: ordinary pictures that are all exchangeable, references that none of them shows, and background."""

    name: str
    references: Ids
    ordinary: Ids
    background: Ids


def promise_pools(pictures: Sequence[PhotoPicture], *, seed: int) -> list[PromisePool]:
    """Ordinary goods, each with known items of another kind."""
    chosen = _Chosen(pictures, seed)
    garments, groceries = chosen.places(GARMENTS, "test"), chosen.places(GROCERY, "test")
    objects = chosen.places(OBJECTS, "test", wanted=lambda row: row.label not in KNOWN_OBJECTS)
    known = chosen.places(OBJECTS, "test", wanted=lambda row: row.label in KNOWN_OBJECTS)
    catalogue = chosen.places(CATALOGUE, "test")
    background = chosen.background()
    return [
        PromisePool("objects against four classes of objects", known, objects, background),
        PromisePool("objects against catalogue pictures of groceries", catalogue, objects, background),
        PromisePool("groceries against garments", garments, groceries, background),
    ]


def edited_copies_right_first(pictures: Sequence[PhotoPicture], vectors: Scores) -> tuple[float, int]:
    """The share of edited copies whose own original is the nearest of all garments, and how many garments there are."""
    garments = [(place, picture) for place, picture in enumerate(pictures) if _is_garment(picture)]
    originals = {picture.row.member: place for place, picture in garments if not picture.edited}
    copies = [
        (place, originals[picture.row.member])
        for place, picture in garments
        if picture.edited and picture.row.member in originals
    ]
    known = np.array(list(originals.values()))
    queries, right = (np.array(column) for column in zip(*copies, strict=True))
    nearest = known[(vectors[queries] @ vectors[known].T).argmax(axis=1)]
    return recall_at(1, nearest[:, None], right), len(known)


def _is_garment(picture: PhotoPicture) -> bool:
    return (picture.row.tar, picture.row.use) == (GARMENTS, "test")


class _Chosen:
    """Places of pictures by what they are; places come in random order, the same for one seed."""

    def __init__(self, pictures: Sequence[PhotoPicture], seed: int) -> None:
        self.pictures = pictures
        self.random = np.random.default_rng(seed)
        self.names = np.array([picture.row.label for picture in pictures])
        self.labels = np.unique(self.names, return_inverse=True)[1].astype(np.int64)

    def places(
        self, tar: str, use: str, *, edited: bool = False, wanted: Callable[[PhotoRow], bool] = lambda _: True
    ) -> Ids:
        found = [
            place
            for place, picture in enumerate(self.pictures)
            if picture.edited == edited and (picture.row.tar, picture.row.use) == (tar, use) and wanted(picture.row)
        ]
        return self.random.permutation(np.array(found, np.int64))

    def background(self, without: str = "") -> Ids:
        """All of use calibrate but for one label."""
        kept = [self.places(tar, "calibrate", wanted=lambda row: row.label != without) for tar in (GARMENTS, OBJECTS)]
        return np.concatenate(kept)


def _edited_copies(chosen: _Chosen) -> PhotoTask:
    originals = chosen.places(GARMENTS, "test")
    _need(originals, 4, f"garments of use test in {GARMENTS}.tar")
    # Each garment is a known item of its own, and its copy shows it.
    labels = np.full(len(chosen.pictures), -1, np.int64)
    labels[originals] = originals
    place_of = {chosen.pictures[place].row.member: int(place) for place in originals}
    copies: dict[int, int] = {}
    for place in chosen.places(GARMENTS, "test", edited=True):
        original = place_of.get(chosen.pictures[place].row.member)
        if original is not None:
            labels[place] = original
            copies[original] = int(place)
    halves = (originals[: len(originals) // 2], originals[len(originals) // 2 :])
    trials = [
        Trial(
            references=known,
            positive=[np.array([copies[int(place)]]) for place in known if int(place) in copies],
            ordinary=packages_of(others, 1),
            background=chosen.background(),
        )
        for known, others in (halves, halves[::-1])
    ]
    return PhotoTask(
        "Edited copies among garments",
        "Half of the garments are known items, one picture each, and are looked for by one edited copy each; the other "
        "half are ordinary. Then the halves change places, and the scores of both are pooled.",
        trials,
        labels,
    )


def _grocery(chosen: _Chosen) -> PhotoTask:
    catalogue = chosen.places(CATALOGUE, "test")
    photos = chosen.places(GROCERY, "test")
    _need(catalogue, 2, f"pictures of use test in {CATALOGUE}.tar")
    _need(photos, 2, f"photographs of use test in {GROCERY}.tar")
    halves = (catalogue[: len(catalogue) // 2], catalogue[len(catalogue) // 2 :])
    trials = []
    for known, _ in (halves, halves[::-1]):
        shows_known = np.isin(chosen.labels[photos], chosen.labels[known])
        trials.append(
            Trial(
                references=known,
                positive=packages_of(photos[shows_known], 1),
                ordinary=packages_of(photos[~shows_known], 1),
                background=chosen.background(),
            )
        )
    return PhotoTask(
        "Grocery photographs against catalogue pictures",
        "Half of the products are known items, by one catalogue picture each, and are looked for by shop photographs; "
        "photographs of all other products, often another variety of the same fruit, are ordinary. Then the halves "
        "change places, and the scores of both are pooled.",
        trials,
        chosen.labels,
    )


def _grocery_among_other_goods(chosen: _Chosen) -> PhotoTask:
    catalogue = chosen.places(CATALOGUE, "test")
    photos = chosen.places(GROCERY, "test")
    shows_known = np.isin(chosen.labels[photos], chosen.labels[catalogue])
    others = np.concatenate([chosen.places(OBJECTS, "test"), chosen.places(GARMENTS, "test")])
    trial = Trial(
        references=catalogue,
        positive=packages_of(photos[shows_known], 1),
        ordinary=packages_of(others, 1),
        background=chosen.background(),
    )
    return PhotoTask(
        "Grocery photographs against catalogue pictures, among other goods",
        "All products are known items, by one catalogue picture each, and are looked for by shop photographs; objects "
        "and garments are ordinary.",
        [trial],
        chosen.labels,
    )


def _one_object(chosen: _Chosen, label: str) -> PhotoTask:
    test = chosen.places(OBJECTS, "test", wanted=lambda row: row.label == label)
    spare = chosen.places(OBJECTS, "calibrate", wanted=lambda row: row.label == label)
    _need(test, PACKAGE_PICTURES, f"pictures of {label} of use test in {OBJECTS}.tar")
    references = spare[:REFERENCES_OF_AN_OBJECT]
    if not len(references):
        references, test = test[:REFERENCES_OF_AN_OBJECT], test[REFERENCES_OF_AN_OBJECT:]
    others = chosen.places(OBJECTS, "test", wanted=lambda row: row.label != label)
    trial = Trial(
        references=references,
        positive=_opened_by_each(test, PACKAGE_PICTURES),
        ordinary=_of_one_label(others, chosen.labels, PACKAGE_PICTURES),
        background=chosen.background(without=label),
    )
    source = "use calibrate" if len(spare) else "the same rows, then taken out"
    return PhotoTask(
        f"One class among the others: {label}",
        f"{len(references)} pictures of the class ({source}) are one known item. Packages have {PACKAGE_PICTURES} "
        "pictures of one class; each remaining picture of the known class opens one, so those share pictures.",
        [trial],
        chosen.labels,
    )


def _opened_by_each(pictures: Ids, size: int) -> list[Ids]:
    """A package for each picture, with the `size` - 1 that follow it, around the end."""
    return [np.take(pictures, np.arange(first, first + size), mode="wrap") for first in range(len(pictures))]


def _of_one_label(pictures: Ids, labels: Ids, size: int) -> list[Ids]:
    return [
        package
        for label in np.unique(labels[pictures])
        for package in packages_of(pictures[labels[pictures] == label], size)
    ]


def _need(found: Ids, count: int, what: str) -> None:
    if len(found) < count:
        raise WrongUse(f"the photo set has {len(found)} {what}; at least {count} are needed")


def _read(photos: PhotoSet, row: PhotoRow) -> bytes:
    try:
        return photos.read(row)
    except PhotosUnusable as error:
        raise PictureUnavailable(f"{error.detail}.") from None


def _read_edited(photos: PhotoSet, row: PhotoRow, reader: PictureReader) -> bytes:
    """The seed is the row's own, so that a copy does not depend on which others are made."""
    data = _read(photos, row)
    image = reader.read(data, reader.header(data), reduce_to=_WHOLE).image
    return edited_copy(image, np.random.default_rng(zlib.crc32(row.member.encode())))
