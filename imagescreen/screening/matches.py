"""From neighbours in the index to matches that say what they exceed."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, select

from imagescreen.calibration.scale import Scale
from imagescreen.calibration.thresholds import ThresholdPair
from imagescreen.database.session import Database
from imagescreen.database.tables import QuarantineRow, ReferenceRow
from imagescreen.matching import Copy, Fit, Neighbour, SharedSearch
from imagescreen.screening.answer import Match, MatchKind
from imagescreen.screening.described import described_matches, exceeds_of, word_thresholds
from imagescreen.screening.near_copies import KNOWN_ITEM, with_copies
from imagescreen.screening.policy import Wishes
from imagescreen.screening.suppression import weighed
from imagescreen.serving.state import Served

NO_THRESHOLDS = ThresholdPair(review=None, hold=None)

MAX_REMEMBERED = 50_000
"""References whose facts are remembered, in some 20 MB; past it, they are read anew."""


@dataclass(frozen=True, slots=True)
class ReferenceInfo:
    """What a match and its disposition need to know of a reference."""

    title: str
    kind: str
    category: str | None
    suggested_action: str
    look_alikes: frozenset[UUID]
    quarantined: bool = False


_FACTS = select(
    ReferenceRow.id,
    ReferenceRow.title,
    ReferenceRow.kind,
    ReferenceRow.category,
    ReferenceRow.suggested_action,
    ReferenceRow.look_alikes,
    QuarantineRow.reference_id,
).outerjoin(QuarantineRow, and_(QuarantineRow.reference_id == ReferenceRow.id, QuarantineRow.trusted_at.is_(None)))


class ReferenceLookup:
    """Facts of references, remembered for as long as the change feed stands still: every change of them is in it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: tuple[int, dict[UUID, ReferenceInfo]] = (0, {})

    def of(self, reference_ids: Collection[UUID], *, sequence: int) -> Mapping[UUID, ReferenceInfo]:
        """The facts as they are after feed entry `sequence`, or later."""
        at, known = self._known
        if at != sequence or len(known) >= MAX_REMEMBERED:
            known = {}
            self._known = (sequence, known)
        found = {reference_id: known[reference_id] for reference_id in reference_ids if reference_id in known}
        missing = [reference_id for reference_id in reference_ids if reference_id not in found]
        if missing:
            read = self._read(missing)
            # Other threads may read it meanwhile: nothing is ever taken out of it.
            known.update(read)
            found.update(read)
        return found

    def _read(self, ids: Sequence[UUID]) -> dict[UUID, ReferenceInfo]:
        found: dict[UUID, ReferenceInfo] = {}
        with self._database.read_connection() as connection:
            for start in range(0, len(ids), 500):
                rows = connection.execute(_FACTS.where(ReferenceRow.id.in_(ids[start : start + 500])))
                found.update({row[0]: _info(row) for row in rows})
        return found


@dataclass(frozen=True, slots=True)
class Found:
    """The matches of each picture by its position, and the facts of the references in them."""

    matches: Mapping[int, Sequence[Match]]
    references: Mapping[UUID, ReferenceInfo]


def find_matches(
    served: Served,
    lookup: ReferenceLookup,
    vectors: Mapping[int, NDArray[np.float32]],
    *,
    copies: Mapping[int, Sequence[Copy]],
    wishes: Wishes,
    limit: int,
    search: SharedSearch,
) -> Found:
    """What pictures, by their positions and vectors (d,), resemble, and whose words they fit: see `ranked_matches`.
    `copies` are those of the same pictures, and of others without a vector, by position.
    """
    near = _near(served, vectors, wishes, limit, search) if vectors else {}
    found = {each.reference_id for one in near.values() for each in one.neighbours}
    found |= {each.reference_id for one in near.values() for each in one.fits}
    found |= {copy.reference_id for one in copies.values() for copy in one}
    references = lookup.of(found, sequence=served.snapshot.sequence)
    copied = {position: _NOTHING_NEAR for position, one in copies.items() if one}
    matches = {
        position: ranked_matches(
            one.neighbours,
            references,
            served.scale,
            term=one.term,
            copies=copies.get(position, ()),
            fits=one.fits,
            wishes=wishes,
            limit=limit,
        )
        for position, one in (copied | near).items()
    }
    return Found(matches, references)


@dataclass(frozen=True, slots=True)
class _Near:
    """Of one picture; `term` is what normalisation subtracts from the similarities of the neighbours."""

    neighbours: Sequence[Neighbour]
    fits: Sequence[Fit]
    term: float


_NOTHING_NEAR = _Near((), (), 0.0)


def _near(
    served: Served, vectors: Mapping[int, NDArray[np.float32]], wishes: Wishes, limit: int, search: SharedSearch
) -> dict[int, _Near]:
    queries = np.stack(list(vectors.values()))
    terms = served.scale.terms(queries)
    neighbours = search.search(served.snapshot, queries, count=limit, at_least=served.scale.floors(terms))
    least = word_thresholds(served.scale, wishes.words).review
    fits = served.words.fits(queries, served.scale.centre, count=limit, above=math.inf if least is None else least)
    found = map(_Near, neighbours, fits, terms.tolist())
    return dict(zip(vectors, found, strict=True))


def ranked_matches(
    neighbours: Sequence[Neighbour],
    references: Mapping[UUID, ReferenceInfo],
    scale: Scale,
    *,
    term: float,
    copies: Sequence[Copy],
    fits: Sequence[Fit],
    wishes: Wishes,
    limit: int,
) -> list[Match]:
    """What the picture is a copy of, the `limit` nearest references, every further one that exceeds a threshold, and
    those that suppress or lower one of these; copies first, then by score. Then those whose words it fits, by their own
    score. `term` is what normalisation subtracts from the similarities of the picture.

    What beats a match that exceeds a threshold is above that threshold itself, so the search has found it.
    """
    resembled = [_match(near, references[near.reference_id], scale, near.similarity - term) for near in neighbours]
    copied = with_copies(resembled, copies, references, wishes.near_copies, unresembled=NO_THRESHOLDS)
    by_words = described_matches(fits, references, scale, wishes.words)
    matches = [
        msgspec.structs.replace(match, quarantined=True) if references[match.reference_id].quarantined else match
        for match in weighed([*copied, *by_words], references, wishes.suppression)
    ]
    named = {match.suppressed_by for match in matches} | {match.lowered_by for match in matches}
    return [
        match
        for rank, match in enumerate(matches)
        if rank < limit
        or match.exceeds is not None
        or match.distance is not None
        or match.kind is MatchKind.DESCRIBED
        or match.reference_id in named
    ]


def _info(row: Any) -> ReferenceInfo:
    return ReferenceInfo(row[1], row[2], row[3], row[4], frozenset(UUID(told) for told in row[5]), row[6] is not None)


def _match(near: Neighbour, info: ReferenceInfo, scale: Scale, score: float) -> Match:
    # Only a known item can be resembled to anybody's disadvantage; genuine and no-goods references are shown.
    flags = scale.thresholds is not None and info.kind == KNOWN_ITEM
    pair = scale.thresholds.of(info.category) if scale.thresholds is not None and flags else NO_THRESHOLDS
    return Match(
        reference_id=near.reference_id,
        reference_picture_id=near.picture_id,
        title=info.title,
        category=info.category,
        kind=MatchKind.RESEMBLES,
        similarity=round(near.similarity, 6),
        score=round(score, 6),
        thresholds=pair,
        exceeds=exceeds_of(score, pair),
        one_in=scale.one_in(info.category, score) if flags else None,
    )
