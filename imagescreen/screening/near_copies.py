"""Copies of reference pictures among the matches: the same file, or one that differs in few bits of its PDQ hash.

They are evidence that needs no measured threshold: unrelated pictures do not have such hashes (docs/copies.md).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from imagescreen.calibration.thresholds import ThresholdPair
from imagescreen.matching import Copy, HashQuery, HashSnapshot
from imagescreen.pictures import PictureHash
from imagescreen.screening.answer import Exceeds, Match, MatchKind
from imagescreen.screening.policy import NearCopyRules

KNOWN_ITEM = "known_item"


class Named(Protocol):
    """What must be known of a reference."""

    @property
    def title(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def category(self) -> str | None: ...


def find_copies(
    hashes: HashSnapshot, pictures: Mapping[int, tuple[str, PictureHash | None]], rules: NearCopyRules
) -> Mapping[int, Sequence[Copy]]:
    """What each picture is a copy of, by its position. Of `pictures` is told the sha256 in hex, and the PDQ hash where
    there is one.
    """
    # A hash that says too little would resemble whatever says little.
    queries = [
        HashQuery(bytes.fromhex(sha256), pdq.bits if pdq is not None and pdq.usable else None)
        for sha256, pdq in pictures.values()
    ]
    return dict(zip(pictures, hashes.copies(queries, max_distance=rules.max_distance), strict=True))


def with_copies(
    matches: Sequence[Match],
    copies: Sequence[Copy],
    references: Mapping[UUID, Named],
    rules: NearCopyRules,
    *,
    unresembled: ThresholdPair,
) -> Sequence[Match]:
    """The matches of one picture with what it is a copy of first, the same file before near copies.

    A reference that the model found as well keeps its similarity. One that was found by its hash alone has none, and
    the thresholds `unresembled`.
    """
    if not copies:
        return matches
    by_reference = {match.reference_id: match for match in matches}
    first = [
        _copied(by_reference.get(copy.reference_id), copy, references[copy.reference_id], rules, unresembled)
        for copy in copies
    ]
    named = {match.reference_id for match in first}
    return [*first, *(match for match in matches if match.reference_id not in named)]


def _copied(match: Match | None, copy: Copy, info: Named, rules: NearCopyRules, unresembled: ThresholdPair) -> Match:
    same = copy.distance is None
    kind = MatchKind.SAME_PICTURE if same else MatchKind.NEAR_COPY
    leads_to = (rules.same_picture if same else rules.near_copy) if info.kind == KNOWN_ITEM else None
    if match is None:
        return Match(
            reference_id=copy.reference_id,
            reference_picture_id=copy.picture_id,
            title=info.title,
            category=info.category,
            kind=kind,
            similarity=None,
            score=None,
            thresholds=unresembled,
            exceeds=leads_to,
            distance=copy.distance,
        )
    return msgspec.structs.replace(
        match,
        kind=kind,
        reference_picture_id=copy.picture_id or match.reference_picture_id,
        exceeds=_stronger(match.exceeds, leads_to),
        distance=copy.distance,
    )


def _stronger(a: Exceeds | None, b: Exceeds | None) -> Exceeds | None:
    if Exceeds.HOLD in (a, b):
        return Exceeds.HOLD
    return a or b
