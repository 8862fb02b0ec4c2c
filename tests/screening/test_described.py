"""What a match by words leads to is the operator's wish, within what was measured."""

from uuid import uuid4

import msgspec
import numpy as np
import pytest

from imagescreen.calibration.ordinary import OrdinaryPackages
from imagescreen.calibration.scale import Scale
from imagescreen.calibration.thresholds import Rates, Scores, WordScores, measure_thresholds
from imagescreen.matching import Fit
from imagescreen.screening.answer import Exceeds, Match
from imagescreen.screening.described import described_matches
from imagescreen.screening.matches import ReferenceInfo
from imagescreen.screening.policy import Policy, WordRules, read_policy

REVOLVER = uuid4()
REFERENCES = {REVOLVER: ReferenceInfo("Acme revolver", "known_item", "prohibited", "hold", frozenset())}
HOLDS = WordRules(share=0.5, leads_to=Exceeds.HOLD)
PACKAGES = 200


def uniform(seed: int) -> Scores:
    return np.random.default_rng(seed).permutation(np.arange(PACKAGES) / PACKAGES).astype(np.float32)


def measured(rules: WordRules) -> Scale:
    """Scores of pictures and of words both lie evenly between 0 and 1."""
    highest, words = {"prohibited": uniform(1)}, uniform(2)
    thresholds = measure_thresholds(
        highest,
        pictures=PACKAGES,
        fingerprint="f" * 64,
        background=None,
        rates=Rates(review=0.2, hold=0.1),
        weights={},
        words=WordScores(words, 1, rules.shares()),
    )
    ordinary = OrdinaryPackages(
        np.eye(PACKAGES, 2, dtype="f4"), np.zeros(PACKAGES, "f4"), np.arange(PACKAGES), highest, words
    )
    return Scale(thresholds=thresholds, ordinary=ordinary)


def match(scale: Scale, rules: WordRules, score: float) -> Match:
    (found,) = described_matches([Fit(REVOLVER, "a handgun", 0.3, score)], REFERENCES, scale, rules)
    return found


@pytest.mark.parametrize(
    ("score", "exceeds", "one_in"), [(0.892, None, 9), (0.922, Exceeds.REVIEW, 12), (0.972, Exceeds.HOLD, 33)]
)
def test_words_hold_only_where_the_policy_says_so(score: float, exceeds: Exceeds | None, one_in: int) -> None:
    """Half of the rates: thresholds lie at 0.9 and 0.95."""
    scale = measured(HOLDS)
    assert match(scale, HOLDS, score).exceeds is exceeds
    assert match(scale, HOLDS, score).one_in == one_in
    # The wish counts at once, also before a build.
    cautious = WordRules(share=0.5)
    assert match(scale, cautious, score).exceeds is (exceeds and Exceeds.REVIEW)
    assert match(measured(cautious), HOLDS, score).exceeds is (exceeds and Exceeds.REVIEW)


def test_without_thresholds_for_words_nothing_is_exceeded() -> None:
    found = match(Scale(), HOLDS, 99.0)
    assert (found.exceeds, found.one_in, found.thresholds.review) == (None, None, None)


def test_a_policy_with_another_share_of_words_wants_another_build() -> None:
    policy = read_policy(None)

    def wishing(rules: WordRules) -> Policy:
        wishes = msgspec.structs.replace(policy.wishes, rates=Rates(review=0.2, hold=0.1), words=rules)
        return msgspec.structs.replace(policy, wishes=wishes)

    scale = measured(HOLDS)
    assert wishing(HOLDS).kept_by(scale)
    assert not wishing(WordRules(share=0.4, leads_to=Exceeds.HOLD)).kept_by(scale)
    assert not wishing(WordRules(share=0.5)).kept_by(scale)
