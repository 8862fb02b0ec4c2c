"""From the similarities of ordinary pictures to thresholds that keep a promised rate of false flags."""

import math
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex, InvalidContent


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operator's wish: the share of ordinary pictures that may reach `review`, and `hold`."""

    review: float
    hold: float

    def __post_init__(self) -> None:
        if not 0 < self.hold <= self.review < 1:
            raise ValueError("rates must be shares with 0 < hold <= review < 1")


class ThresholdPair(msgspec.Struct, frozen=True):
    """A score *above* a threshold exceeds it; None: the sample is too small to promise that rate, so nothing does."""

    review: float | None
    hold: float | None


class Support(msgspec.Struct, frozen=True):
    """What stands behind a pair: the wish, and what the same ordinary pictures did against the pair."""

    rates: Rates
    flagged_share: float
    held_share: float


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured on one set of ordinary pictures against one set of references with one model.

    `categories` holds a pair for each category that had references. A category that came later uses `overall`, which is
    measured on the best similarity over all references.
    """

    pictures: int
    fingerprint: str
    overall: ThresholdPair
    overall_support: Support
    categories: dict[str, ThresholdPair]
    support: dict[str, Support]

    def of(self, category: str | None) -> ThresholdPair:
        return self.categories.get(category or "", self.overall)

    def lowest_review(self) -> float:
        """A similarity at or below it exceeds nothing in any category."""
        pairs = [self.overall, *self.categories.values()]
        return min((pair.review for pair in pairs if pair.review is not None), default=math.inf)


def pictures_needed(rate: float) -> int:
    """The least number of ordinary pictures that can support a promised rate: ceil(1 / rate) - 1."""
    return math.ceil(1 / rate - 1e-9) - 1


def check_sample_size(pictures: int, rates: Rates, category_rates: Mapping[str, Rates]) -> None:
    """Raises InvalidContent when so few ordinary pictures cannot support the smallest review rate."""
    smallest = min(wish.review for wish in (rates, *category_rates.values()))
    needed = pictures_needed(smallest)
    if pictures < needed:
        raise InvalidContent(
            f"{pictures} ordinary pictures cannot support a review rate of 1 in {1 / smallest:g}: "
            f"at least {needed} are needed, {needed - pictures} more"
        )


def conformal_threshold(best: NDArray[np.float32], rate: float) -> float | None:
    """The threshold that a further ordinary picture exceeds with probability at most `rate`.

    `best`: (n,) best similarity of each ordinary picture. It is the ceil((n + 1)(1 - rate))-th smallest of them, split
    conformal prediction's quantile (Vovk et al., 2005; Angelopoulos and Bates, 2021), which holds for any
    distribution as long as the sample is exchangeable with what comes. None when n is too small for `rate`.
    """
    if not np.isfinite(best).all():
        raise BrokenIndex("a calibration similarity is not a finite number")
    rank = math.ceil((len(best) + 1) * (1 - rate) - 1e-9)
    if rank > len(best):
        return None
    # Rounded up, so that the figure that people see is the figure that is compared.
    return math.ceil(float(np.partition(best, rank - 1)[rank - 1]) * 1e6) / 1e6


def measure_thresholds(
    best: Mapping[str, NDArray[np.float32]],
    *,
    fingerprint: str,
    rates: Rates,
    category_rates: Mapping[str, Rates],
) -> Thresholds:
    """`best`: for each category, (n,) best similarity of the same n ordinary pictures to its references.

    Raises InvalidContent when n is too small to promise the review rate: then nothing would be flagged at all.
    """
    if not best:
        raise InvalidContent("there are no active references of known items to calibrate against")
    overall = np.max(np.stack(list(best.values())), axis=0)
    check_sample_size(len(overall), rates, category_rates)
    overall_pair = _pair(overall, rates)
    pairs = {category: _pair(values, category_rates.get(category, rates)) for category, values in best.items()}
    return Thresholds(
        pictures=len(overall),
        fingerprint=fingerprint,
        overall=overall_pair,
        overall_support=_support(overall, overall_pair, rates),
        categories=pairs,
        support={
            category: _support(values, pairs[category], category_rates.get(category, rates))
            for category, values in best.items()
        },
    )


def flagged_by(best: Mapping[str, NDArray[np.float32]], thresholds: Thresholds) -> tuple[float, float]:
    """Shares of the ordinary pictures that any category's thresholds would send to review or hold, and to hold."""
    review = np.any([_above(values, thresholds.of(category).review) for category, values in best.items()], axis=0)
    hold = np.any([_above(values, thresholds.of(category).hold) for category, values in best.items()], axis=0)
    return float(np.mean(review | hold)), float(np.mean(hold))


def encode_thresholds(thresholds: Thresholds) -> bytes:
    return msgspec.json.format(msgspec.json.encode(thresholds, order="sorted"))


def decode_thresholds(data: bytes, *, fingerprint: str) -> Thresholds:
    """Raises BrokenIndex when the file is damaged or was measured with another model."""
    try:
        thresholds = msgspec.json.decode(data, type=Thresholds)
    except msgspec.DecodeError as error:
        raise BrokenIndex(f"thresholds.json cannot be read: {error}") from None
    if thresholds.fingerprint != fingerprint:
        raise BrokenIndex(f"thresholds.json belongs to model {thresholds.fingerprint}, the index to {fingerprint}")
    return thresholds


def _pair(best: NDArray[np.float32], rates: Rates) -> ThresholdPair:
    return ThresholdPair(
        review=conformal_threshold(best, rates.review),
        hold=conformal_threshold(best, rates.hold),
    )


def _support(best: NDArray[np.float32], pair: ThresholdPair, rates: Rates) -> Support:
    return Support(
        rates=rates,
        flagged_share=float(np.mean(_above(best, pair.review))),
        held_share=float(np.mean(_above(best, pair.hold))),
    )


def _above(best: NDArray[np.float32], threshold: float | None) -> NDArray[np.bool_]:
    return best > (math.inf if threshold is None else threshold)
