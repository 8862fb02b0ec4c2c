"""From neighbours in the index to matches that say what they exceed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from imagescreen.calibration.scale import Scale
from imagescreen.calibration.thresholds import ThresholdPair
from imagescreen.database.session import Database
from imagescreen.database.tables import ReferenceRow
from imagescreen.matching import Neighbour, SharedSearch
from imagescreen.screening.answer import Exceeds, Match, MatchKind
from imagescreen.serving.state import Served

KNOWN_ITEM = "known_item"
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


_FACTS = select(
    ReferenceRow.id, ReferenceRow.title, ReferenceRow.kind, ReferenceRow.category, ReferenceRow.suggested_action
)


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
                found.update({row[0]: ReferenceInfo(row[1], row[2], row[3], row[4]) for row in rows})
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
    limit: int,
    search: SharedSearch,
) -> Found:
    """What pictures, by their positions and vectors (d,), resemble: see `ranked_matches`."""
    if not vectors:
        return Found({}, {})
    queries = np.stack(list(vectors.values()))
    terms = served.scale.terms(queries)
    found = search.search(served.snapshot, queries, count=limit, at_least=served.scale.floors(terms))
    references = lookup.of({near.reference_id for one in found for near in one}, sequence=served.snapshot.sequence)
    matches = {
        position: ranked_matches(neighbours, references, served.scale, term=term, limit=limit)
        for position, neighbours, term in zip(vectors, found, terms.tolist(), strict=True)
    }
    return Found(matches, references)


def ranked_matches(
    neighbours: Sequence[Neighbour], references: Mapping[UUID, ReferenceInfo], scale: Scale, *, term: float, limit: int
) -> list[Match]:
    """The `limit` nearest references, and every further one that exceeds a threshold; best first. `term` is what
    normalisation subtracts from the similarities of the picture.
    """
    matches = [_match(near, references[near.reference_id], scale, near.similarity - term) for near in neighbours]
    return [match for rank, match in enumerate(matches) if rank < limit or match.exceeds is not None]


def _match(near: Neighbour, info: ReferenceInfo, scale: Scale, score: float) -> Match:
    # Only a known item can be resembled to anybody's disadvantage; genuine and no-goods references are shown.
    flags = scale.thresholds is not None and info.kind == KNOWN_ITEM
    pair = scale.thresholds.of(info.category) if scale.thresholds is not None and flags else NO_THRESHOLDS
    exceeds = None
    if pair.hold is not None and score > pair.hold:
        exceeds = Exceeds.HOLD
    elif pair.review is not None and score > pair.review:
        exceeds = Exceeds.REVIEW
    return Match(
        reference_id=near.reference_id,
        reference_picture_id=near.picture_id,
        title=info.title,
        category=info.category,
        kind=MatchKind.RESEMBLES,
        similarity=round(near.similarity, 6),
        score=round(score, 6),
        thresholds=pair,
        exceeds=exceeds,
        one_in=scale.one_in(info.category, score) if flags else None,
    )
