"""Searches of concurrent callers are done together, and nobody can tell from the answers."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imagescreen.errors import UnsoundVector
from imagescreen.matching import IndexSnapshot, SharedSearch, open_version
from imagescreen.matching.exact import ExactSearch
from imagescreen.matching.search import Searchable
from tests.matching.material import unit_vectors, write

WAIT_S = 30
QUERIES = unit_vectors(12, 16, seed=5)


@dataclass(frozen=True, eq=False)
class HeldSearch(ExactSearch):
    """Waits at the gate, and keeps the number of queries of each search."""

    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    asked: list[int] = field(default_factory=list)

    def nearest(
        self, queries: NDArray[np.float32], depth: int, effort: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], bool]:
        self.asked.append(len(queries))
        self.entered.release()
        assert self.gate.wait(WAIT_S)
        return super().nearest(queries, depth, effort)


@pytest.fixture
def plain(tmp_path: Path) -> IndexSnapshot:
    return IndexSnapshot.of_version(open_version(tmp_path, write(tmp_path, unit_vectors(200, 16)).version))


@pytest.fixture
def held(plain: IndexSnapshot) -> tuple[IndexSnapshot, HeldSearch]:
    vectors = plain.base.pictures.vectors
    assert isinstance(vectors, np.ndarray)
    structure = HeldSearch(vectors)
    return replace(plain, base=Searchable(replace(plain.base.pictures, structure=structure), plain.base.superseded)), (
        structure
    )


def until_waiting(shared: SharedSearch, number: int) -> None:
    while shared.waiting < number:
        time.sleep(0.001)


def test_those_who_come_during_a_search_share_the_next_one(
    plain: IndexSnapshot, held: tuple[IndexSnapshot, HeldSearch]
) -> None:
    snapshot, structure = held
    shared = SharedSearch()
    with ThreadPoolExecutor(6) as callers:
        first = callers.submit(shared.search, snapshot, QUERIES[:1], count=5, at_least=math.inf)
        assert structure.entered.acquire(timeout=WAIT_S)
        others = [
            callers.submit(shared.search, snapshot, QUERIES[2 * n : 2 * n + 2], count=5, at_least=math.inf)
            for n in range(1, 5)
        ]
        until_waiting(shared, 4)
        structure.gate.set()
        assert first.result(WAIT_S) == plain.search(QUERIES[:1], count=5)
        for n, other in enumerate(others, start=1):
            assert other.result(WAIT_S) == plain.search(QUERIES[2 * n : 2 * n + 2], count=5)
    assert structure.asked == [1, 8]


def test_a_query_that_cannot_be_searched_fails_nobody_else(
    plain: IndexSnapshot, held: tuple[IndexSnapshot, HeldSearch]
) -> None:
    snapshot, structure = held
    shared = SharedSearch()
    with ThreadPoolExecutor(6) as callers:
        first = callers.submit(shared.search, snapshot, QUERIES[:1], count=5, at_least=math.inf)
        assert structure.entered.acquire(timeout=WAIT_S)
        bad = callers.submit(shared.search, snapshot, np.full((1, 16), np.nan, np.float32), count=5, at_least=math.inf)
        until_waiting(shared, 1)
        good = callers.submit(shared.search, snapshot, QUERIES[1:2], count=5, at_least=math.inf)
        deeper = callers.submit(shared.search, snapshot, QUERIES[1:2], count=9, at_least=0.1)
        until_waiting(shared, 3)
        structure.gate.set()
        with pytest.raises(UnsoundVector):
            bad.result(WAIT_S)
        assert good.result(WAIT_S) == plain.search(QUERIES[1:2], count=5)
        assert deeper.result(WAIT_S) == plain.search(QUERIES[1:2], count=9, at_least=0.1)
        assert first.result(WAIT_S) == plain.search(QUERIES[:1], count=5)
    # Nobody is left waiting for a leader.
    assert shared.search(plain, QUERIES[:1], count=1, at_least=math.inf) == plain.search(QUERIES[:1], count=1)
