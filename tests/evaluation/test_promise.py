"""Whether promised rates are kept: the distribution of what is flagged, against drawing it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagescreen.errors import WrongUse
from imagescreen.evaluation.promise import central, drawn_packages, flagged_distribution, keep_promise, pooled_rate


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_the_distribution_sums_to_one_and_has_the_mean_that_exchangeability_gives(
    calibrated: int, tested: int, data: st.DataObject
) -> None:
    above = data.draw(st.integers(1, calibrated))
    chances = flagged_distribution(calibrated, above, tested)
    assert chances.sum() == pytest.approx(1)
    mean = float(chances @ np.arange(tested + 1))
    assert mean == pytest.approx(tested * above / (calibrated + 1))


def test_the_distribution_is_what_random_splits_give() -> None:
    random = np.random.default_rng(3)
    scores = random.permuted(np.tile(np.arange(60.0), (20_000, 1)), axis=1)
    thresholds = np.sort(scores[:, :30], axis=1)[:, 30 - 3]
    counts = np.bincount((scores[:, 30:] > thresholds[:, None]).sum(axis=1), minlength=31) / 20_000
    assert counts == pytest.approx(flagged_distribution(30, 3, 30), abs=0.012)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20).filter(lambda weights: sum(weights) > 0.01))
def test_the_central_range_holds_95_in_100_and_no_tail_more_than_half_of_the_rest(weights: list[float]) -> None:
    chances = np.array(weights) / sum(weights)
    low, high = central(chances)
    assert chances[:low].sum() <= 0.025 + 1e-9
    assert chances[high + 1 :].sum() <= 0.025 + 1e-9
    assert chances[low : high + 1].sum() >= 0.95 - 1e-9


def test_a_promise_on_exchangeable_scores_is_kept_and_one_on_other_scores_is_seen_to_be_broken() -> None:
    pool = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    kept = keep_promise("same", lambda random: drawn_packages(pool, 1, random), rate=0.01, splits=20, seed=1)
    assert len(kept.cells) == 20 and kept.inside >= 18 and pooled_rate([kept]).inside
    shifted = np.concatenate([pool[:1500], pool[1500:] + 1])
    broken = keep_promise("shifted", lambda _: shifted, rate=0.01, splits=3, seed=1)
    assert broken.inside == 0 and not pooled_rate([broken]).inside and pooled_rate([broken]).rate > 0.03
    both = pooled_rate([kept, broken])
    flagged = sum(cell.flagged for promise in (kept, broken) for cell in promise.cells)
    assert both.rate == flagged / (23 * 1500) and both.low < 0.01 < both.high


@given(st.integers(1, 9), st.integers(9, 40), st.integers(0, 2**31))
def test_packages_are_whole_and_score_as_their_best_picture(size: int, count: int, seed: int) -> None:
    scores = np.arange(count, dtype=np.float32)
    packages = drawn_packages(scores, size, np.random.default_rng(seed))
    assert len(packages) == count // size
    assert len(set(packages)) == len(packages)
    # A maximum of `size` different whole numbers is at least size - 1; the largest package holds the largest picture
    # unless that one was left over.
    assert packages.min() >= size - 1
    assert (np.sort(packages) >= size * np.arange(1, len(packages) + 1) - 1).all()


def test_too_few_packages_for_a_promise_are_told_how_many_more_are_needed() -> None:
    scores = np.arange(197, dtype=np.float32)
    with pytest.raises(WrongUse, match="at least 198 are needed, 1 more"):
        keep_promise("few", lambda _: scores, rate=0.01, splits=1, seed=0)
