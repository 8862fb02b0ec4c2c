"""The nearest references of a query, over several sets of pictures, complete and with exact similarities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
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

Value = TypeVar("Value", np.float32, np.float64, np.int64, np.bytes_)


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
    keys: Keys
    reached: float  # pictures above this similarity are all here; -inf when the whole set is
    exhausted: bool

    def complete_from(self, similarity: float) -> bool:
        return self.exhausted or self.reached + self.pictures.structure.error < similarity


def nearest_references(
    parts: Sequence[Searchable], queries: NDArray[np.float32], *, count: int, at_least: NDArray[np.float64]
) -> list[list[Neighbour]]:
    """See `IndexSnapshot.search`; `at_least` (n,) is each query's own. A picture counts in one of the `parts` at most,
    and they have `count` references.

    A structure tells similarities that are off by its `error` at most. The exact similarities of the `count`
    references that look nearest are a limit that the true nearest reach, too. So whatever may exceed that limit (or
    `at_least`) in spite of the error is looked at exactly, and the search goes deeper until nothing else can.
    """
    found: list[list[Neighbour]] = [[] for _ in queries]
    parts = [part for part in parts if len(part)]
    if not parts:
        return found
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
            own = float(at_least[query])
            floor = min(own, _similarity_of_reference(queries[query], hits, count)) - slack
            if all(h.complete_from(floor) for h in hits):
                found[query] = _ranked(queries[query], hits, floor, count=count, at_least=own)
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
    return _Hits(part.pictures, similarities, rows, part.pictures.keys(rows), reached, whole)


def _similarity_of_reference(query: NDArray[np.float32], hits: list[_Hits], count: int) -> float:
    """A similarity that `count` references reach, those that look nearest; -inf when fewer were found."""
    if not count:
        return np.inf
    similarities = _joined([h.similarities for h in hits])
    order = np.argsort(-similarities, kind="stable")
    firsts = _first_of_each(_joined([h.keys for h in hits])[order], count)
    if len(firsts) < count:
        return -np.inf
    if not any(h.pictures.structure.error for h in hits):
        return float(similarities[order[firsts[-1]]])
    chosen = np.zeros(len(order), np.bool_)
    chosen[order[firsts]] = True
    parts = np.split(chosen, np.cumsum([len(h.rows) for h in hits])[:-1])
    return min(float(_exact(query, h.pictures, h.rows[c]).min()) for h, c in zip(hits, parts, strict=True) if c.any())


def _ranked(
    query: NDArray[np.float32], hits: list[_Hits], floor: float, *, count: int, at_least: float
) -> list[Neighbour]:
    near = [(h, h.similarities >= floor - h.pictures.structure.error) for h in hits]
    similarities = _joined([_exact(query, h.pictures, h.rows[n]) for h, n in near])
    ids = _joined([h.pictures.picture_ids[h.rows[n]] for h, n in near])
    order = np.lexsort((ids, -similarities))
    keys = _joined([h.keys[n] for h, n in near])
    best = order[_first_of_each(keys[order], len(keys))]
    listed = best[: max(count, int(np.count_nonzero(similarities[best] >= at_least)))]
    told = zip(ids[listed].tolist(), keys[listed].tolist(), similarities[listed].tolist(), strict=True)
    return [Neighbour(picture_id, reference_id_of(key), similarity) for picture_id, key, similarity in told]


def _joined(arrays: list[NDArray[Value]]) -> NDArray[Value]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _first_of_each(keys: Keys, count: int) -> list[int]:
    """Where the first `count` different ones of `keys` stand first; all when there are fewer.

    For the few keys of a search this is ten times faster than `np.unique`.
    """
    firsts: dict[bytes, int] = {}
    for place, key in enumerate(keys.tolist()):
        if key not in firsts:
            if len(firsts) == count:
                break
            firsts[key] = place
    return list(firsts.values())


def _exact(query: NDArray[np.float32], pictures: PictureSet, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Inner products (n,), which FAISS rounds differently with the number of queries at a time."""
    wide = query.astype(np.float64)
    similarities = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        end = start + _ROWS_AT_ONCE
        # Products of float32 are exact in float64, and numpy sums each row alike however many there are.
        similarities[start:end] = (pictures.vectors[rows[start:end]] * wide).sum(axis=1)
    np.minimum(similarities, 1.0, out=similarities)
    return np.maximum(similarities, -1.0, out=similarities)
