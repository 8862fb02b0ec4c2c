"""What a stored screening would be today, from stored vectors and hashes: no picture is read, nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagescreen.matching import SharedSearch
from imagescreen.pictures import PictureHash
from imagescreen.screening.answer import Disposition, PictureResult, PictureStatus
from imagescreen.screening.disposition import decide
from imagescreen.screening.matches import ReferenceLookup, find_matches
from imagescreen.screening.near_copies import find_copies
from imagescreen.screening.policy import Policy
from imagescreen.serving.state import Served


@dataclass(frozen=True, slots=True, eq=False)
class ScreenedPicture:
    """How a picture of a screening was seen; `vector` (d,) when it was screened, `pdq` when it was hashed then."""

    position: int
    status: PictureStatus
    vector: NDArray[np.float32] | None
    sha256: str | None
    pdq: PictureHash | None


def disposition_of(
    served: Served, lookup: ReferenceLookup, policy: Policy, pictures: Sequence[ScreenedPicture], *, limit: int
) -> Disposition:
    """With `limit` as the nearest references that are looked at besides those that exceed a threshold."""
    vectors = {picture.position: picture.vector for picture in pictures if picture.vector is not None}
    hashes = {picture.position: (picture.sha256, picture.pdq) for picture in pictures if picture.sha256 is not None}
    found = find_matches(
        served,
        lookup,
        vectors,
        copies=find_copies(served.hashes, hashes, policy.wishes.near_copies),
        wishes=policy.wishes,
        limit=limit,
        search=SharedSearch(),
    )
    results = [
        PictureResult(picture.position, picture.status, matches=list(found.matches.get(picture.position, ())))
        for picture in pictures
    ]
    return decide(
        results,
        policy,
        actions={reference_id: info.suggested_action for reference_id, info in found.references.items()},
        calibrated=served.thresholds is not None,
    ).disposition
