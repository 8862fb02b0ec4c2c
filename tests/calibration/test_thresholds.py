import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imagescreen.calibration.ordinary import OrdinaryPackages, highest_of_packages
from imagescreen.calibration.thresholds import (
    Rates,
    ThresholdPair,
    Thresholds,
    WordScores,
    WordShares,
    above_any,
    conformal_threshold,
    decode_thresholds,
    encode_thresholds,
    measure_thresholds,
    packages_needed,
    shares_of,
    threshold_pairs,
)
from imagescreen.errors import BrokenIndex, InvalidContent

RATES = Rates(review=0.01, hold=0.001)
FINGERPRINT = "f" * 64

Highest = dict[str, NDArray[np.float32]]


def scores(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.1, 0.9, count).astype(np.float32)


def measured(highest: Highest, rates: Rates = RATES, words: WordScores | None = None, **weights: float) -> Thresholds:
    return measure_thresholds(
        highest,
        pictures=sum(map(len, highest.values())),
        fingerprint=FINGERPRINT,
        background=None,
        rates=rates,
        weights=weights,
        words=words,
    )


@settings(deadline=None)
@given(st.integers(1, 3000), st.floats(0.0005, 0.5), st.integers(0, 1000))
def test_a_further_ordinary_package_exceeds_the_threshold_at_most_at_the_promised_rate(
    count: int, rate: float, seed: int
) -> None:
    values = scores(count, seed)
    threshold = conformal_threshold(values, rate)
    if threshold is None:
        assert count < packages_needed(rate) + 1
    else:
        # A further exchangeable package takes each of the count + 1 ranks with the same probability.
        ranks_above = int((values > threshold).sum()) + 1
        assert ranks_above / (count + 1) <= rate + 1e-9


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(25, 70), st.integers(0, 10_000), st.booleans())
def test_the_categories_together_keep_the_promise_for_packages_of_several_pictures(
    categories: int, count: int, seed: int, dependent: bool
) -> None:
    """Each of n + 1 packages in turn is the further one: exchangeable packages are flagged as often as these are."""
    random = np.random.default_rng(seed)
    rates = Rates(review=0.2, hold=0.05)
    pictures = random.integers(1, 5, count + 1)
    starts = np.concatenate([[0], np.cumsum(pictures)[:-1]])
    common = random.normal(size=pictures.sum()) * dependent
    # Categories of unlike scale.
    highest: Highest = {
        f"c{c}": highest_of_packages(((common + random.normal(size=len(common))) * (c + 1)).astype("f4"), starts)
        for c in range(categories)
    }
    shares = shares_of(list(highest), {"c0": 2.0})
    flagged = held = 0
    for further in range(count + 1):
        others = {name: np.delete(values, further) for name, values in highest.items()}
        pairs = threshold_pairs(others, None, rates, shares).categories
        exceeds = [(highest[name][further], pair) for name, pair in pairs.items()]
        flagged += any(pair.review is not None and score > pair.review for score, pair in exceeds)
        held += any(pair.hold is not None and score > pair.hold for score, pair in exceeds)
    assert flagged <= rates.review * (count + 1) + 1e-9
    assert held <= rates.hold * (count + 1) + 1e-9
    assert flagged >= 1


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(40, 90), st.integers(0, 10_000), st.booleans(), st.sampled_from([0.0, 0.3]))
def test_words_and_pictures_together_keep_the_promise_whatever_the_scale_of_either(
    categories: int, count: int, seed: int, dependent: bool, hold_share: float
) -> None:
    """As above; scores by words have a scale of their own."""
    random = np.random.default_rng(seed)
    rates = Rates(review=0.2, hold=0.05)
    common = random.normal(size=count + 1) * dependent
    highest: Highest = {f"c{c}": (common + random.normal(size=count + 1)).astype("f4") for c in range(categories)}
    words = ((common + random.normal(size=count + 1)) * 100 - 7).astype("f4")
    shares = shares_of(list(highest), {})
    flagged = held = 0
    for further in range(count + 1):
        pairs = threshold_pairs(
            {name: np.delete(values, further) for name, values in highest.items()},
            WordScores(np.delete(words, further), 3, WordShares(review=0.3, hold=hold_share)),
            rates,
            shares,
        )
        assert pairs.words.review is not None
        exceeds = [(highest[name][further], pair) for name, pair in pairs.categories.items()]
        exceeds.append((words[further], pairs.words))
        flagged += any(pair.review is not None and score > pair.review for score, pair in exceeds)
        held += any(pair.hold is not None and score > pair.hold for score, pair in exceeds)
    assert flagged <= rates.review * (count + 1) + 1e-9
    assert held <= rates.hold * (count + 1) + 1e-9
    assert flagged >= 1


def test_words_have_their_share_of_the_rate_and_the_categories_divide_the_rest() -> None:
    highest, words = {name: scores(9000, seed) for seed, name in enumerate("ab")}, scores(9000, 7) * np.float32(50)
    shares = WordShares(review=0.1, hold=0.0)
    thresholds = measured(highest, RATES, WordScores(words, 12, shares))
    assert thresholds.words is not None
    assert (thresholds.words.references, thresholds.words.shares) == (12, shares)
    # Without a share of it, words never hold, and nothing of the hold rate is lost.
    assert thresholds.words.pair == ThresholdPair(conformal_threshold(words, 0.001), None)
    assert thresholds.words.support.review.promised == pytest.approx(0.001)
    for name, values in highest.items():
        assert thresholds.of(name).review == conformal_threshold(values, 0.0045)
        assert thresholds.of(name).hold == conformal_threshold(values, 0.0005)
    without = measured(highest)
    assert without.words is None
    assert without.of("a").review == conformal_threshold(highest["a"], 0.005)


def test_where_packages_are_too_few_for_words_the_categories_have_the_whole_rate() -> None:
    highest = {"counterfeit": scores(500)}
    with_words = measured(highest, RATES, WordScores(scores(500, 5), 1, WordShares(review=0.1, hold=0.1)))
    assert with_words.words is not None
    assert with_words.words.pair == ThresholdPair(None, None)
    assert with_words.categories == measured(highest).categories
    assert with_words.total == measured(highest).total
    assert not above_any({"counterfeit": np.full(1, -1, "f4")}, np.full(1, 9, "f4"), with_words, "review")[0]


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 99), (0.001, 999), (0.5, 1), (0.05, 19)])
def test_the_sample_size_that_a_rate_needs_is_told_exactly(rate: float, needed: int) -> None:
    assert packages_needed(rate) == needed
    assert conformal_threshold(scores(needed), rate) is not None
    assert conformal_threshold(scores(needed - 1), rate) is None


def test_a_hold_rate_beyond_the_sample_holds_nothing_and_a_review_rate_beyond_it_is_refused() -> None:
    thresholds = measured({"counterfeit": scores(200)})
    assert thresholds.of("counterfeit").hold is None
    assert thresholds.of("counterfeit").review is not None
    assert (thresholds.total.hold.measured, thresholds.total.hold.interval) == (None, None)
    with pytest.raises(InvalidContent, match="at least 99 are needed, 59 more"):
        measured({"counterfeit": scores(40)})


def test_a_rate_is_divided_over_the_categories_where_the_packages_suffice_and_common_to_them_where_not() -> None:
    highest = {name: scores(1500, seed) for seed, name in enumerate("abcd")}
    thresholds = measured(highest)
    assert (thresholds.divided_review, thresholds.divided_hold) == (True, False)
    for name, values in highest.items():
        assert thresholds.of(name).review == conformal_threshold(values, 0.0025)
        assert thresholds.support[name].review.promised == 0.0025
    anywhere = conformal_threshold(np.max(list(highest.values()), axis=0), 0.001)
    assert {thresholds.of(name).hold for name in highest} == {anywhere}
    assert thresholds.total.hold.measured is not None and thresholds.total.hold.measured <= 0.001
    review = thresholds.total.review
    assert review.interval is not None and review.measured is not None
    assert review.interval.low <= review.measured <= 0.01 < review.interval.high


def test_a_category_of_greater_share_has_a_lower_threshold() -> None:
    same = scores(3000)
    thresholds = measured({"a": same, "b": same}, a=3, c=7)
    assert thresholds.shares == {"a": 0.75, "b": 0.25}
    assert (thresholds.of("a").review or 1) < (thresholds.of("b").review or 0)
    assert shares_of(["a", "b"], {}) == {"a": 0.5, "b": 0.5}


def test_a_category_without_references_at_calibration_uses_the_overall_thresholds() -> None:
    thresholds = measured({"counterfeit": scores(1500, 1), "recalled": scores(1500, 2) * np.float32(0.5)})
    assert thresholds.of("prohibited") == thresholds.overall
    assert thresholds.of("recalled") != thresholds.overall
    assert thresholds.lowest_review() == thresholds.of("recalled").review


def test_a_hold_threshold_is_never_below_the_review_threshold() -> None:
    same = scores(2100)
    thresholds = measured({"a": same, "b": same}, Rates(review=0.01, hold=0.009), a=1, b=19)
    assert (thresholds.divided_review, thresholds.divided_hold) == (True, False)
    assert thresholds.of("a").hold != thresholds.of("b").hold
    for pair in thresholds.categories.values():
        assert pair.review is not None and pair.hold is not None and pair.review <= pair.hold


def test_thresholds_survive_their_file_and_refuse_another_models_or_backgrounds() -> None:
    words = WordScores(scores(1500, 3), 4, WordShares(review=0.1, hold=0.0))
    thresholds = measured({"counterfeit": scores(1500)}, RATES, words)
    content = encode_thresholds(thresholds)
    assert decode_thresholds(content, fingerprint=FINGERPRINT, background=None) == thresholds
    with pytest.raises(BrokenIndex, match="belong to model f"):
        decode_thresholds(content, fingerprint="e" * 64, background=None)
    with pytest.raises(BrokenIndex, match=r"belong to background \(none\), the index to b1"):
        decode_thresholds(content, fingerprint=FINGERPRINT, background="b1")
    with pytest.raises(BrokenIndex, match="cannot be read"):
        decode_thresholds(b"{", fingerprint=FINGERPRINT, background=None)


def test_a_score_that_is_no_number_is_refused() -> None:
    values = scores(200)
    values[7] = math.nan
    with pytest.raises(BrokenIndex, match="not a finite number"):
        conformal_threshold(values, 0.1)


def packages(highest: Highest) -> OrdinaryPackages:
    count = len(next(iter(highest.values())))
    return OrdinaryPackages(np.eye(count, 2, dtype="f4"), np.zeros(count, "f4"), np.arange(count), highest)


@settings(max_examples=30, deadline=None)
@given(st.integers(120, 900), st.integers(0, 500), st.lists(st.floats(-0.1, 1.1), min_size=2, max_size=8))
def test_one_in_grows_with_the_score_and_agrees_with_the_thresholds(count: int, seed: int, asked: list[float]) -> None:
    highest = {"a": scores(count, seed), "b": np.round(scores(count, seed + 1), 2)}
    ordinary, thresholds = packages(highest), measured(highest)
    for category in ("a", "b", "later"):
        told = [ordinary.one_in(category, score) for score in sorted(asked)]
        assert told == sorted(told)
        assert all(1 <= one <= count + 1 for one in told)
        values = highest.get(category, np.maximum(highest["a"], highest["b"]))
        for score, one in zip(sorted(asked), told, strict=True):
            assert one == (count + 1) // (1 + int((values.astype(np.float64) >= score).sum()))
        review = thresholds.of(category).review
        share = thresholds.shares.get(category, 1) if thresholds.divided_review else 1
        assert review is not None
        assert ordinary.one_in(category, review + 1e-9) >= math.floor(1 / (0.01 * share) + 1e-6)


def test_packages_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(BrokenIndex, match="do not fit together"):
        OrdinaryPackages(np.eye(3, dtype="f4"), np.zeros(3, "f4"), np.array([0, 2, 2]), {"a": scores(3)})
    with pytest.raises(BrokenIndex, match="do not fit together"):
        OrdinaryPackages(np.eye(3, dtype="f4"), np.zeros(3, "f4"), np.array([0, 1]), {"a": scores(3)})
