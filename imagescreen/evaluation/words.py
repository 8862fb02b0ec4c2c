"""What words catch on a photo set, by the service's own matcher: classes of objects described in phrases, without any
picture of them.

Only rows of use `calibrate` and `test` are read. The formula of the score was chosen on `calibrate` rows of classes
that no figure is reported of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from imagescreen.calibration.intervals import Interval
from imagescreen.embedding.encoder import Encoder
from imagescreen.errors import WrongUse
from imagescreen.evaluation.bootstrap import intervals
from imagescreen.evaluation.curves import recall_at_rate
from imagescreen.evaluation.embedded import Embedded
from imagescreen.evaluation.photo_tasks import GARMENTS, KNOWN_OBJECTS, OBJECTS, PhotoPicture
from imagescreen.evaluation.photos import PhotoRow
from imagescreen.matching import DescribedReference, WordMatcher

RATE = 0.01
PHRASES = ("a photo of a {}", "a {}", "a picture of a {} on a white background", "a product photo of a {}")
CONTRAST = ("a photo of a {}",)
CONTRASTED = 3
"""Classes of whose pictures the background has some that fit the words best: what words are confused with."""

_LEAST_PICTURES = 5
_NO_CLASS = "BACKGROUND_Google"
_ROUNDS = 500

Wide = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassByWords:
    """Recall at 1 false flag in 100 ordinary pictures: the class alone, the same with contrast phrases, and beside the
    other known classes under one threshold. `contrast` names the classes in the contrast phrases.
    """

    label: str
    pictures: int
    ordinary: int
    alone: float
    interval: Interval
    contrasted: float
    together: float
    contrast: Sequence[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """The mean recall over classes (of use calibrate) with one way to make a score."""

    what: str
    classes: int
    recall: float


@dataclass(frozen=True, slots=True)
class _Pictures:
    rows: Sequence[PhotoRow]
    vectors: NDArray[np.float32]

    def places(self, wanted: Callable[[PhotoRow], bool]) -> NDArray[np.int64]:
        return np.array([place for place, row in enumerate(self.rows) if wanted(row)], np.int64)


def known_classes(embedded: Embedded[PhotoPicture], encoder: Encoder, *, seed: int) -> list[ClassByWords]:
    """The known classes of objects among the others of use test; all rows of use calibrate but theirs are background.

    Raises WrongUse when the set lacks one of them.
    """
    pictures = _originals(embedded)
    known = set(KNOWN_OBJECTS)
    background = pictures.places(lambda row: row.use == "calibrate" and row.label not in known)
    ordinary = pictures.vectors[
        pictures.places(lambda row: (row.tar, row.use) == (OBJECTS, "test") and row.label not in known)
    ]
    centre = pictures.vectors[background].mean(axis=0, dtype=np.float64)
    together = WordMatcher.of([_described(label, (), encoder) for label in KNOWN_OBJECTS])
    others = together.highest(ordinary, centre)
    found = []
    for place, label in enumerate(KNOWN_OBJECTS):
        own = pictures.vectors[_of_class(pictures, label, "test")]
        if not len(own):
            raise WrongUse(f"the photo set has no pictures of {label} of use test in {OBJECTS}.tar")
        confused = _confused(label, pictures, background, centre, encoder)
        alone, contrasted = (
            WordMatcher.of([_described(label, contrast, encoder)]).highest(np.concatenate([own, ordinary]), centre)
            for contrast in ((), confused)
        )
        among = together.scores(own, centre)[1][:, place]
        found.append(
            ClassByWords(
                label=label,
                pictures=len(own),
                ordinary=len(ordinary),
                alone=recall_at_rate(alone[: len(own)], alone[len(own) :], RATE),
                interval=_interval(alone[: len(own)], alone[len(own) :], seed),
                contrasted=recall_at_rate(contrasted[: len(own)], contrasted[len(own) :], RATE),
                together=recall_at_rate(among, others, RATE),
                contrast=confused,
            )
        )
    return found


def _interval(positive: NDArray[np.float32], ordinary: NDArray[np.float32], seed: int) -> Interval:
    (interval,) = intervals(
        lambda drawn, others: np.array([recall_at_rate(positive[drawn], ordinary[others], RATE)]),
        positives=len(positive),
        ordinary=len(ordinary),
        rounds=_ROUNDS,
        seed=seed,
    )
    return interval


def choices(
    embedded: Embedded[PhotoPicture], encoder: Encoder, *, seed: int, splits: int = 30, together: int = 8
) -> list[Choice]:
    """Ways to make a score, on rows of use calibrate without the known classes: half of the other rows are background,
    half ordinary. `together` classes at a time have one threshold.
    """
    pictures = _originals(embedded)
    labels = [
        label
        for label in sorted({row.label for row in pictures.rows if row.tar == OBJECTS} - {*KNOWN_OBJECTS, _NO_CLASS})
        if len(_of_class(pictures, label, "calibrate")) >= _LEAST_PICTURES
    ]
    random = np.random.default_rng(seed)
    offsets: dict[str, list[float]] = {}
    for _ in range(splits):
        chosen = [str(label) for label in random.permutation(labels)[:together]]
        for what, recall in _by_offset(pictures, chosen, encoder, random).items():
            offsets.setdefault(what, []).append(recall)
    contrasts: dict[str, list[float]] = {}
    for label in labels:
        for what, recall in _by_contrast(pictures, label, encoder, random).items():
            contrasts.setdefault(what, []).append(recall)
    return [
        *(Choice(f"{together} classes, {what}", len(labels), float(np.mean(all_))) for what, all_ in offsets.items()),
        *(Choice(f"one class, {what}", len(labels), float(np.mean(all_))) for what, all_ in contrasts.items()),
    ]


def _by_offset(
    pictures: _Pictures, labels: Sequence[str], encoder: Encoder, random: np.random.Generator
) -> Mapping[str, float]:
    """Several classes under one threshold."""
    background, ordinary = _halves(pictures, labels, random)
    directions = np.concatenate([_described(label, (), encoder).directions for label in labels])
    fits = pictures.vectors.astype(np.float64) @ directions.T
    mean, spread = fits[background].mean(axis=0), fits[background].std(axis=0)
    ways = {
        "cosine": fits,
        "cosine less the background's mean (the service)": fits - mean,
        "the same over the background's deviation": (fits - mean) / spread,
    }
    return {
        what: float(
            np.mean(
                [
                    recall_at_rate(
                        scores[_of_class(pictures, label, "calibrate"), place], scores[ordinary].max(axis=1), RATE
                    )
                    for place, label in enumerate(labels)
                ]
            )
        )
        for what, scores in ways.items()
    }


def _by_contrast(pictures: _Pictures, label: str, encoder: Encoder, random: np.random.Generator) -> Mapping[str, float]:
    """One class, with what its words are confused with as contrast."""
    background, ordinary = _halves(pictures, [label], random)
    centre = pictures.vectors[background].mean(axis=0, dtype=np.float64)
    confused = _confused(label, pictures, background, centre, encoder)
    reference = _described(label, confused, encoder)
    centred = (pictures.vectors.astype(np.float64) - centre) @ reference.directions.T
    served = WordMatcher.of([reference]).scores(pictures.vectors, centre)[1][:, 0]
    ways: dict[str, Wide] = {
        "without contrast": centred[:, 0],
        "contrast where it fits better (the service)": served,
        "contrast taken off in full": centred[:, 0] - centred[:, 1:].max(axis=1),
    }
    own = _of_class(pictures, label, "calibrate")
    return {what: recall_at_rate(scores[own], scores[ordinary], RATE) for what, scores in ways.items()}


def _halves(
    pictures: _Pictures, without: Sequence[str], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    others = pictures.places(lambda row: row.use == "calibrate" and row.label not in {*without, *KNOWN_OBJECTS})
    mixed = random.permutation(others)
    return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def _confused(
    label: str, pictures: _Pictures, background: NDArray[np.int64], centre: Wide, encoder: Encoder
) -> list[str]:
    """The classes of objects with background pictures that fit the words of `label` best."""
    own = WordMatcher.of([_described(label, (), encoder)]).highest(pictures.vectors[background], centre)
    best: dict[str, float] = {}
    for score, place in zip(own.tolist(), background.tolist(), strict=True):
        row = pictures.rows[place]
        if row.tar == OBJECTS and row.label != _NO_CLASS:
            best[row.label] = max(best.get(row.label, -np.inf), score)
    return sorted(best, key=lambda name: -best[name])[:CONTRASTED]


def _of_class(pictures: _Pictures, label: str, use: str) -> NDArray[np.int64]:
    return pictures.places(lambda row: (row.tar, row.use, row.label) == (OBJECTS, use, label))


def _described(label: str, contrast: Sequence[str], encoder: Encoder) -> DescribedReference:
    phrases = _phrases(PHRASES, [label])
    contrasting = _phrases(CONTRAST, contrast)
    return DescribedReference(uuid4(), phrases, encoder.encode_words(phrases), encoder.encode_words(contrasting))


def _phrases(templates: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(template.format(label.replace("_", " ")) for label in labels for template in templates)


def _originals(embedded: Embedded[PhotoPicture]) -> _Pictures:
    kept = [
        place
        for place, picture in enumerate(embedded.pictures)
        if not picture.edited and picture.row.tar in (OBJECTS, GARMENTS)
    ]
    return _Pictures([embedded.pictures[place].row for place in kept], embedded.vectors[kept])
