"""Metrics over ranked ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagescreen.errors import WrongUse
from imagescreen.evaluation.retrieval import first_ranks, mean_reciprocal_rank, recall_at

RANKED = np.array([[4, 2, 9], [2, 4, 9], [9, 2, 4], [7, 8, 9]], np.int64)
RIGHT = np.array([4, 4, 4, 4], np.int64)


def test_recall_counts_the_queries_whose_right_reference_is_among_the_first_k() -> None:
    assert [recall_at(k, RANKED, RIGHT) for k in (1, 2, 3)] == [0.25, 0.5, 0.75]


def test_reciprocal_rank_rewards_a_better_place_and_gives_nothing_for_a_miss() -> None:
    assert mean_reciprocal_rank(RANKED, RIGHT) == pytest.approx((1 + 1 / 2 + 1 / 3 + 0) / 4)


@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**31))
def test_recall_grows_with_k_and_agrees_with_the_places(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranked = np.stack([rng.permutation(10)[:k] for _ in range(n)]).astype(np.int64)
    right = rng.integers(0, 10, n)
    recalls = [recall_at(j, ranked, right) for j in range(1, k + 1)]
    assert recalls == sorted(recalls)
    assert recalls[-1] == np.mean([r in row for r, row in zip(right, ranked, strict=True)])
    assert ((first_ranks(ranked, right) <= k) == (ranked == right[:, None]).any(axis=1)).all()


def test_arrays_that_do_not_fit_are_refused_with_what_is_needed() -> None:
    with pytest.raises(WrongUse, match="right ids of shape"):
        first_ranks(RANKED, RIGHT[:2])
    with pytest.raises(WrongUse, match="at least 4"):
        recall_at(4, RANKED, RIGHT)
    with pytest.raises(WrongUse, match="k from 1"):
        recall_at(0, RANKED, RIGHT)
    with pytest.raises(WrongUse, match="nothing to measure"):
        mean_reciprocal_rank(RANKED[:0], RIGHT[:0])
