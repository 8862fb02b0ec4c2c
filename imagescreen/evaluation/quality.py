"""What raw, normalised and calibrated scores catch at promised rates of false flags, with bootstrap intervals."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt

from imagescreen.calibration.thresholds import conformal_threshold, packages_needed
from imagescreen.errors import WrongUse
from imagescreen.evaluation.bootstrap import Rows, intervals
from imagescreen.evaluation.curves import (
    allowed_false_flags,
    average_precision,
    precision_recall_curve,
    recall_at_precision,
    recall_at_rate,
)
from imagescreen.evaluation.trials import Scored

LEAST_PRECISION = 0.9
SPLITS = 20
"""Random halves over which the calibrated figures are averaged."""

GAIN_BELOW_HALF = 1.6
MISSES_REMOVED = 0.25
ENOUGH_RECALL = 0.95


class Kind(StrEnum):
    RAW = "raw"
    NORMALISED = "normalised"
    CALIBRATED = "calibrated"


class Figure(msgspec.Struct, frozen=True):
    """A measured share with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class AtRate(msgspec.Struct, frozen=True):
    """Recall at one rate of false flags.

    `raw` and `normalised` are cut where these ordinary packages are flagged at just that rate. `calibrated` is cut as
    the service does it: at the conformal threshold of one half of them, with `false_flags` counted on the other half,
    averaged over random halves; None with the packages `needed` in all when a half cannot support the rate.
    """

    kind: Kind
    rate: float
    recall: Figure | None
    false_flags: Figure | None
    needed: int = 0


class Ranking(msgspec.Struct, frozen=True):
    """Figures over all thresholds: the share of packages whose best match is right, the area under the
    precision-recall curve, and the recall at the highest threshold sweep that keeps a precision of 0.9."""

    kind: Kind
    right_first: Figure
    average_precision: Figure
    recall_at_90_precision: Figure


class Gain(msgspec.Struct, frozen=True):
    """Normalised against raw at one rate: recall's difference (paired), ratio, and the share of misses that is gone."""

    rate: float
    difference: Figure
    ratio: float | None
    misses_removed: float | None
    reached: bool


class Counts(msgspec.Struct, frozen=True):
    references: int
    labels: int
    queries: int
    query_pictures: int
    ordinary: int
    ordinary_pictures: int
    background: int


class Quality(msgspec.Struct, frozen=True):
    """One task, measured. `calibrated_on` is the score that the calibrated figures are of."""

    name: str
    what: str
    counts: Counts
    beta: float
    top_k: int
    at_rates: list[AtRate]
    rankings: list[Ranking]
    gains: list[Gain]
    calibrated_on: Kind


def measure_quality(
    name: str,
    what: str,
    counts: Counts,
    scored: Mapping[Kind, Scored],
    *,
    rates: Sequence[float],
    beta: float,
    top_k: int,
    seed: int,
    rounds: int,
) -> Quality:
    """`scored` has RAW, and NORMALISED where there is a background. Raises WrongUse when the ordinary packages are too
    few for one of the `rates`.
    """
    kinds = [kind for kind in (Kind.RAW, Kind.NORMALISED) if kind in scored]
    some = scored[Kind.RAW]
    positives, ordinary = len(some.right), len(some.ordinary)
    for rate in rates:
        allowed_false_flags(ordinary, rate)
    supported = [rate for rate in rates if ordinary // 2 >= packages_needed(rate)]

    def exact(of_positive: Rows, of_ordinary: Rows) -> npt.NDArray[np.float64]:
        values: list[float] = []
        for kind in kinds:
            values += _exact(scored[kind], of_positive, of_ordinary, rates)
        values += [
            recall_at_rate(scored[kinds[-1]].right[of_positive], scored[kinds[-1]].ordinary[of_ordinary], rate)
            - recall_at_rate(some.right[of_positive], some.ordinary[of_ordinary], rate)
            for rate in rates
        ]
        for rate in supported:
            values += _calibrated(scored[kinds[-1]], of_positive, of_ordinary, rate)
        return np.array(values)

    measured = exact(np.arange(positives), np.arange(ordinary))
    # One order of the ordinary packages is one random half; the figure is the mean over several.
    random = np.random.default_rng([seed, 1])
    halves = [
        [_calibrated(scored[kinds[-1]], np.arange(positives), random.permutation(ordinary), rate) for rate in supported]
        for _ in range(SPLITS)
    ]
    if supported:
        measured[-2 * len(supported) :] = np.mean(halves, axis=0).ravel()
    ranges = intervals(exact, positives=positives, ordinary=ordinary, rounds=rounds, seed=seed)
    figures = iter([Figure(float(value), of.low, of.high) for value, of in zip(measured, ranges, strict=True)])
    rankings, at_rates = [], []
    for kind in kinds:
        rankings.append(Ranking(kind, next(figures), next(figures), next(figures)))
        for rate in rates:
            share = allowed_false_flags(ordinary, rate) / ordinary
            at_rates.append(AtRate(kind, rate, next(figures), Figure(share, share, share)))
    differences = [next(figures) for _ in rates]
    for rate in rates:
        if rate in supported:
            at_rates.append(AtRate(Kind.CALIBRATED, rate, next(figures), next(figures)))
        else:
            at_rates.append(AtRate(Kind.CALIBRATED, rate, None, None, needed=2 * packages_needed(rate)))
    return Quality(
        name=name,
        what=what,
        counts=counts,
        beta=beta,
        top_k=top_k,
        at_rates=at_rates,
        rankings=rankings,
        gains=_gains(at_rates, differences, rates) if Kind.NORMALISED in kinds else [],
        calibrated_on=kinds[-1],
    )


def flags(scored: Scored) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Everything that could be flagged, (p + o,): its score, and whether the flag would name the right item."""
    wrong = np.zeros(len(scored.ordinary), np.bool_)
    return np.concatenate([scored.best, scored.ordinary]), np.concatenate([scored.right_first, wrong])


def found(qualities: Sequence[AtRate], kind: Kind, rate: float) -> AtRate:
    """The entry of this kind at this rate."""
    for entry in qualities:
        if entry.kind is kind and entry.rate == rate:
            return entry
    raise WrongUse(f"nothing was measured of {kind.value} at 1 in {1 / rate:g}")


def gain_reached(raw: float, other: float) -> bool:
    """The goal: 1.6 times raw's recall where that is below 0.5; elsewhere a quarter of its misses, or 0.95."""
    if raw < 0.5:
        return other >= GAIN_BELOW_HALF * raw and other > raw
    return other >= ENOUGH_RECALL or 1 - other <= (1 - MISSES_REMOVED) * (1 - raw)


def _exact(scored: Scored, of_positive: Rows, of_ordinary: Rows, rates: Sequence[float]) -> list[float]:
    right_first, best = scored.right_first[of_positive], scored.best[of_positive]
    ordinary = scored.ordinary[of_ordinary]
    scores = np.concatenate([best, ordinary])
    correct = np.concatenate([right_first, np.zeros(len(ordinary), np.bool_)])
    precision, recall = precision_recall_curve(scores, correct, len(best))
    return [
        float(right_first.mean()),
        average_precision(precision, recall),
        recall_at_precision(precision, recall, LEAST_PRECISION),
        *(recall_at_rate(scored.right[of_positive], ordinary, rate) for rate in rates),
    ]


def _calibrated(scored: Scored, of_positive: Rows, of_ordinary: Rows, rate: float) -> list[float]:
    """Recall and share of false flags: the threshold from the first half, counted on the second."""
    ordinary = scored.ordinary[of_ordinary]
    threshold = conformal_threshold(ordinary[: len(ordinary) // 2], rate)
    limit = math.inf if threshold is None else threshold
    return [float((scored.right[of_positive] > limit).mean()), float((ordinary[len(ordinary) // 2 :] > limit).mean())]


def _gains(at_rates: Sequence[AtRate], differences: Sequence[Figure], rates: Sequence[float]) -> list[Gain]:
    gains = []
    for rate, difference in zip(rates, differences, strict=True):
        raw = found(at_rates, Kind.RAW, rate).recall
        normalised = found(at_rates, Kind.NORMALISED, rate).recall
        if raw is None or normalised is None:
            continue
        gains.append(
            Gain(
                rate=rate,
                difference=difference,
                ratio=normalised.value / raw.value if raw.value else None,
                misses_removed=1 - (1 - normalised.value) / (1 - raw.value) if raw.value < 1 else None,
                reached=gain_reached(raw.value, normalised.value),
            )
        )
    return gains
