"""What it does to PDQ hashes to which size a picture is averaged first."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagescreen.evaluation.copies import INPUT_SIDE
from imagescreen.evaluation.photos import reader_without_limits
from imagescreen.pictures import MAX_PDQ_DISTANCE

SIDES = (256, 64)
"""A usual size for hashing, and the grid to which PDQ itself averages a picture."""

_TURNS = tuple(Image.Transpose)


@dataclass(frozen=True, slots=True)
class GridFigures:
    """Hashes of pictures that were averaged to `side` x `side` pixels first, in bits.

    `turned`: between the hash of a rotated or mirrored picture and that of the picture, in the rotation, computed from
    the hash, that fits best; `turned_beyond` is the share beyond the distance of near copies. `full_size`: between the
    picture's hash and that of its full size, which is what others send; `full_size_beyond` likewise.
    """

    side: int
    turned_mean: float
    turned_most: int
    turned_beyond: float
    full_size_mean: float
    full_size_beyond: float


def compare_grids(photos: Sequence[bytes]) -> list[GridFigures]:
    """For each of `SIDES`, over all photographs; the extra `pdq` must be there."""
    reader = reader_without_limits()
    turned: dict[int, list[int]] = {side: [] for side in SIDES}
    full_size: dict[int, list[int]] = {side: [] for side in SIDES}
    for data in photos:
        decoded = reader.read(data, reader.header(data), reduce_to=INPUT_SIDE).image
        sent = _of_full_size(Image.open(BytesIO(data)).convert("RGB"))
        for side in SIDES:
            upright = _in_rotations(decoded, side)[:1]
            full_size[side].append(int(_bits(upright, sent).min()))
            for turn in _TURNS:
                turned[side].append(int(_bits(_in_rotations(decoded.transpose(turn), side), upright).min()))
    return [
        GridFigures(
            side,
            float(np.mean(turned[side])),
            max(turned[side]),
            _beyond(turned[side]),
            float(np.mean(full_size[side])),
            _beyond(full_size[side]),
        )
        for side in SIDES
    ]


def _beyond(distances: Sequence[int]) -> float:
    return float(np.mean(np.array(distances) > MAX_PDQ_DISTANCE))


def _in_rotations(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """(8, 256) bits, of the picture as it is first."""
    import pdqhash

    vectors, _ = pdqhash.compute_dihedral(np.asarray(image.resize((side, side), Image.Resampling.BOX)))
    return np.stack(vectors).astype(np.uint8)


def _of_full_size(image: Image.Image) -> NDArray[np.uint8]:
    """(1, 256) bits, by PDQ's own averaging alone."""
    import pdqhash

    vector, _ = pdqhash.compute(np.asarray(image))
    return np.asarray(vector, np.uint8)[np.newaxis]


def _bits(some: NDArray[np.uint8], one: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n,) how many of 256 bits differ between each of `some` (n, 256) and `one` (1, 256)."""
    differing: NDArray[np.int64] = np.count_nonzero(some != one, axis=1)
    return differing
