"""From words that a picture fits to matches that say what they exceed, by thresholds of their own."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from imagescreen.calibration.scale import Scale
from imagescreen.calibration.thresholds import ThresholdPair
from imagescreen.matching import Fit
from imagescreen.screening.answer import Exceeds, Match, MatchKind
from imagescreen.screening.policy import WordRules


class Described(Protocol):
    """What must be known of a reference."""

    @property
    def title(self) -> str: ...

    @property
    def category(self) -> str | None: ...


def exceeds_of(score: float, pair: ThresholdPair) -> Exceeds | None:
    if pair.hold is not None and score > pair.hold:
        return Exceeds.HOLD
    return Exceeds.REVIEW if pair.review is not None and score > pair.review else None


def word_thresholds(scale: Scale, rules: WordRules) -> ThresholdPair:
    """As measured, but for hold where words do not hold; a pair of nulls where nothing was measured for words."""
    pair = ThresholdPair(None, None) if scale.of_words is None else scale.of_words.pair
    return pair if rules.leads_to is Exceeds.HOLD else ThresholdPair(pair.review, None)


def described_matches(
    fits: Sequence[Fit], references: Mapping[UUID, Described], scale: Scale, rules: WordRules
) -> list[Match]:
    """The matches of one picture by words, in the order of `fits`."""
    pair = word_thresholds(scale, rules)
    return [
        Match(
            reference_id=fit.reference_id,
            reference_picture_id=None,
            title=references[fit.reference_id].title,
            category=references[fit.reference_id].category,
            kind=MatchKind.DESCRIBED,
            similarity=round(fit.similarity, 6),
            score=round(fit.score, 6),
            thresholds=pair,
            exceeds=exceeds_of(fit.score, pair),
            one_in=scale.one_in_of_words(fit.score),
            phrase=fit.phrase,
        )
        for fit in fits
    ]
