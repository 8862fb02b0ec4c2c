"""The nearest references of a query, over several sets of pictures, complete and with exact similarities."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from imagescreen.matching.picture_set import Keys, PictureSet, locate, reference_id_of

# Depth is lost to further pictures of one reference, to superseded ones, and to what a compressed structure cannot
# tell apart, so a search starts with some to spare and goes deeper only where that was too little. A selector that
# skips superseded pictures would keep FAISS from multiplying matrices, at five times the cost.
_PICTURES_A_REFERENCE = 4
_LEAST_DEPTH = 32
_COMPRESSED = 4
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
    """Pictures of which the rows `superseded` (ascending) do not count."""

    pictures: PictureSet
    superseded: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pictures) - len(self.superseded)


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """What one query found in one set, best first, without the superseded pictures; all (n,)."""

    pictures: PictureSet
    similarities: NDArray[np.float32]  # as the structure tells them
    rows: NDArray[np.int64]
    reached: float  # pictures above this similarity are all here; -inf when the whole set is
    exhausted: bool

    def complete_from(self, similarity: float) -> bool:
        return self.exhausted or self.reached + self.pictures.structure.error < similarity


def nearest_references(
    parts: Sequence[Searchable], queries: NDArray[np.float32], *, count: int, at_least: float
) -> list[list[Neighbour]]:
    """See `IndexSnapshot.search`. A picture counts in one of the `parts` at most, and they have `count` references.

    A structure tells similarities that are off by its `error` at most. The exact similarities of the `count`
    references that look nearest are a limit that the true nearest reach, too. So whatever may exceed that limit (or
    `at_least`) in spite of the error is looked at exactly, and the search goes deeper until nothing else can.
    """
    found: list[list[Neighbour]] = [[] for _ in queries]
    parts = [part for part in parts if len(part)]
    # Twice the bound on the rounding of a float32 inner product of unit vectors, d * 2^-24 (Higham, Accuracy and
    # Stability of Numerical Algorithms, 2nd ed., section 3.1), and some for decoding codes and for these sums:
    # FAISS misplaces no picture by more than this.
    slack = (queries.shape[1] + 16) * 2.0**-23
    pending = list(range(len(queries)))
    effort = 1
    depth = max(_LEAST_DEPTH, _PICTURES_A_REFERENCE * count)
    if any(part.pictures.structure.error for part in parts):
        depth *= _COMPRESSED
    while pending:
        asked = queries if len(pending) == len(queries) else queries[pending]
        results = [part.pictures.structure.nearest(asked, depth, effort) for part in parts]
        too_short = []
        for i, query in enumerate(pending):
            hits = [_hits(part, s[i], rows[i], whole) for part, (s, rows, whole) in zip(parts, results, strict=True)]
            floor = min(at_least, _similarity_of_reference(queries[query], hits, count)) - slack
            if all(h.complete_from(floor) for h in hits):
                found[query] = _ranked(queries[query], hits, floor, count=count, at_least=at_least)
            else:
                too_short.append(query)
        pending = too_short
        depth *= _DEEPER
        effort *= _DEEPER
    return found


def _hits(part: Searchable, similarities: NDArray[np.float32], rows: NDArray[np.int64], whole: bool) -> _Hits:
    if len(rows) and rows[-1] < 0:
        there = rows >= 0
        similarities, rows, reached = similarities[there], rows[there], -np.inf
    else:
        reached = -np.inf if whole else float(similarities[-1])
    if len(part.superseded):
        counts = ~locate(part.superseded, rows)[1]
        similarities, rows = similarities[counts], rows[counts]
    return _Hits(part.pictures, similarities, rows, reached, whole)


def _similarity_of_reference(query: NDArray[np.float32], hits: list[_Hits], count: int) -> float:
    """A similarity that `count` references reach: the exact one of the `count`th of those that look nearest.

    -inf when fewer were found.
    """
    if not count:
        return np.inf
    if not hits:
        return -np.inf
    similarities = np.concatenate([h.similarities for h in hits])
    keys = np.concatenate([h.pictures.keys(h.rows) for h in hits])
    order = np.argsort(-similarities, kind="stable")
    _, first = np.unique(keys[order], return_index=True)
    if len(first) < count:
        return -np.inf
    chosen = np.zeros(len(order), np.bool_)
    chosen[order[np.partition(first, count - 1)[:count]]] = True
    lowest = np.inf
    start = 0
    for h in hits:
        rows = h.rows[chosen[start : start + len(h.rows)]]
        start += len(h.rows)
        if len(rows):
            lowest = min(lowest, float(_exact(query, h.pictures, rows).min()))
    return lowest


def _ranked(
    query: NDArray[np.float32], hits: list[_Hits], floor: float, *, count: int, at_least: float
) -> list[Neighbour]:
    near = [h.rows[h.similarities >= floor - h.pictures.structure.error] for h in hits]
    if not any(len(rows) for rows in near):
        return []
    similarities = np.concatenate([_exact(query, h.pictures, rows) for h, rows in zip(hits, near, strict=True)])
    ids = np.concatenate([h.pictures.picture_ids[rows] for h, rows in zip(hits, near, strict=True)])
    keys: Keys = np.concatenate([h.pictures.keys(rows) for h, rows in zip(hits, near, strict=True)])
    order = np.lexsort((ids, -similarities))
    _, first = np.unique(keys[order], return_index=True)
    best = order[np.sort(first)]
    listed = best[: max(count, int(np.count_nonzero(similarities[best] >= at_least)))]
    return [Neighbour(int(ids[i]), reference_id_of(keys[i]), float(similarities[i])) for i in listed]


def _exact(query: NDArray[np.float32], pictures: PictureSet, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Inner products (n,), which FAISS rounds differently with the number of queries at a time."""
    wide = query.astype(np.float64)
    similarities = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        end = start + _ROWS_AT_ONCE
        # Products of float32 are exact in float64, and numpy sums each row alike however many there are.
        similarities[start:end] = (pictures.vectors[rows[start:end]] * wide).sum(axis=1)
    return np.clip(similarities, -1.0, 1.0)
