"""The order of dispositions, and that nothing leads to one without a reason."""

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from imagescreen.calibration.thresholds import ThresholdPair
from imagescreen.errors import Problem
from imagescreen.screening.answer import (
    Disposition,
    Exceeds,
    Match,
    MatchKind,
    PictureResult,
    PictureStatus,
    ReasonCode,
)
from imagescreen.screening.disposition import decide
from imagescreen.screening.policy import read_policy

POLICY = read_policy(None)
BROKEN = [
    PictureStatus.UNREADABLE,
    PictureStatus.TOO_LARGE,
    PictureStatus.UNSUPPORTED_FORMAT,
    PictureStatus.UNAVAILABLE,
]


def match(exceeds: Exceeds | None, reference_id: UUID | None = None) -> Match:
    return Match(
        reference_id=reference_id or uuid4(),
        reference_picture_id=1,
        title="Acme tote",
        category="counterfeit",
        kind=MatchKind.RESEMBLES,
        similarity=0.9,
        score=0.9,
        thresholds=ThresholdPair(review=0.5, hold=0.8),
        exceeds=exceeds,
    )


def screened(position: int, *matches: Match) -> PictureResult:
    return PictureResult(position, PictureStatus.SCREENED, matches=list(matches))


def unscreened(position: int, status: PictureStatus) -> PictureResult:
    return PictureResult(position, status, problem=Problem("urn:x", "title", "detail"))


def decided(*pictures: PictureResult, action: str = "hold", calibrated: bool = True) -> Disposition:
    actions = {one.reference_id: action for picture in pictures for one in picture.matches}
    return decide(pictures, POLICY, actions=actions, calibrated=calibrated).disposition


def test_the_worst_match_decides_and_says_which_picture_resembles_what() -> None:
    held = match(Exceeds.HOLD)
    pictures = [screened(0, match(None)), screened(1, match(Exceeds.REVIEW)), screened(2, held)]
    actions = {one.reference_id: "hold" for picture in pictures for one in picture.matches}
    decision = decide(pictures, POLICY, actions=actions, calibrated=True)
    assert decision.disposition is Disposition.HOLD
    assert [reason.position for reason in decision.reasons] == [1, 2]
    assert decision.reasons[1].reference_id == held.reference_id
    assert decision.reasons[1].text == "picture 2 resembles 'Acme tote' (counterfeit)"


def test_inform_never_flags_and_review_caps_at_review() -> None:
    assert decided(screened(0, match(Exceeds.HOLD)), action="inform") is Disposition.CLEAR
    assert decided(screened(0, match(Exceeds.HOLD)), action="review") is Disposition.REVIEW


def test_a_package_with_nothing_screened_is_not_screenable() -> None:
    assert decided() is Disposition.NOT_SCREENABLE
    assert decided(unscreened(0, PictureStatus.UNREADABLE)) is Disposition.NOT_SCREENABLE
    assert decided(unscreened(0, PictureStatus.LOW_INFORMATION)) is Disposition.NOT_SCREENABLE


def test_without_measured_thresholds_nothing_is_cleared() -> None:
    decision = decide([screened(0, match(None))], POLICY, actions={}, calibrated=False)
    assert decision.disposition is Disposition.REVIEW
    assert [reason.code for reason in decision.reasons] == [ReasonCode.NOT_CALIBRATED]


statuses = st.lists(st.sampled_from(PictureStatus), max_size=6)
exceeding = st.lists(st.sampled_from([None, Exceeds.REVIEW, Exceeds.HOLD]), min_size=6, max_size=6)


@given(statuses, exceeding)
def test_breaking_a_picture_never_clears_a_package(status: list[PictureStatus], exceeds: list[Exceeds | None]) -> None:
    pictures = [
        screened(position, match(exceeds[position])) if one is PictureStatus.SCREENED else unscreened(position, one)
        for position, one in enumerate(status)
    ]
    actions = {one.reference_id: "hold" for picture in pictures for one in picture.matches}
    decision = decide(pictures, POLICY, actions=actions, calibrated=True)
    if any(one in BROKEN for one in status):
        assert decision.disposition is not Disposition.CLEAR
    assert decision.incomplete == any(one is not PictureStatus.SCREENED for one in status)
    assert (decision.disposition is Disposition.CLEAR) or decision.reasons
    explained = {reason.position for reason in decision.reasons}
    assert {position for position, one in enumerate(status) if one is not PictureStatus.SCREENED} <= explained
