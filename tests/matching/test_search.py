"""What a search answers."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest

from imagescreen.errors import InvalidContent, UnsoundVector
from imagescreen.matching import IndexSnapshot, PictureChange, set_search_threads
from imagescreen.matching.threads import ONE_THREAD_UP_TO
from tests.matching.material import expected, near, normalised, references, snapshot, unit_vectors, write

DIMENSION = 32


def test_nearest_references_come_best_first_with_their_best_picture(tmp_path: Path) -> None:
    vectors = unit_vectors(300, DIMENSION)
    owners = [references(40)[i % 40] for i in range(300)]
    pictures = {i + 1: (owners[i], vectors[i]) for i in range(300)}
    queries = unit_vectors(20, DIMENSION, seed=1)

    found = snapshot(tmp_path, vectors, reference_ids=owners).search(queries, count=5)

    assert found == [expected(pictures, query, count=5) for query in queries]
    assert all(len({n.reference_id for n in neighbours}) == 5 for neighbours in found)


def test_a_picture_finds_itself_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    vectors = unit_vectors(100, DIMENSION)
    ids = [7 * i % 101 + 1 for i in range(100)]
    state = snapshot(tmp_path, vectors, ids)

    for vector, picture_id, reference_id in zip(vectors, ids, references(100), strict=True):
        [[first]] = state.search(vector[np.newaxis], count=1)
        assert (first.picture_id, first.reference_id) == (picture_id, reference_id)
        assert first.similarity == pytest.approx(1, abs=1e-6)


def test_asking_for_more_than_there_is_gives_what_there_is(tmp_path: Path) -> None:
    [found] = snapshot(tmp_path, unit_vectors(3, DIMENSION)).search(unit_vectors(1, DIMENSION, seed=1), count=50)

    assert sorted(n.picture_id for n in found) == [1, 2, 3]
    assert all(-1 <= n.similarity <= 1 for n in found)


def test_nothing_to_match_answers_an_empty_list_for_each_query(tmp_path: Path) -> None:
    queries = unit_vectors(2, DIMENSION)

    assert IndexSnapshot.empty("f1", DIMENSION).search(queries, count=5) == [[], []]
    assert snapshot(tmp_path, np.empty((0, DIMENSION), np.float32)).search(queries, count=5) == [[], []]
    assert IndexSnapshot.empty("f1", DIMENSION).search(queries[:0], count=5) == []


def test_every_reference_above_the_limit_is_listed_however_many_there_are(tmp_path: Path) -> None:
    query = unit_vectors(1, DIMENSION, seed=5)
    vectors = np.concatenate([near(query[0], 700, 0.3), unit_vectors(300, DIMENSION, seed=2)])
    pictures = dict(enumerate(zip(references(1000), vectors, strict=True), start=1))

    [found] = snapshot(tmp_path, vectors).search(query, count=3, at_least=0.9)

    assert found == expected(pictures, query[0], count=3, at_least=0.9)
    assert len(found) >= 700


def test_a_limit_alone_lists_only_what_reaches_it(tmp_path: Path) -> None:
    vectors = unit_vectors(50, DIMENSION)
    state = snapshot(tmp_path, vectors)

    assert [n.picture_id for n in state.search(vectors[4:5], count=0, at_least=0.99)[0]] == [5]
    assert state.search(vectors[4:5], count=0) == [[]]
    assert len(state.search(vectors[4:5], count=0, at_least=-math.inf)[0]) == 50


def test_a_reference_with_very_many_pictures_does_not_hide_the_others(tmp_path: Path) -> None:
    query = unit_vectors(1, DIMENSION, seed=5)
    crowd = near(query[0], 400, 0.05)
    others = near(query[0], 4, 0.5, seed=1)
    owners = [references(1)[0]] * 400 + references(5)[1:]

    [found] = snapshot(tmp_path, np.concatenate([crowd, others]), reference_ids=owners).search(query, count=5)

    assert {n.reference_id for n in found} == set(references(5))


def test_very_many_suspended_pictures_do_not_hide_the_others(tmp_path: Path) -> None:
    query = unit_vectors(1, DIMENSION, seed=5)
    vectors = np.concatenate([near(query[0], 400, 0.05), near(query[0], 4, 0.5, seed=1)])
    suspended = [PictureChange(i + 1, references(400)[i], None) for i in range(400)]

    state = snapshot(tmp_path, vectors).with_changes(suspended, 1)

    assert {n.picture_id for n in state.search(query, count=5)[0]} == {401, 402, 403, 404}


def test_of_equal_pictures_the_lower_id_comes_first_in_the_version_and_among_the_changes(tmp_path: Path) -> None:
    vector = unit_vectors(1, DIMENSION)
    state = snapshot(tmp_path, np.repeat(vector, 200, axis=0), range(2, 402, 2), references(400)[:200])
    state = state.with_changes(
        [PictureChange(i, references(400)[i // 2 + 200], vector[0]) for i in range(1, 400, 2)], 1
    )

    assert [n.picture_id for n in state.search(vector, count=7)[0]] == [1, 2, 3, 4, 5, 6, 7]
    assert len({n.similarity for n in state.search(vector, count=7)[0]}) == 1


def test_equal_vectors_are_never_more_than_wholly_similar(tmp_path: Path) -> None:
    vectors = (unit_vectors(64, DIMENSION) * np.float32(1.0009)).astype(np.float32)

    for [first] in snapshot(tmp_path, vectors).search(vectors, count=1):
        assert first.similarity == 1.0


def test_similarities_are_the_same_alone_and_among_other_queries(tmp_path: Path) -> None:
    set_search_threads(0)
    state = snapshot(tmp_path, unit_vectors(2000, 256))
    queries = unit_vectors(40, 256, seed=1)

    together = state.search(queries, count=5, at_least=0.2)

    assert together == [state.search(query[np.newaxis], count=5, at_least=0.2)[0] for query in queries]


def _with(value: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    queries = unit_vectors(3, DIMENSION)
    queries[1, 3] = value
    return queries


@pytest.mark.parametrize(
    ("queries", "told"),
    [
        (_with(math.nan), "query 1 holds a value that is not a finite number"),
        (_with(math.inf), "query 1 holds a value that is not a finite number"),
        (_with(3e38), "query 1 is of length"),
        (np.zeros((1, DIMENSION), np.float32), "query 0 is of length 0 instead of 1"),
        (unit_vectors(1, DIMENSION) * np.float32(1.01), "query 0 is of length 1.01 instead of 1"),
        (unit_vectors(1, DIMENSION + 1), "must be (n, 32) float32, not 1x33 float32"),
        (unit_vectors(1, DIMENSION)[0], "must be (n, 32) float32, not 32 float32"),
        (unit_vectors(1, DIMENSION).astype(np.float64), "must be (n, 32) float32, not 1x32 float64"),
    ],
)
def test_a_query_that_would_find_nothing_or_nonsense_is_refused(
    tmp_path: Path, queries: np.ndarray[tuple[int, ...], np.dtype[np.float32]], told: str
) -> None:
    state = snapshot(tmp_path, unit_vectors(10, DIMENSION))

    with pytest.raises(UnsoundVector) as refused:
        state.search(queries, count=5)

    assert told in refused.value.detail


def test_a_negative_count_and_a_limit_that_is_no_number_are_refused(tmp_path: Path) -> None:
    state = snapshot(tmp_path, unit_vectors(10, DIMENSION))

    with pytest.raises(InvalidContent, match="count of 0 or more"):
        state.search(unit_vectors(1, DIMENSION), count=-1)
    with pytest.raises(InvalidContent, match="a number as its limit"):
        state.search(unit_vectors(1, DIMENSION), count=1, at_least=math.nan)
    with pytest.raises(InvalidContent, match="a number as its limit"):
        state.search(unit_vectors(2, DIMENSION), count=1, at_least=np.array([0.5, math.nan]))
    with pytest.raises(InvalidContent, match="2 queries takes one limit or as many"):
        state.search(unit_vectors(2, DIMENSION), count=1, at_least=np.array([0.5, 0.5, 0.5]))


def test_the_number_of_search_threads_holds_on_every_thread(tmp_path: Path) -> None:
    state = snapshot(tmp_path, unit_vectors(4000, DIMENSION))

    def threads_after_a_search(queries: int = ONE_THREAD_UP_TO // (4000 * DIMENSION) + 1) -> int:
        state.search(unit_vectors(queries, DIMENSION), count=1)
        return faiss.omp_get_max_threads()

    try:
        set_search_threads(3)
        with ThreadPoolExecutor(1) as worker:
            assert worker.submit(threads_after_a_search).result() == 3
        assert threads_after_a_search() == 3
        # What one core does at once is not shared out.
        assert threads_after_a_search(queries=2) == 1
    finally:
        set_search_threads(0)
    with pytest.raises(InvalidContent, match="0 or more"):
        set_search_threads(-1)


def test_searches_go_on_undisturbed_while_changes_come_in(tmp_path: Path) -> None:
    steps = 150
    added = unit_vectors(steps + 1, DIMENSION, seed=9)
    states = [snapshot(tmp_path, unit_vectors(500, DIMENSION))]
    owners = references(1000)

    def search_until_the_end() -> int:
        searches = 0
        while (state := states[-1]).sequence < steps:
            last = state.sequence
            newest, next_one = state.search(added[[max(last - 1, 0), last]], count=1)
            assert (newest[0].picture_id == 500 + last) == (last > 0)
            assert next_one[0].picture_id != 501 + last
            assert state.picture_count == 500 + last
            searches += 1
        return searches

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(search_until_the_end) for _ in range(3)]
        for step in range(1, steps + 1):
            change = PictureChange(500 + step, owners[500 + step], added[step - 1])
            states.append(states[-1].with_changes([change], step))
        for searches in running:
            searches.result()
    assert all(state.picture_count == 500 + number for number, state in enumerate(states))


def test_a_version_answers_as_it_did_when_it_was_written(tmp_path: Path) -> None:
    vectors = normalised(unit_vectors(200, DIMENSION))
    changes = [PictureChange(i + 1, references(200)[i], vectors[i]) for i in range(200)]
    queries = unit_vectors(5, DIMENSION, seed=3)

    in_memory = IndexSnapshot.empty("f1", DIMENSION).with_changes(changes, 200)
    on_disk = snapshot(tmp_path, vectors)

    assert on_disk.search(queries, count=9) == in_memory.search(queries, count=9)
    assert write(tmp_path, vectors).pictures == in_memory.picture_count
