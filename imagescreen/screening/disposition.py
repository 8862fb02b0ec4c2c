"""From the results of a package's pictures to its disposition, with a reason for everything that led to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from imagescreen.screening.answer import Disposition, Exceeds, Match, PictureResult, PictureStatus, Reason, ReasonCode
from imagescreen.screening.policy import Policy, WhenIncomplete


@dataclass(frozen=True, slots=True)
class Decision:
    disposition: Disposition
    incomplete: bool
    reasons: list[Reason]


def decide(
    pictures: Sequence[PictureResult], policy: Policy, *, actions: Mapping[UUID, str], calibrated: bool
) -> Decision:
    """In this order: hold; review; nothing screened; something not screened, as the policy says; clear.

    `actions`: the suggested action (`inform`, `review`, `hold`) of each reference in the matches. `inform` never flags,
    `review` caps at review. Without measured thresholds (`calibrated` false) nothing could exceed one, so every
    screened package goes to review.
    """
    reasons: list[Reason] = []
    worst = Disposition.CLEAR
    for picture in pictures:
        for match in picture.matches:
            if match.exceeds is not None:
                reason, disposition = _of_match(picture.position, match, actions[match.reference_id])
                reasons.append(reason)
                worst = _worse(worst, disposition)
    screened = [picture for picture in pictures if picture.status is PictureStatus.SCREENED]
    if screened and not calibrated:
        worst = _worse(worst, Disposition.REVIEW)
        reasons.append(
            Reason(
                code=ReasonCode.NOT_CALIBRATED,
                text="there are no measured thresholds yet, so every package goes to review: run scripts/calibrate.py",
            )
        )
    unscreened = [picture for picture in pictures if picture.status is not PictureStatus.SCREENED]
    for picture in unscreened:
        reasons.append(_of_unscreened(picture))
        if screened and policy.wishes.incomplete.of(picture.status) is WhenIncomplete.REVIEW:
            worst = _worse(worst, Disposition.REVIEW)
    if not pictures:
        reasons.append(Reason(code=ReasonCode.NO_PICTURES, text="the package has no pictures to screen"))
    if not screened:
        worst = Disposition.NOT_SCREENABLE
    return Decision(worst, bool(unscreened), reasons)


_ORDER = (Disposition.CLEAR, Disposition.REVIEW, Disposition.HOLD)


def _worse(a: Disposition, b: Disposition) -> Disposition:
    return max(a, b, key=_ORDER.index)


def _of_match(position: int, match: Match, action: str) -> tuple[Reason, Disposition]:
    resembles = f"picture {position} resembles '{match.title}' ({match.category})"
    if action == "inform":
        text = f"{resembles}, whose suggested action is to inform: it does not flag"
        code = ReasonCode.RESEMBLES_REFERENCE_INFORM
        disposition = Disposition.CLEAR
    else:
        code = ReasonCode.RESEMBLES_REFERENCE
        capped = match.exceeds is Exceeds.HOLD and action == "review"
        text = f"{resembles}, whose suggested action is review at most" if capped else resembles
        holds = match.exceeds is Exceeds.HOLD and not capped
        disposition = Disposition.HOLD if holds else Disposition.REVIEW
    return Reason(code=code, text=text, position=position, reference_id=match.reference_id), disposition


def _of_unscreened(picture: PictureResult) -> Reason:
    why = picture.problem.detail if picture.problem is not None else picture.status.value
    return Reason(
        code=ReasonCode.PICTURE_NOT_SCREENED,
        text=f"picture {picture.position} was not screened ({picture.status.value}): {why}",
        position=picture.position,
    )
