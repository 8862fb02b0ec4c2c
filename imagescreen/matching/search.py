"""The nearest references of a query, over several sets of pictures, complete and exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from imagescreen.matching import structure
from imagescreen.matching.picture_set import Keys, PictureSet, locate, reference_id_of

# A list is complete once FAISS has gone past its last similarity. Depth is lost to further pictures of one reference
# and to superseded ones, so a search starts with some to spare and goes deeper only where that was too little. A
# selector that skips superseded pictures would keep FAISS from multiplying matrices, at five times the cost.
_PICTURES_A_REFERENCE = 4
_LEAST_DEPTH = 32
_DEEPER = 4
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One reference, by its picture that is most similar to the query; `similarity` is a cosine in [-1, 1]."""

    picture_id: int
    reference_id: UUID
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class Searchable:
    """Pictures of which those with the ids `superseded` (ascending) do not count."""

    pictures: PictureSet
    superseded: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """What one query found in one set, best first, without the superseded pictures; all (n,)."""

    pictures: PictureSet
    similarities: NDArray[np.float32]  # as FAISS rounds them
    rows: NDArray[np.intp]
    keys: Keys
    reached: float  # pictures above this similarity are all here; -inf when the whole set is
    exhausted: bool

    def complete_from(self, similarity: float) -> bool:
        return self.exhausted or self.reached < similarity


def nearest_references(
    parts: Sequence[Searchable], queries: NDArray[np.float32], *, count: int, at_least: float
) -> list[list[Neighbour]]:
    """See `IndexSnapshot.search`. A picture counts in one of the `parts` at most, and they have `count` references."""
    found: list[list[Neighbour]] = [[] for _ in queries]
    # Twice the bound on the rounding of a float32 inner product of unit vectors, d * 2^-24 (Higham, Accuracy and
    # Stability of Numerical Algorithms, 2nd ed., section 3.1): FAISS misplaces no picture by more than this.
    slack = queries.shape[1] * 2.0**-23
    pending = list(range(len(queries)))
    depth = max(_LEAST_DEPTH, _PICTURES_A_REFERENCE * count)
    while pending:
        results = [structure.nearest(part.pictures.index, queries[pending], depth) for part in parts]
        too_short = []
        for i, query in enumerate(pending):
            hits = [_hits(part, sims[i], ids[i]) for part, (sims, ids) in zip(parts, results, strict=True)]
            floor = min(at_least, _similarity_of_reference(hits, count)) - slack
            if all(h.complete_from(floor) for h in hits):
                found[query] = _ranked(queries[query], hits, floor, count=count, at_least=at_least)
            else:
                too_short.append(query)
        pending = too_short
        depth *= _DEEPER
    return found


def _hits(part: Searchable, similarities: NDArray[np.float32], ids: NDArray[np.int64]) -> _Hits:
    exhausted = len(ids) == len(part.pictures)
    reached = -np.inf if exhausted else float(similarities[-1])
    if len(part.superseded):
        counts = ~locate(part.superseded, ids)[1]
        similarities, ids = similarities[counts], ids[counts]
    rows, _ = locate(part.pictures.picture_ids, ids)
    return _Hits(part.pictures, similarities, rows, part.pictures.keys(rows), reached, exhausted)


def _similarity_of_reference(hits: list[_Hits], count: int) -> float:
    """The similarity of the `count`th nearest reference as far as one can tell; -inf when fewer were found."""
    if not count:
        return np.inf
    similarities = np.concatenate([h.similarities for h in hits])
    order = np.argsort(-similarities, kind="stable")
    _, first = np.unique(np.concatenate([h.keys for h in hits])[order], return_index=True)
    if len(first) < count:
        return -np.inf
    return float(similarities[order[np.partition(first, count - 1)[count - 1]]])


def _ranked(
    query: NDArray[np.float32], hits: list[_Hits], floor: float, *, count: int, at_least: float
) -> list[Neighbour]:
    near = [h.similarities >= floor for h in hits]
    similarities = np.concatenate([_exact(query, h.pictures, h.rows[n]) for h, n in zip(hits, near, strict=True)])
    ids = np.concatenate([h.pictures.picture_ids[h.rows[n]] for h, n in zip(hits, near, strict=True)])
    keys = np.concatenate([h.keys[n] for h, n in zip(hits, near, strict=True)])
    order = np.lexsort((ids, -similarities))
    _, first = np.unique(keys[order], return_index=True)
    best = order[np.sort(first)]
    listed = best[: max(count, int(np.count_nonzero(similarities[best] >= at_least)))]
    return [Neighbour(int(ids[i]), reference_id_of(keys[i]), float(similarities[i])) for i in listed]


def _exact(query: NDArray[np.float32], pictures: PictureSet, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Inner products (n,), which FAISS rounds differently with the number of queries at a time."""
    wide = query.astype(np.float64)
    similarities = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        end = start + _ROWS_AT_ONCE
        # Products of float32 are exact in float64, and numpy sums each row alike however many there are.
        similarities[start:end] = (pictures.vectors(rows[start:end]) * wide).sum(axis=1)
    return np.clip(similarities, -1.0, 1.0)
