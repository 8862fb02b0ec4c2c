import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from imagescreen.calibration.thresholds import (
    Rates,
    conformal_threshold,
    decode_thresholds,
    encode_thresholds,
    flagged_by,
    measure_thresholds,
    pictures_needed,
)
from imagescreen.errors import BrokenIndex, InvalidContent

RATES = Rates(review=0.01, hold=0.001)
FINGERPRINT = "f" * 64


def best_of(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.1, 0.9, count).astype(np.float32)


@given(st.integers(1, 3000), st.floats(0.0005, 0.5), st.integers(0, 1000))
def test_a_further_ordinary_picture_exceeds_the_threshold_at_most_at_the_promised_rate(
    count: int, rate: float, seed: int
) -> None:
    values = best_of(count, seed)
    threshold = conformal_threshold(values, rate)
    if threshold is None:
        assert count < pictures_needed(rate) + 1
    else:
        # A further exchangeable picture takes each of the count + 1 ranks with the same probability.
        ranks_above = int((values > threshold).sum()) + 1
        assert ranks_above / (count + 1) <= rate + 1e-9


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 99), (0.001, 999), (0.5, 1), (0.05, 19)])
def test_the_sample_size_that_a_rate_needs_is_told_exactly(rate: float, needed: int) -> None:
    assert pictures_needed(rate) == needed
    assert conformal_threshold(best_of(needed), rate) is not None
    assert conformal_threshold(best_of(needed - 1), rate) is None


def test_a_hold_rate_beyond_the_sample_holds_nothing_and_a_review_rate_beyond_it_is_refused() -> None:
    thresholds = measure_thresholds(
        {"counterfeit": best_of(200)}, fingerprint=FINGERPRINT, rates=RATES, category_rates={}
    )
    assert thresholds.of("counterfeit").hold is None
    assert thresholds.of("counterfeit").review is not None
    with pytest.raises(InvalidContent, match="at least 99 are needed, 59 more"):
        measure_thresholds({"counterfeit": best_of(40)}, fingerprint=FINGERPRINT, rates=RATES, category_rates={})


def test_a_category_without_references_at_calibration_uses_the_overall_thresholds() -> None:
    best = {"counterfeit": best_of(1500, 1), "recalled": best_of(1500, 2) * np.float32(0.5)}
    thresholds = measure_thresholds(best, fingerprint=FINGERPRINT, rates=RATES, category_rates={})
    assert thresholds.of("prohibited") == thresholds.overall
    assert thresholds.of("recalled") != thresholds.overall
    assert thresholds.lowest_review() == thresholds.of("recalled").review


def test_a_category_has_its_own_rates_when_the_policy_says_so() -> None:
    best = {"recalled": best_of(1500)}
    loose = measure_thresholds(
        best, fingerprint=FINGERPRINT, rates=RATES, category_rates={"recalled": Rates(review=0.1, hold=0.05)}
    )
    strict = measure_thresholds(best, fingerprint=FINGERPRINT, rates=RATES, category_rates={})
    assert loose.lowest_review() < strict.lowest_review()
    assert loose.support["recalled"].flagged_share == pytest.approx(0.1, abs=0.002)


def test_the_shares_over_all_categories_count_a_picture_once() -> None:
    same = best_of(1500)
    best = {"counterfeit": same, "recalled": same}
    thresholds = measure_thresholds(best, fingerprint=FINGERPRINT, rates=RATES, category_rates={})
    flagged, held = flagged_by(best, thresholds)
    assert flagged == thresholds.support["counterfeit"].flagged_share
    assert held == thresholds.support["counterfeit"].held_share


def test_thresholds_survive_their_file_and_refuse_another_models() -> None:
    thresholds = measure_thresholds(
        {"counterfeit": best_of(1500)}, fingerprint=FINGERPRINT, rates=RATES, category_rates={}
    )
    assert decode_thresholds(encode_thresholds(thresholds), fingerprint=FINGERPRINT) == thresholds
    with pytest.raises(BrokenIndex, match="belongs to model f"):
        decode_thresholds(encode_thresholds(thresholds), fingerprint="e" * 64)
    with pytest.raises(BrokenIndex, match="cannot be read"):
        decode_thresholds(b"{", fingerprint=FINGERPRINT)


def test_a_similarity_that_is_no_number_is_refused() -> None:
    values = best_of(200)
    values[7] = math.nan
    with pytest.raises(BrokenIndex, match="not a finite number"):
        conformal_threshold(values, 0.1)
