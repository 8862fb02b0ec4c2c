"""Recall at a rate of false flags, and precision against recall, against counting by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagescreen.errors import WrongUse
from imagescreen.evaluation.curves import (
    allowed_false_flags,
    average_precision,
    precision_recall_curve,
    recall_at_precision,
    recall_at_rate,
    recall_curve,
    threshold_at,
)

# Few different values, so that ties are common.
SCORES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=30)
RATES = st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9])


@given(SCORES, SCORES, RATES)
def test_recall_is_the_most_that_any_threshold_catches_within_the_allowed_false_flags(
    positive: list[float], ordinary: list[float], rate: float
) -> None:
    if int(len(ordinary) * rate + 1e-9) < 1:
        with pytest.raises(WrongUse, match="too few"):
            recall_at_rate(np.array(positive), np.array(ordinary), rate)
        return
    possible = [
        sum(score > threshold for score in positive) / len(positive)
        for threshold in {-np.inf, *positive, *ordinary}
        if sum(score > threshold for score in ordinary) <= len(ordinary) * rate + 1e-9
    ]
    assert recall_at_rate(np.array(positive), np.array(ordinary), rate) == max(possible)


@given(SCORES, RATES)
def test_the_threshold_never_flags_more_than_the_rate(ordinary: list[float], rate: float) -> None:
    scores = np.array(ordinary)
    if len(ordinary) * rate >= 1:
        assert (scores > threshold_at(scores, rate)).sum() <= allowed_false_flags(len(scores), rate)


@given(SCORES, SCORES)
def test_the_curve_goes_through_every_recall_at_a_rate(positive: list[float], ordinary: list[float]) -> None:
    rates, recalls = recall_curve(np.array(positive), np.array(ordinary))
    assert (np.diff(recalls) >= 0).all()
    assert recalls[-1] == 1
    for allowed in range(1, len(ordinary)):
        rate = allowed / len(ordinary)
        assert rates[allowed] == pytest.approx(rate)
        assert recalls[allowed] == recall_at_rate(np.array(positive), np.array(ordinary), rate)


@given(st.lists(st.tuples(st.integers(-3, 3).map(float), st.booleans()), min_size=1, max_size=25), st.integers(0, 3))
def test_precision_and_recall_are_what_counting_at_each_threshold_gives(
    flagged: list[tuple[float, bool]], never_flagged: int
) -> None:
    positives = sum(correct for _, correct in flagged) + never_flagged
    scores, correct = (np.array(column) for column in zip(*flagged, strict=True))
    if positives < 1:
        with pytest.raises(WrongUse, match="something to be caught"):
            precision_recall_curve(scores, correct, positives)
        return
    precision, recall = precision_recall_curve(scores, correct, positives)
    expected = []
    for threshold in sorted(set(scores), reverse=True):
        above = [right for score, right in flagged if score >= threshold]
        expected.append((sum(above) / len(above), sum(above) / positives))
    assert np.stack([precision, recall], axis=1) == pytest.approx(np.array(expected))
    steps = [later[1] - earlier[1] for earlier, later in zip([(1, 0), *expected], expected, strict=False)]
    area = sum(step * point[0] for step, point in zip(steps, expected, strict=True))
    assert average_precision(precision, recall) == pytest.approx(area)
    best = max((point[1] for point in expected if point[0] >= 0.9), default=0)
    assert recall_at_precision(precision, recall, 0.9) == pytest.approx(best)


def test_too_few_ordinary_packages_are_told_how_many_more_are_needed() -> None:
    with pytest.raises(WrongUse, match="at least 1000 are needed, 1 more"):
        recall_at_rate(np.ones(3), np.zeros(999), 0.001)
    with pytest.raises(WrongUse, match="between 0 and 1"):
        allowed_false_flags(5, 1.0)
    with pytest.raises(WrongUse, match="no labelled queries"):
        recall_at_rate(np.ones(0), np.zeros(100), 0.01)
