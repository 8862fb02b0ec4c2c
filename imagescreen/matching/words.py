"""Words in, and which pictures fit them out: the matcher of references that are described in phrases.

Like the index it is told of changes and knows no database. A text fits every picture more or less, so a score by words
says nothing beside one by pictures, and the two are never compared.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Wide = NDArray[np.float64]

_QUERIES_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class DescribedReference:
    """`phrases` say what it is, with their `vectors` (p, d), p at least 1; `contrast` (c, d) are vectors of phrases for
    what it must not be confused with. All have unit length, in the space of the pictures. `directions` (1 + c, d) are
    the mean of the phrases and then the contrast.
    """

    reference_id: UUID
    phrases: tuple[str, ...]
    vectors: Vectors
    contrast: Vectors
    directions: Wide = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mean = self.vectors.mean(axis=0, dtype=np.float64)[np.newaxis]
        object.__setattr__(self, "directions", np.concatenate([mean, self.contrast]))


@dataclass(frozen=True, slots=True)
class Fit:
    """A reference whose words a picture fits: `similarity` is the mean of the cosines to its phrases, `phrase` the one
    of the highest. For `score` see `WordMatcher`.
    """

    reference_id: UUID
    phrase: str
    similarity: float
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class WordMatcher:
    """Immutable, so any number of threads may ask it. `lacking` are references whose words cannot be used for lack of a
    vector.

    The score of a picture is its similarity to the words, less that of ordinary goods on average; and where a contrast
    phrase, measured in the same way, fits it better than that, less the difference as well. The mean over phrases is
    CLIP's ensemble of prompts (Radford et al., Learning transferable visual models from natural language supervision,
    2021). A contrast phrase only ever lowers a score: taken off in full, it would lift whatever it does not fit.
    """

    references: Mapping[UUID, DescribedReference]
    lacking: frozenset[UUID]
    _ids: tuple[UUID, ...]
    _directions: Wide  # (n, d)
    _starts: NDArray[np.int64]  # (r,) the row at which the directions of each reference begin

    @classmethod
    def of(cls, references: Iterable[DescribedReference], lacking: Iterable[UUID] = ()) -> Self:
        known = {one.reference_id: one for one in references}
        directions = [one.directions for one in known.values()]
        sizes = np.array([len(one) for one in directions], np.int64)
        stacked = np.concatenate(directions) if directions else np.empty((0, 0))
        return cls(known, frozenset(lacking), tuple(known), stacked, np.cumsum(sizes) - sizes)

    def with_changes(
        self, reference_ids: Collection[UUID], references: Iterable[DescribedReference], lacking: Iterable[UUID]
    ) -> Self:
        """`references` are all of `reference_ids` that match by words now, `lacking` those that cannot."""
        changed = set(reference_ids)
        kept = [one for one in self.references.values() if one.reference_id not in changed]
        return type(self).of([*kept, *references], (self.lacking - changed).union(lacking))

    def __len__(self) -> int:
        return len(self._ids)

    def fits(self, queries: Vectors, centre: Wide, *, count: int, above: float) -> list[list[Fit]]:
        """For each of `queries` (q, d) the `count` references of the highest scores and all whose score is above
        `above`, best first. `centre` (d,) is the mean of the background's vectors.
        """
        if not self._ids:
            return [[] for _ in queries]
        similarities, scores = self.scores(queries, centre)
        found: list[list[Fit]] = []
        for query, own, scored in zip(queries, similarities, scores, strict=True):
            order = np.argsort(-scored, kind="stable")
            chosen = order[: max(count, int(np.count_nonzero(scored > above)))].tolist()
            found.append([self._fit(row, query, float(own[row]), float(scored[row])) for row in chosen])
        return found

    def highest(self, queries: Vectors, centre: Wide) -> Vectors:
        """(q,) the highest score of each of `queries` (q, d) with any reference; there is one at least."""
        blocks = [queries[start : start + _QUERIES_AT_ONCE] for start in range(0, len(queries), _QUERIES_AT_ONCE)]
        best = [self.scores(block, centre)[1].max(axis=1) for block in blocks]
        return np.concatenate([np.empty(0), *best]).astype(np.float32)

    def scores(self, queries: Vectors, centre: Wide) -> tuple[Wide, Wide]:
        """(q, r) similarities and scores. In float64, so that they do not depend on who asks at the same time."""
        raw = queries.astype(np.float64) @ self._directions.T
        centred = raw - self._directions @ np.broadcast_to(centre, self._directions.shape[1:])
        own = centred[:, self._starts]
        # The highest of the words' own and the contrast: by as much as it is above the words' own, the score is below.
        scores: Wide = 2 * own - np.maximum.reduceat(centred, self._starts, axis=1)
        return raw[:, self._starts], scores

    def _fit(self, row: int, query: Vectors, similarity: float, score: float) -> Fit:
        reference = self.references[self._ids[row]]
        best = int(np.argmax(reference.vectors @ query))
        return Fit(reference.reference_id, reference.phrases[best], similarity, score)


NO_WORDS = WordMatcher.of([])
