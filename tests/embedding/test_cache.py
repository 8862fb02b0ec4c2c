"""The same picture is embedded once, however often and at however many places at once it is asked for."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagescreen.embedding.cache import Key, Outcome, VectorCache
from imagescreen.errors import Overloaded, UnreadablePicture


def vector(key: Key) -> Outcome:
    return np.full(4, float(key[1]), np.float32)


def keys(*numbers: int) -> list[Key]:
    return [("space", str(number)) for number in numbers]


class Computed:
    """Computes the vectors of `wanted`, and counts what it was asked for."""

    def __init__(self, wanted: Sequence[Key], counts: "Counter[Key]") -> None:
        self.wanted = wanted
        self.counts = counts

    def __call__(self, positions: Sequence[int]) -> list[Outcome]:
        self.counts.update(self.wanted[position] for position in positions)
        return [vector(self.wanted[position]) for position in positions]


def test_a_picture_that_comes_twice_in_one_package_is_embedded_once() -> None:
    cache = VectorCache(max_pictures=10)
    wanted = keys(1, 2, 1)
    counts: Counter[Key] = Counter()
    outcomes = cache.outcomes(wanted, Computed(wanted, counts))
    assert [float(outcome[0]) for outcome in outcomes if isinstance(outcome, np.ndarray)] == [1, 2, 1]
    assert counts == Counter({wanted[0]: 1, wanted[1]: 1})


def test_the_same_bytes_in_another_embedding_space_are_another_picture() -> None:
    cache = VectorCache(max_pictures=10)
    counts: Counter[Key] = Counter()
    for wanted in ([("space", "1")], [("other space", "1")], [("space", "1")]):
        cache.outcomes(wanted, Computed(wanted, counts))
    assert sorted(counts.values()) == [1, 1]


def test_the_cache_is_bounded() -> None:
    cache = VectorCache(max_pictures=2)
    counts: Counter[Key] = Counter()
    for number in (1, 2, 3, 1):
        wanted = keys(number)
        cache.outcomes(wanted, Computed(wanted, counts))
    assert counts[("space", "1")] == 2


def test_a_problem_is_not_remembered() -> None:
    cache = VectorCache(max_pictures=2)
    wanted = keys(1)
    (first,) = cache.outcomes(wanted, lambda _: [UnreadablePicture("no memory just now")])
    assert isinstance(first, UnreadablePicture)
    (second,) = cache.outcomes(wanted, Computed(wanted, Counter()))
    assert isinstance(second, np.ndarray)


def test_callers_at_the_same_time_share_one_computation_and_a_failed_one_is_taken_over() -> None:
    cache = VectorCache(max_pictures=10)
    wanted = keys(1)
    begun, go_on = threading.Event(), threading.Event()
    counts: Counter[Key] = Counter()

    def overloaded(_positions: Sequence[int]) -> list[Outcome]:
        begun.set()
        go_on.wait(30)
        raise Overloaded("no room")

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(cache.outcomes, wanted, overloaded)
        assert begun.wait(30)
        others = [pool.submit(cache.outcomes, wanted, Computed(wanted, counts)) for _ in range(2)]
        go_on.set()
        with pytest.raises(Overloaded):
            first.result(30)
        assert all(np.array_equal(other.result(30)[0], vector(wanted[0])) for other in others)  # type: ignore[arg-type]
    assert counts == Counter({wanted[0]: 1})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=12))
def test_packages_that_share_pictures_never_wait_for_each_other_for_ever(packages: list[list[int]]) -> None:
    cache = VectorCache(max_pictures=100)
    counts: Counter[Key] = Counter()

    def screen(numbers: list[int]) -> list[float]:
        wanted = keys(*numbers)
        found = cache.outcomes(wanted, Computed(wanted, counts))
        return [float(outcome[0]) for outcome in found if isinstance(outcome, np.ndarray)]

    with ThreadPoolExecutor(4) as pool:
        assert [future.result(30) for future in [pool.submit(screen, one) for one in packages]] == packages
    assert set(counts.values()) == {1}
