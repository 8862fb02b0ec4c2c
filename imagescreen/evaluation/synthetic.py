"""Unit vectors that stand for a catalogue of any size, and queries for it, to measure an index with.

Clusters with centres uniform on the sphere; two members of one have a median cosine of 0.6. That is harder than
embeddings of real pictures: unrelated clusters are near nothing, so that no structure among them helps a search.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

MEMBERS = 100
WITHIN_CLUSTER = 0.6
MOVED = 0.85


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """`vectors` in all, in clusters of 100 whose members are far apart from each other in the order of the rows."""

    vectors: int
    dimension: int
    seed: int

    @property
    def clusters(self) -> int:
        return -(-self.vectors // MEMBERS)

    def blocks(self) -> Iterator[Vectors]:
        """The vectors (n, d) in order, one member of each cluster at a time."""
        centres = self.centres()
        left = self.vectors
        for member in range(MEMBERS):
            block = self._members(centres[:left], member)
            yield block
            left -= len(block)

    def centres(self) -> Vectors:
        return _on_sphere(np.random.default_rng((self.seed, 0)), self.clusters, self.dimension)

    def fresh_members(self, count: int) -> Vectors:
        """Members (count, d) of clusters drawn at random, that are not in the catalogue."""
        random = np.random.default_rng((self.seed, 1))
        return _around(self.centres()[random.integers(0, self.clusters, count)], WITHIN_CLUSTER**0.5, random)

    def unrelated(self, count: int) -> Vectors:
        """Vectors (count, d) of no cluster."""
        return _on_sphere(np.random.default_rng((self.seed, 2)), count, self.dimension)

    def moved(self, vectors: Vectors) -> Vectors:
        """Each of `vectors` moved to cosine 0.85 from where it was, in a random direction."""
        return _around(vectors, MOVED, np.random.default_rng((self.seed, 3)))

    def _members(self, centres: Vectors, member: int) -> Vectors:
        return _around(centres, WITHIN_CLUSTER**0.5, np.random.default_rng((self.seed, 4, member)))


def _on_sphere(random: np.random.Generator, count: int, dimension: int) -> Vectors:
    return _normalised(random.standard_normal((count, dimension), np.float32))


def _around(vectors: Vectors, cosine: float, random: np.random.Generator) -> Vectors:
    """A vector at exactly `cosine` from each, in a uniformly random direction."""
    aside = random.standard_normal(vectors.shape, np.float32)
    aside -= np.einsum("nd,nd->n", aside, vectors)[:, np.newaxis] * vectors
    aside = _normalised(aside)
    aside *= np.float32((1 - cosine**2) ** 0.5)
    aside += np.float32(cosine) * vectors
    return _normalised(aside)


def _normalised(vectors: Vectors) -> Vectors:
    vectors /= np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, np.newaxis]
    return vectors
