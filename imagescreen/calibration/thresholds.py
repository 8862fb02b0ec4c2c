"""From the scores of ordinary packages to thresholds that keep a promised rate of false flags.

The promise is for the package: of packages like those measured, at most a share of `rates` has a picture that exceeds a
threshold in any category, or that of references described in words. Each threshold is the split-conformal quantile of
the packages' highest scores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from imagescreen.calibration.intervals import Interval, rate_interval
from imagescreen.errors import BrokenIndex, InvalidContent

Scores = NDArray[np.float32]

NOTHING_TO_MEASURE_AGAINST = "there are no active references of known items to calibrate against"


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operator's wish: the share of ordinary packages that may reach `review` or more, and `hold`."""

    review: float
    hold: float

    def __post_init__(self) -> None:
        if not 0 < self.hold <= self.review < 1:
            raise ValueError("rates must be shares with 0 < hold <= review < 1")


class ThresholdPair(msgspec.Struct, frozen=True):
    """A score *above* a threshold exceeds it; None: the sample is too small to promise that rate, so nothing does."""

    review: float | None
    hold: float | None


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One promised rate and what stands behind it: the share of the ordinary packages that are above, and the 95 %
    interval of the true rate. `measured` and `interval` are null where nothing is promised.
    """

    promised: float
    measured: float | None
    interval: Interval | None


class Support(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands behind a pair."""

    review: Rate
    hold: Rate


class WordShares(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of each promised rate that references described in words have while there are any."""

    review: float
    hold: float


class WordThresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of all references described in words, `references` when it was measured, on scores of their own kind, which are
    never compared with those of pictures. The categories divide what `shares` leaves of the rates. `pair` has null
    where the packages are too few for the share, and then the categories have the whole rate.
    """

    references: int
    shares: WordShares
    pair: ThresholdPair
    support: Support


@dataclass(frozen=True, slots=True, eq=False)
class WordScores:
    """(n,) the highest score of each ordinary package against any of so many `references` described in words."""

    highest: Scores
    references: int
    shares: WordShares


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured on one set of ordinary packages against one set of references with one model and one background.

    `categories` holds a pair for each category that had references, `shares` how the rates are divided over them.
    Where the packages are too few to divide a rate (`divided_review`, `divided_hold` false), the categories have it in
    common: one threshold for all, on the highest score in any of them. A category that came later uses `overall`,
    which is that threshold for each rate. `words` is null when no reference was described in words. `total` is what all
    of them do together. `background` is the version of the background that scores were normalised with; null: they are
    raw similarities.
    """

    packages: int
    pictures: int
    fingerprint: str
    background: str | None
    rates: Rates
    shares: dict[str, float]
    divided_review: bool
    divided_hold: bool
    overall: ThresholdPair
    categories: dict[str, ThresholdPair]
    support: dict[str, Support]
    total: Support
    words: WordThresholds | None = None

    def of(self, category: str | None) -> ThresholdPair:
        return self.categories.get(category or "", self.overall)

    def lowest_review(self) -> float:
        """A score at or below it exceeds nothing in any category."""
        pairs = [self.overall, *self.categories.values()]
        return min((pair.review for pair in pairs if pair.review is not None), default=math.inf)


def packages_needed(rate: float) -> int:
    """The least number of ordinary packages that can support a promised rate: ceil(1 / rate) - 1."""
    return math.ceil(1 / rate - 1e-9) - 1


def check_sample_size(packages: int, rates: Rates) -> None:
    """Raises InvalidContent when so few ordinary packages cannot support the review rate."""
    needed = packages_needed(rates.review)
    if packages < needed:
        raise InvalidContent(
            f"{packages} ordinary packages cannot support a review rate of 1 in {1 / rates.review:g}: "
            f"at least {needed} are needed, {needed - packages} more"
        )


def shares_of(categories: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """The part of each rate that each of the categories present has: its weight, 1 if none is told, over their sum."""
    # The same to the last bit in whatever order they come, because shares are compared.
    total = math.fsum(weights.get(category, 1.0) for category in categories)
    return {category: weights.get(category, 1.0) / total for category in categories}


def conformal_threshold(highest: Scores, rate: float) -> float | None:
    """The threshold that a further ordinary package exceeds with probability at most `rate`.

    `highest`: (n,) highest score of each ordinary package. It is the ceil((n + 1)(1 - rate))-th smallest of them, split
    conformal prediction's quantile (Vovk et al., 2005; Angelopoulos and Bates, 2021), which holds for any
    distribution as long as the sample is exchangeable with what comes. None when n is too small for `rate`.
    """
    if not np.isfinite(highest).all():
        raise BrokenIndex("a calibration score is not a finite number")
    rank = math.ceil((len(highest) + 1) * (1 - rate) - 1e-9)
    if rank > len(highest):
        return None
    # Rounded up, so that the figure that people see is the figure that is compared.
    return math.ceil(float(np.partition(highest, rank - 1)[rank - 1]) * 1e6) / 1e6


def measure_thresholds(
    highest: Mapping[str, Scores],
    *,
    pictures: int,
    fingerprint: str,
    background: str | None,
    rates: Rates,
    weights: Mapping[str, float],
    words: WordScores | None = None,
) -> Thresholds:
    """`highest`: for each category, (n,) highest score of the same n ordinary packages against its references; they
    have so many `pictures` together. `weights` are the policy's, see `shares_of`. `words` are of the same packages.

    Raises InvalidContent when n is too small to promise the review rate: then nothing would be flagged at all.
    """
    if not highest:
        raise InvalidContent(NOTHING_TO_MEASURE_AGAINST)
    anywhere: Scores = np.max(np.stack(list(highest.values())), axis=0)
    packages = len(anywhere)
    check_sample_size(packages, rates)
    shares = shares_of(list(highest), weights)
    pairs = threshold_pairs(highest, words, rates, shares)
    of_words = [] if words is None else [(words.highest, pairs.words)]
    everything = [*((highest[category], pairs.categories[category]) for category in highest), *of_words]
    return Thresholds(
        packages=packages,
        pictures=pictures,
        fingerprint=fingerprint,
        background=background,
        rates=rates,
        shares=shares,
        divided_review=pairs.divided_review,
        divided_hold=pairs.divided_hold,
        overall=pairs.overall,
        categories=pairs.categories,
        support={
            category: _support(
                [(highest[category], pairs.categories[category])],
                pairs.review_left * (share if pairs.divided_review else 1),
                pairs.hold_left * (share if pairs.divided_hold else 1),
            )
            for category, share in shares.items()
        },
        total=_support(everything, rates.review, rates.hold),
        words=None
        if words is None
        else WordThresholds(
            words.references,
            words.shares,
            pairs.words,
            _support(of_words, rates.review * words.shares.review, rates.hold * words.shares.hold),
        ),
    )


@dataclass(frozen=True, slots=True)
class Pairs:
    """A pair for each category, for one that comes later (`overall`), and for words; what is left of each rate to the
    categories, and whether it was divided over them.
    """

    categories: dict[str, ThresholdPair]
    overall: ThresholdPair
    words: ThresholdPair
    review_left: float
    hold_left: float
    divided_review: bool
    divided_hold: bool


def threshold_pairs(
    highest: Mapping[str, Scores], words: WordScores | None, rates: Rates, shares: Mapping[str, float]
) -> Pairs:
    """By the union bound the thresholds together keep the rate that is divided over them; a threshold on the highest
    score in any category keeps it by itself. Scores by words are never pooled with those of pictures like that.
    """
    anywhere: Scores = np.max(np.stack(list(highest.values())), axis=0)
    words_review, review_left = _share_of_words(words, anywhere, rates.review, "review")
    words_hold, hold_left = _share_of_words(words, anywhere, rates.hold, "hold")
    review, divided_review = _thresholds(highest, anywhere, review_left, shares)
    hold, divided_hold = _thresholds(highest, anywhere, hold_left, shares)
    return Pairs(
        categories={each: _pair(review[each], hold[each]) for each in highest},
        overall=ThresholdPair(conformal_threshold(anywhere, review_left), conformal_threshold(anywhere, hold_left)),
        words=_pair(words_review, words_hold),
        review_left=review_left,
        hold_left=hold_left,
        divided_review=divided_review,
        divided_hold=divided_hold,
    )


def above_any(
    highest: Mapping[str, Scores], words: Scores | None, thresholds: Thresholds, name: str
) -> NDArray[np.bool_]:
    """(n,) which packages exceed the threshold `name` (`review` or `hold`) of any category, or that of `words` (n,).
    Whatever exceeds a hold threshold exceeds the review threshold beside it too.
    """
    parts = [_above(scores, getattr(thresholds.of(category), name)) for category, scores in highest.items()]
    if words is not None and thresholds.words is not None:
        parts.append(_above(words, getattr(thresholds.words.pair, name)))
    above: NDArray[np.bool_] = np.any(parts, axis=0)
    return above


def encode_thresholds(thresholds: Thresholds) -> bytes:
    return msgspec.json.format(msgspec.json.encode(thresholds, order="sorted"))


def decode_thresholds(data: bytes | memoryview, *, fingerprint: str, background: str | None) -> Thresholds:
    """Raises BrokenIndex when the file is damaged, or was measured with another model or another background."""
    try:
        thresholds = msgspec.json.decode(data, type=Thresholds)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenIndex(f"its thresholds cannot be read: {error}") from None
    if thresholds.fingerprint != fingerprint:
        raise BrokenIndex(f"its thresholds belong to model {thresholds.fingerprint}, the index to {fingerprint}")
    if thresholds.background != background:
        raise BrokenIndex(
            f"its thresholds belong to background {thresholds.background or '(none)'}, the index to "
            f"{background or '(none)'}"
        )
    return thresholds


def _thresholds(
    highest: Mapping[str, Scores], anywhere: Scores, rate: float, shares: Mapping[str, float]
) -> tuple[dict[str, float | None], bool]:
    """A threshold for each category, and whether the rate was divided over them."""
    divided = {category: conformal_threshold(values, rate * shares[category]) for category, values in highest.items()}
    if None not in divided.values():
        return divided, True
    return dict.fromkeys(highest, conformal_threshold(anywhere, rate)), False


def _pair(review: float | None, hold: float | None) -> ThresholdPair:
    # A small share of a divided review rate can be less than the whole hold rate.
    return ThresholdPair(review, hold if hold is None or review is None else max(hold, review))


def _share_of_words(words: WordScores | None, anywhere: Scores, rate: float, name: str) -> tuple[float | None, float]:
    """The threshold of references described in words, and what is left of the rate to the categories. Where the
    packages are too few for both, the categories have it all: words are the weaker evidence.
    """
    share = 0.0 if words is None else getattr(words.shares, name)
    if words is None or not share:
        return None, rate
    own, left = conformal_threshold(words.highest, rate * share), rate * (1 - share)
    if own is None or conformal_threshold(anywhere, left) is None:
        return None, rate
    return own, left


def _support(parts: Sequence[tuple[Scores, ThresholdPair]], review_rate: float, hold_rate: float) -> Support:
    return Support(
        _rate([(highest, pair.review) for highest, pair in parts], review_rate),
        _rate([(highest, pair.hold) for highest, pair in parts], hold_rate),
    )


def _rate(parts: Sequence[tuple[Scores, float | None]], promised: float) -> Rate:
    """What exceeds any of the thresholds that are there; where there is none, nothing is promised."""
    there = [(highest, limit) for highest, limit in parts if limit is not None]
    if not there:
        return Rate(promised, None, None)
    above = np.any([highest > limit for highest, limit in there], axis=0)
    count = int(np.count_nonzero(above))
    different = len({limit for _, limit in there})
    return Rate(promised, count / len(above), rate_interval(count, len(above), thresholds=different))


def _above(highest: Scores, threshold: float | None) -> NDArray[np.bool_]:
    return highest > (math.inf if threshold is None else threshold)
