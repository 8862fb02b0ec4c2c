"""How an index version turns similarities into scores, what a score exceeds, and how rare it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from imagescreen.calibration.normalisation import (
    NearestRows,
    Normalisation,
    Normaliser,
    decode_normalisation,
    encode_normalisation,
    nearest_by_product,
)
from imagescreen.calibration.ordinary import OrdinaryPackages
from imagescreen.calibration.thresholds import Thresholds, WordThresholds, decode_thresholds, encode_thresholds
from imagescreen.errors import BrokenIndex

THRESHOLDS_FILE = "package_thresholds.json"
NORMALISATION_FILE = "normalisation.json"
BACKGROUND_FILE = "background.f32"  # (pictures, d) float32
ORDINARY_FILE = "ordinary.f32"  # (m, d) float32; see OrdinaryPackages for these four
TERMS_FILE = "ordinary_terms.f32"  # (m,) float32
STARTS_FILE = "ordinary_starts.i64"  # (n,) int64
HIGHEST_FILE = "ordinary_highest.f32"  # (categories by name, n) float32
WORDS_FILE = "ordinary_words.f32"  # (n,) float32, where references are described in words

Content: TypeAlias = bytes | memoryview

_ROUNDING = 1e-9
"""A floor for similarities is a sum, and what exceeds a threshold must not be lost to its rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """`normalisation` and `normaliser` are there together: None without a background, and scores are similarities.

    `thresholds` and `ordinary`, the packages behind them, are there together: None before calibration.
    """

    normalisation: Normalisation | None = None
    normaliser: Normaliser | None = None
    thresholds: Thresholds | None = None
    ordinary: OrdinaryPackages | None = None

    def terms(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) what is subtracted from the similarities of each of `queries` (n, d)."""
        return np.zeros(len(queries)) if self.normaliser is None else self.normaliser.terms(queries)

    def floors(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) similarities below which nothing exceeds a threshold, for queries with those terms; infinite before
        calibration.
        """
        lowest = math.inf if self.thresholds is None else self.thresholds.lowest_review()
        return terms + lowest - _ROUNDING

    def one_in(self, category: str | None, score: float) -> int | None:
        """See `OrdinaryPackages.one_in`; None before calibration."""
        return None if self.ordinary is None else self.ordinary.one_in(category, score)

    def one_in_of_words(self, score: float) -> int | None:
        """See `OrdinaryPackages.one_in_of_words`; None before calibration."""
        return None if self.ordinary is None else self.ordinary.one_in_of_words(score)

    @property
    def of_words(self) -> WordThresholds | None:
        """None before thresholds were measured for references described in words."""
        return None if self.thresholds is None else self.thresholds.words

    @property
    def centre(self) -> NDArray[np.float64]:
        """What is taken off a vector before it is compared with words: the background's mean (d,), or 0 without one, so
        that a score by words is by how much more a picture fits them than ordinary goods do on average.
        """
        return np.zeros(1) if self.normaliser is None else self.normaliser.centre


RAW_SCORES = Scale()
"""Scores are similarities, and nothing is known of them."""


def encode_scale(scale: Scale) -> dict[str, Content]:
    """The files of an index version that `decode_scale` reads."""
    files: dict[str, Content] = {}
    if scale.normalisation is not None and scale.normaliser is not None:
        files[NORMALISATION_FILE] = encode_normalisation(scale.normalisation)
        files[BACKGROUND_FILE] = _content(scale.normaliser.background, "<f4")
    if scale.thresholds is not None and scale.ordinary is not None:
        files[THRESHOLDS_FILE] = encode_thresholds(scale.thresholds)
        files[ORDINARY_FILE] = _content(scale.ordinary.vectors, "<f4")
        files[TERMS_FILE] = _content(scale.ordinary.terms, "<f4")
        files[STARTS_FILE] = _content(scale.ordinary.starts, "<i8")
        highest = np.stack([scale.ordinary.highest[category] for category in sorted(scale.ordinary.highest)])
        files[HIGHEST_FILE] = _content(highest, "<f4")
        if scale.ordinary.words is not None:
            files[WORDS_FILE] = _content(scale.ordinary.words, "<f4")
    return files


def decode_scale(
    files: Mapping[str, Content], *, fingerprint: str, dimension: int, nearest: NearestRows = nearest_by_product
) -> Scale:
    """What an index version of this embedding space says; arrays are views of its files, which may be mapped.
    `nearest` is how the background is looked through.

    Raises BrokenIndex when a file is damaged or missing, or belongs to another model or background.
    """
    normalisation = normaliser = thresholds = ordinary = None
    if NORMALISATION_FILE in files:
        normalisation = decode_normalisation(files[NORMALISATION_FILE], fingerprint=fingerprint)
        background = _floats(files, BACKGROUND_FILE, (normalisation.pictures, dimension))
        if not len(background):
            raise BrokenIndex("its background is empty")
        normaliser = Normaliser(background, normalisation.beta, normalisation.k, nearest)
    if THRESHOLDS_FILE in files:
        thresholds = decode_thresholds(
            files[THRESHOLDS_FILE],
            fingerprint=fingerprint,
            background=None if normalisation is None else normalisation.background,
        )
        categories = sorted(thresholds.categories)
        highest = _floats(files, HIGHEST_FILE, (len(categories), thresholds.packages))
        ordinary = OrdinaryPackages(
            vectors=_floats(files, ORDINARY_FILE, (thresholds.pictures, dimension)),
            terms=_floats(files, TERMS_FILE, (thresholds.pictures,)),
            starts=np.frombuffer(_file(files, STARTS_FILE, 8 * thresholds.packages), "<i8"),
            highest=dict(zip(categories, highest, strict=True)),
            words=None if thresholds.words is None else _floats(files, WORDS_FILE, (thresholds.packages,)),
        )
    return Scale(normalisation, normaliser, thresholds, ordinary)


def _content(array: NDArray[np.float32] | NDArray[np.int64], dtype: str) -> memoryview:
    return np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data


def _floats(files: Mapping[str, Content], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.frombuffer(_file(files, name, 4 * math.prod(shape)), "<f4").reshape(shape)


def _file(files: Mapping[str, Content], name: str, size_bytes: int) -> Content:
    content = files.get(name)
    if content is None or len(content) != size_bytes:
        raise BrokenIndex(f"{name} does not fit what else it says of scores")
    return content
