"""From the results of a package's pictures to its disposition, with a reason for everything that led to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from imagescreen.screening.answer import (
    Disposition,
    Exceeds,
    Match,
    MatchKind,
    PictureResult,
    PictureStatus,
    Reason,
    ReasonCode,
)
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
    `review` caps at review; so do a genuine reference that beats a match and the quarantine of a noisy one, and a
    not_goods reference suppresses it (see `suppression`). Without measured thresholds (`calibrated` false) nothing
    could exceed one, so every screened package goes to review.
    """
    reasons: list[Reason] = []
    worst = Disposition.CLEAR
    for picture in pictures:
        titles = {match.reference_id: match.title for match in picture.matches}
        for match in picture.matches:
            if match.exceeds is not None:
                told, disposition = _of_match(picture.position, match, actions[match.reference_id], titles)
                reasons.extend(told)
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
    if not screened and worst is Disposition.CLEAR:
        worst = Disposition.NOT_SCREENABLE
    return Decision(worst, bool(unscreened), reasons)


_RELATIONS = {
    MatchKind.RESEMBLES: "resembles",
    MatchKind.NEAR_COPY: "is a near copy of a picture of",
    MatchKind.SAME_PICTURE: "is the same file as a picture of",
    MatchKind.DESCRIBED: "fits the words of",
}
_CODES = {
    MatchKind.RESEMBLES: ReasonCode.RESEMBLES_REFERENCE,
    MatchKind.NEAR_COPY: ReasonCode.NEAR_COPY_OF_REFERENCE,
    MatchKind.SAME_PICTURE: ReasonCode.SAME_PICTURE_AS_REFERENCE,
    MatchKind.DESCRIBED: ReasonCode.FITS_WORDS_OF_REFERENCE,
}
FLAGGING_CODES = frozenset(_CODES.values())
"""Codes of the reasons that flag a package and name the reference that does."""

_ORDER = (Disposition.CLEAR, Disposition.REVIEW, Disposition.HOLD)


def _worse(a: Disposition, b: Disposition) -> Disposition:
    return max(a, b, key=_ORDER.index)


def _of_match(position: int, match: Match, action: str, titles: Mapping[UUID, str]) -> tuple[list[Reason], Disposition]:
    """Why a match that exceeds something leads to what it leads to: one reason for it, one for what lowers it."""
    told = f"picture {position} {_RELATIONS[match.kind]} '{match.title}' ({match.category})"

    def reason(code: ReasonCode, text: str) -> Reason:
        return Reason(code=code, text=text, position=position, reference_id=match.reference_id)

    if match.suppressed_by is not None:
        other = f"'{titles[match.suppressed_by]}' (no goods)"
        beaten = f"is a copy of {other}" if match.kind is MatchKind.DESCRIBED else f"{other} clearly more"
        text = f"{told}, but {beaten}: it does not flag"
        return [reason(ReasonCode.SUPPRESSED_BY_NOT_GOODS, text)], Disposition.CLEAR
    if action == "inform":
        text = f"{told}, whose suggested action is to inform: it does not flag"
        return [reason(ReasonCode.RESEMBLES_REFERENCE_INFORM, text)], Disposition.CLEAR
    if match.exceeds is not Exceeds.HOLD:
        return [reason(_CODES[match.kind], told)], Disposition.REVIEW
    if action == "review":
        text = f"{told}, whose suggested action is review at most"
        return [reason(_CODES[match.kind], text)], Disposition.REVIEW
    reasons = [reason(_CODES[match.kind], told)]
    if match.lowered_by is not None:
        other = f"'{titles[match.lowered_by]}' (genuine)"
        beats = f"is a copy of {other}" if match.kind is MatchKind.DESCRIBED else f"resembles {other} more"
        text = f"it {beats}: '{match.title}' leads to review at most"
        reasons.append(reason(ReasonCode.LOWERED_BY_GENUINE, text))
    if match.quarantined:
        text = f"'{match.title}' is in quarantine, because it flagged too much: it leads to review at most"
        reasons.append(reason(ReasonCode.LOWERED_IN_QUARANTINE, text))
    return reasons, Disposition.HOLD if len(reasons) == 1 else Disposition.REVIEW


def _of_unscreened(picture: PictureResult) -> Reason:
    why = picture.problem.detail if picture.problem is not None else picture.status.value
    return Reason(
        code=ReasonCode.PICTURE_NOT_SCREENED,
        text=f"picture {picture.position} was not screened ({picture.status.value}): {why}",
        position=picture.position,
    )
