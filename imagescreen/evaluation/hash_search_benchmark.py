"""What it costs to look a picture's eight hashes up among many."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imagescreen.matching.pdq_search import FlatSearch, PdqSearch, WordSearch
from imagescreen.pictures import MAX_PDQ_DISTANCE, PDQ_BYTES

_PICTURES = 40
_ROTATIONS = 8


@dataclass(frozen=True, slots=True)
class SearchCost:
    """Median time of the processor, all threads together, for one picture in its eight rotations: comparing each of
    `hashes`, and looking words up.
    """

    hashes: int
    flat_ms: float
    words_ms: float


def measure_hash_search(sizes: Sequence[int], *, seed: int = 7) -> list[SearchCost]:
    """With so many random hashes each, and pictures that are copies of none of them."""
    random = np.random.default_rng(seed)
    costs: list[SearchCost] = []
    for size in sizes:
        hashes = random.integers(0, 256, (size, PDQ_BYTES), np.uint8)
        queries = random.integers(0, 256, (_PICTURES, _ROTATIONS, PDQ_BYTES), np.uint8)
        flat, words = (_median_ms(search.of(hashes), queries) for search in (FlatSearch, WordSearch))
        costs.append(SearchCost(size, flat, words))
    return costs


def _median_ms(search: PdqSearch, queries: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    # The first one touches the memory for the others.
    search.within(queries[0], MAX_PDQ_DISTANCE)
    times: list[float] = []
    for picture in queries:
        started = time.process_time()
        search.within(picture, MAX_PDQ_DISTANCE)
        times.append(time.process_time() - started)
    return 1000 * float(np.median(times))
