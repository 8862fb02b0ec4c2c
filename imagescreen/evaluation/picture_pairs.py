"""The worst false flags and misses of an evaluation, as pairs of pictures to look at."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from imagescreen.errors import PictureProblem
from imagescreen.evaluation.embedded import NamedPicture
from imagescreen.evaluation.trials import Ids, Scored
from imagescreen.pictures import PictureReader

THUMBNAIL_SIDE = 132
_QUALITY = 72


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as it goes into a report: its name, and a small JPEG as a data URI, empty where it cannot be read."""

    name: str
    data_uri: str


@dataclass(frozen=True, slots=True)
class Pair:
    """What was screened, the reference, and the score of the two."""

    screened: Shown
    reference: Shown
    score: float


def worst_false_flags(scored: Scored, count: int) -> list[tuple[Ids, float]]:
    """The ordinary packages that score highest: (places of picture and reference, score)."""
    worst = np.argsort(-scored.ordinary, kind="stable")[:count]
    return [(scored.ordinary_pair[at], float(scored.ordinary[at])) for at in worst]


def worst_misses(scored: Scored, threshold: float, count: int) -> list[tuple[Ids, float]]:
    """Of the packages whose right match is not above the threshold, those with the lowest scores."""
    missed = np.flatnonzero(scored.right <= threshold)
    worst = missed[np.argsort(scored.right[missed], kind="stable")[:count]]
    return [(scored.right_pair[at], float(scored.right[at])) for at in worst]


def show_pairs(
    pairs: Iterable[tuple[Ids, float]], pictures: Sequence[NamedPicture], reader: PictureReader
) -> list[Pair]:
    """Reads the pictures of the pairs once more, within the reader's limits, and makes them small."""
    return [
        Pair(_shown(pictures[int(places[0])], reader), _shown(pictures[int(places[1])], reader), score)
        for places, score in pairs
    ]


def _shown(picture: NamedPicture, reader: PictureReader) -> Shown:
    try:
        data = picture.read()
        image = reader.read(data, reader.header(data), reduce_to=THUMBNAIL_SIDE).image
    except PictureProblem:
        # It was there when it was embedded; a report is not worth less for one picture that has gone since.
        return Shown(picture.name, "")
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    file = BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return Shown(picture.name, f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}")
