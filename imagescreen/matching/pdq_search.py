"""All hashes of 256 bits within some bits of a query, exactly: none is missed."""

from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from imagescreen.matching.threads import SEARCH_THREADS

BYTES = 32
MAX_DISTANCE = 31

_MANY = 100_000
"""From so many hashes on, looking words up is faster than comparing every hash (docs/copies.md)."""

_WORDS = 16
_VALUES = 1 << 16
# A word as it is, and with each one of its bits turned.
_PROBES = np.concatenate([np.zeros(1, np.uint16), np.uint16(1) << np.arange(16, dtype=np.uint16)])

Hits: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Queries, rows and distances, all (h,)."""


class PdqSearch(Protocol):
    def within(self, queries: NDArray[np.uint8], max_distance: int) -> Hits:
        """What lies within `max_distance`, at most `MAX_DISTANCE`, of `queries` (q, 32) uint8."""
        ...


def pdq_search(hashes: NDArray[np.uint8]) -> PdqSearch:
    """Over `hashes` (n, 32) uint8, by the structure that suits their number."""
    return WordSearch.of(hashes) if len(hashes) >= _MANY else FlatSearch.of(hashes)


@dataclass(frozen=True, slots=True, eq=False)
class FlatSearch:
    """Compares every hash."""

    index: faiss.IndexBinaryFlat

    @classmethod
    def of(cls, hashes: NDArray[np.uint8]) -> Self:
        index = faiss.IndexBinaryFlat(8 * BYTES)
        index.add(np.ascontiguousarray(hashes))
        return cls(index)

    def within(self, queries: NDArray[np.uint8], max_distance: int) -> Hits:
        if not self.index.ntotal:
            return _joined([])
        # One: there are never so many hashes here that several would pay, and each caller's would be its own.
        SEARCH_THREADS.apply(0)
        ends, distances, rows = self.index.range_search(np.ascontiguousarray(queries), max_distance + 1)
        found = np.repeat(np.arange(len(queries)), np.diff(ends).astype(np.int64))
        return found, rows.astype(np.int64), distances.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class WordSearch:
    """Compares the hashes that agree with a query in one of 16 words of 16 bits, but for one bit at most.

    Hashes that differ in 31 bits at most have such a word, or there would be two in each of the 16 (the pigeonhole
    principle; Norouzi, Punjani and Fleet, Fast exact search in Hamming space with multi-index hashing, 2014).
    """

    hashes: NDArray[np.uint64]  # (n, 4)
    order: NDArray[np.int32]  # (16, n): rows by the value of each word
    starts: NDArray[np.int64]  # (16, 65537): where each value begins in `order`

    @classmethod
    def of(cls, hashes: NDArray[np.uint8]) -> Self:
        hashes = np.ascontiguousarray(hashes)
        words = hashes.view(np.uint16)
        order = np.empty((_WORDS, len(hashes)), np.int32)
        starts = np.zeros((_WORDS, _VALUES + 1), np.int64)
        for word in range(_WORDS):
            values = np.ascontiguousarray(words[:, word])
            order[word] = np.argsort(values, kind="stable")
            np.cumsum(np.bincount(values, minlength=_VALUES), out=starts[word, 1:])
        return cls(hashes.view(np.uint64), order, starts)

    def within(self, queries: NDArray[np.uint8], max_distance: int) -> Hits:
        return _joined([self._one(row, query, max_distance) for row, query in enumerate(np.ascontiguousarray(queries))])

    def _one(self, row: int, query: NDArray[np.uint8], max_distance: int) -> Hits:
        probes = query.view(np.uint16)[:, np.newaxis] ^ _PROBES  # (16, 17)
        word = np.arange(_WORDS)[:, np.newaxis]
        firsts = self.starts[word, probes].ravel()
        counts = self.starts[word, probes.astype(np.int64) + 1].ravel() - firsts
        places = np.arange(int(counts.sum())) + np.repeat(firsts - (np.cumsum(counts) - counts), counts)
        candidates = self.order[np.repeat(np.repeat(np.arange(_WORDS), len(_PROBES)), counts), places]
        distances = np.bitwise_count(self.hashes[candidates] ^ query.view(np.uint64)).sum(axis=1, dtype=np.int64)
        near = distances <= max_distance
        rows, once = np.unique(candidates[near], return_index=True)
        return np.full(len(rows), row), rows.astype(np.int64), distances[near][once]


def _joined(parts: list[Hits]) -> Hits:
    if not parts:
        none = np.empty(0, np.int64)
        return none, none, none
    queries, rows, distances = zip(*parts, strict=True)
    return np.concatenate(queries), np.concatenate(rows), np.concatenate(distances)
