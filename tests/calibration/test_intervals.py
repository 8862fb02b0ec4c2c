import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagescreen.calibration.intervals import beta_quantile, incomplete_beta, rate_interval


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1))
def test_the_beta_distribution_is_that_of_order_statistics(a: int, b: int, x: float) -> None:
    """At whole numbers I_x(a, b) is the chance of a or more hits in a + b - 1 tries of chance x (DLMF 8.17.5)."""
    tries = a + b - 1
    hits = sum(math.comb(tries, k) * x**k * (1 - x) ** (tries - k) for k in range(a, tries + 1))
    assert incomplete_beta(a, b, x) == pytest.approx(hits, abs=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.001, 0.999), st.floats(0.5, 5000), st.floats(0.5, 5000))
def test_a_quantile_is_where_the_distribution_has_that_probability(probability: float, a: float, b: float) -> None:
    assert incomplete_beta(a, b, beta_quantile(probability, a, b)) == pytest.approx(probability, abs=1e-6)


def test_the_interval_is_what_clopper_and_pearson_tell() -> None:
    # 3 of 100, with the two blocks of two thresholds: Beta(3, 98) below, Beta(5, 96) above; 3/n rule for none of n.
    interval = rate_interval(3, 100, thresholds=2)
    assert interval.low == pytest.approx(0.0062, abs=1e-4)
    assert interval.high == pytest.approx(0.0999, abs=2e-3)
    assert rate_interval(0, 1000, thresholds=2).low == 0
    assert rate_interval(0, 1000).high == pytest.approx(-math.log(0.025) / 1000, rel=0.01)
    assert rate_interval(1000, 1000, thresholds=3).high == 1


def test_the_true_rate_of_a_measured_threshold_is_inside_the_interval_19_times_of_20() -> None:
    random = np.random.default_rng(3)
    interval = rate_interval(20, 400)
    inside = 0
    for _ in range(1500):
        sample = np.sort(random.uniform(size=400))
        inside += interval.low <= 1 - sample[-21] <= interval.high
    assert 0.935 < inside / 1500 < 0.965
