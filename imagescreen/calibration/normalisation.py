"""From raw similarities to scores: less what a picture resembles of ordinary goods anyway."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex

_QUERIES_AT_ONCE = 32


class NormalisationWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of the background is subtracted: `beta` times the mean of the `k` highest similarities to it.

    Subtracting a multiple of the mean similarity to the nearest of a background set is the score normalisation of
    Douze et al., The 2021 Image Similarity Dataset and Challenge (2021). The defaults are chosen on photographs that no
    reported figure uses; see docs/quality.md.
    """

    beta: Annotated[float, Meta(ge=0, le=5)] = 0.75
    k: Annotated[int, Meta(ge=1, le=200)] = 3


class Normalisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an index version normalises scores with; `background` is the version of the set, `left_out` the pictures of
    it that have become near-duplicates of references since they were added.
    """

    background: str
    pictures: int
    left_out: int
    beta: float
    k: int
    fingerprint: str


Vectors: TypeAlias = NDArray[np.float32]
NearestRows: TypeAlias = Callable[[Vectors, Vectors, int], NDArray[np.int64]]
"""(vectors (m, d), queries (n, d), k) -> (n, k) rows of the k vectors that are nearest to each query, in any order."""


def nearest_by_product(vectors: Vectors, queries: Vectors, k: int) -> NDArray[np.int64]:
    """With one product of matrices: best for many queries. For a few, numpy's threads wait for each other too long."""
    return np.argpartition(queries @ vectors.T, -k, axis=1)[:, -k:]


@dataclass(frozen=True, slots=True, eq=False)
class Normaliser:
    """Scores of queries against anything are their similarities less the query's term; `background` (m, d) float32 of
    unit length, m at least 1, may be a map of a file. `centre` (d,) is its mean.
    """

    background: Vectors
    beta: float
    k: int
    nearest: NearestRows = nearest_by_product
    centre: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre", self.background.mean(axis=0, dtype=np.float64))

    def terms(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) what is subtracted from every similarity of each of `queries` (n, d) float32, unit length.

        The same for a query whatever others are asked at the same time, but for background pictures that are alike to
        the rounding of float32.
        """
        return np.concatenate([np.empty(0), *(self._terms(block) for block in _blocks(queries))])

    def highest(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) the similarity of each query to the background picture that is nearest to it."""
        nearest = [(block @ self.background.T).max(axis=1) for block in _blocks(queries)]
        return np.concatenate([np.empty(0, np.float32), *nearest])

    def _terms(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        k = min(self.k, len(self.background))
        rows = self.nearest(self.background, queries, k)
        # Again and exactly: products of matrices round differently with the number of queries at a time.
        exact = (self.background[rows].astype(np.float64) * queries[:, np.newaxis]).sum(axis=2)
        # Summed in the order of their size, since that of the rows is not defined.
        terms: NDArray[np.float64] = self.beta * np.sort(exact, axis=1).mean(axis=1)
        return terms


def encode_normalisation(normalisation: Normalisation) -> bytes:
    return msgspec.json.format(msgspec.json.encode(normalisation, order="sorted"))


def decode_normalisation(data: bytes | memoryview, *, fingerprint: str) -> Normalisation:
    """Raises BrokenIndex when the file is damaged or the background was embedded with another model."""
    try:
        normalisation = msgspec.json.decode(data, type=Normalisation)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenIndex(f"its normalisation cannot be read: {error}") from None
    if normalisation.fingerprint != fingerprint:
        raise BrokenIndex(f"its background belongs to model {normalisation.fingerprint}, the index to {fingerprint}")
    return normalisation


def _blocks(queries: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [queries[start : start + _QUERIES_AT_ONCE] for start in range(0, len(queries), _QUERIES_AT_ONCE)]
