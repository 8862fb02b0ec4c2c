"""What genuine and not_goods references do to the matches of a picture that resembles them more than a known item.

`not_goods` (a placeholder, a size chart, a banner) suppresses such a match: it stays in the record and does not flag.
`genuine` never clears, because counterfeit listings use the right holder's own photographs: it lowers a match to review
at most. Margins are differences of scores, which normalisation leaves as they are: it takes the same term off every
match of one picture.

Scores by words cannot be compared with those of pictures. A match by words is suppressed or lowered by a copy only: a
picture that is the same file as a placeholder's, or a near copy of it, shows no goods, whatever words it fits.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from imagescreen.screening.answer import Exceeds, Match, MatchKind
from imagescreen.screening.policy import SuppressionRules

_COPIES = (MatchKind.SAME_PICTURE, MatchKind.NEAR_COPY)

GENUINE = "genuine"
NOT_GOODS = "not_goods"


class Competing(Protocol):
    """What must be known of a reference."""

    @property
    def kind(self) -> str: ...

    @property
    def look_alikes(self) -> frozenset[UUID]: ...


def weighed(matches: Sequence[Match], references: Mapping[UUID, Competing], rules: SuppressionRules) -> Sequence[Match]:
    """The matches of one picture, in their order, with `suppressed_by` and `lowered_by` where they apply.

    A copy of a known item's picture (`same_picture`, `near_copy`) is never suppressed, since it shows what that
    picture shows, and the very same file is not even lowered. A known item names in `look_alikes` the genuine
    references that it is known to be mistaken for: those do not lower it. (That a genuine reference names a known item
    changes nothing: who describes the known item decides.)
    """
    not_goods = _of_kind(NOT_GOODS, matches, references)
    genuine = _of_kind(GENUINE, matches, references)
    copied = [match.reference_id for match in matches if match.kind in _COPIES]
    if not not_goods and not genuine and not copied:
        return matches
    return [
        _weighed_by_copies(match, copied, references)
        if match.kind is MatchKind.DESCRIBED
        else _weighed(match, references[match.reference_id], not_goods, genuine, rules)
        for match in matches
    ]


def _of_kind(kind: str, matches: Sequence[Match], references: Mapping[UUID, Competing]) -> list[tuple[float, UUID]]:
    """(score, id) of the references of a kind among the matches, best first."""
    found = [
        (match.score, match.reference_id)
        for match in matches
        if match.score is not None and references[match.reference_id].kind == kind
    ]
    return sorted(found, key=lambda item: -item[0])


def _weighed(
    match: Match,
    info: Competing,
    not_goods: Sequence[tuple[float, UUID]],
    genuine: Sequence[tuple[float, UUID]],
    rules: SuppressionRules,
) -> Match:
    if match.exceeds is None or match.score is None or match.kind is MatchKind.SAME_PICTURE:
        return match
    if match.kind is not MatchKind.NEAR_COPY and not_goods:
        score, reference_id = not_goods[0]
        if score > match.score + rules.not_goods_margin:
            return msgspec.structs.replace(match, suppressed_by=reference_id)
    if match.exceeds is Exceeds.HOLD:
        for score, reference_id in genuine:
            if score > match.score + rules.genuine_margin and reference_id not in info.look_alikes:
                return msgspec.structs.replace(match, lowered_by=reference_id)
    return match


def _weighed_by_copies(match: Match, copied: Sequence[UUID], references: Mapping[UUID, Competing]) -> Match:
    if match.exceeds is None:
        return match
    for reference_id in copied:
        if references[reference_id].kind == NOT_GOODS:
            return msgspec.structs.replace(match, suppressed_by=reference_id)
    if match.exceeds is Exceeds.HOLD:
        look_alikes = references[match.reference_id].look_alikes
        for reference_id in copied:
            if references[reference_id].kind == GENUINE and reference_id not in look_alikes:
                return msgspec.structs.replace(match, lowered_by=reference_id)
    return match
