"""What is measured of known scores, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest

from imagescreen.errors import WrongUse
from imagescreen.evaluation.quality import Counts, Kind, Quality, found, gain_reached, measure_quality
from imagescreen.evaluation.quality_tables import at_rate_rows, gain_sentences
from imagescreen.evaluation.trials import Scored

COUNTS = Counts(
    references=1, labels=1, queries=200, query_pictures=200, ordinary=300, ordinary_pictures=300, background=50
)


def scored(shift: float, *, positives: int = 200, ordinary: int = 300, seed: int = 0) -> Scored:
    random = np.random.default_rng(seed)
    right = (random.normal(size=positives) + shift).astype(np.float32)
    pairs = np.zeros((positives, 2), np.int64)
    return Scored(
        right=right,
        best=right,
        right_first=random.random(positives) < 0.8,
        ordinary=random.normal(size=ordinary).astype(np.float32),
        right_pair=pairs,
        best_pair=pairs,
        ordinary_pair=np.zeros((ordinary, 2), np.int64),
    )


def measured(raw: Scored, normalised: Scored | None = None, **options: object) -> Quality:
    kinds = {Kind.RAW: raw} if normalised is None else {Kind.RAW: raw, Kind.NORMALISED: normalised}
    plan = {"rates": [0.1, 0.01], "beta": 1.0, "top_k": 10, "seed": 4, "rounds": 200} | options
    return measure_quality("known", "", COUNTS, kinds, **plan)  # type: ignore[arg-type]


def test_figures_are_those_of_the_scores_and_lie_in_their_intervals() -> None:
    raw, normalised = scored(1.0), scored(3.0)
    quality = measured(raw, normalised)
    for kind, scores in ((Kind.RAW, raw), (Kind.NORMALISED, normalised)):
        recall = found(quality.at_rates, kind, 0.01).recall
        assert recall is not None
        assert recall.value == np.mean(scores.right > np.sort(scores.ordinary)[-4])
        assert recall.low <= recall.value <= recall.high
        assert 0.005 < recall.high - recall.low < 0.5
    assert quality.rankings[0].right_first.value == raw.right_first.mean()
    gain = quality.gains[0]
    assert gain.difference.low > 0 and gain.ratio is not None and gain.ratio > 1
    assert quality.calibrated_on is Kind.NORMALISED


def test_calibrated_false_flags_are_counted_on_packages_that_did_not_calibrate() -> None:
    calibrated = found(measured(scored(3.0)).at_rates, Kind.CALIBRATED, 0.1)
    assert calibrated.false_flags is not None and calibrated.recall is not None
    assert calibrated.false_flags.value == pytest.approx(0.1, abs=0.03)
    assert calibrated.recall.value > 0.8


def test_a_rate_that_half_of_the_packages_cannot_support_is_not_promised_and_says_what_it_needs() -> None:
    quality = measured(scored(3.0, ordinary=197), rates=[0.01])
    calibrated = found(quality.at_rates, Kind.CALIBRATED, 0.01)
    assert (calibrated.recall, calibrated.needed) == (None, 198)
    assert ("1 in 100", "calibrated", "-", "needs 198 ordinary packages") in at_rate_rows(quality)
    assert not quality.gains


def test_the_same_seed_gives_the_same_intervals_and_another_one_others() -> None:
    raw = scored(1.0)
    first, again, other = (measured(raw, seed=seed).at_rates[0].recall for seed in (4, 4, 5))
    assert first == again
    assert first != other


def test_a_shift_of_all_scores_changes_no_figure() -> None:
    raw = scored(1.0)
    shifted = replace(raw, right=raw.right + 1, best=raw.best + 1, ordinary=raw.ordinary + 1)
    assert measured(raw).at_rates == measured(shifted).at_rates


@pytest.mark.parametrize(
    ("raw", "normalised", "reached"),
    [
        (0.3, 0.48, True),
        (0.3, 0.47, False),
        (0.0, 0.0, False),
        (0.8, 0.851, True),
        (0.8, 0.84, False),
        (0.94, 0.95, True),
    ],
)
def test_the_goal_is_a_ratio_below_one_half_and_a_quarter_of_the_misses_above(
    raw: float, normalised: float, reached: bool
) -> None:
    assert gain_reached(raw, normalised) is reached


def test_nothing_to_compare_is_told_apart_from_no_gain() -> None:
    sentences = gain_sentences(measured(scored(-9.0), scored(-9.0)))
    assert "recall +0.000" in sentences[0] and "times raw" not in sentences[0] and "goal missed" in sentences[0]


def test_too_few_ordinary_packages_for_a_rate_are_refused() -> None:
    with pytest.raises(WrongUse, match="too few to measure 1 false flag in 1000"):
        measured(scored(1.0), rates=[0.001])
