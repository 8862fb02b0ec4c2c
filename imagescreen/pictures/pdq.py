"""PDQ, a perceptual hash of 256 bits: near copies of a picture have hashes that differ in few of them.

The method is Meta's (ThreatExchange, hashing.pdf, 2019), the code `pdqhash`, which is the extra `pdq`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from types import ModuleType

PDQ_BYTES = 32
MIN_QUALITY = 50
"""Hashes of pictures with less on them say little; the publication sets the limit."""

MAX_DISTANCE = 31
"""Bits in which near copies differ at most, as the publication recommends."""

# PDQ averages a picture to this grid before anything else. Its own averaging is half a pixel off centre at most sizes
# (256 among them), which turns 30 and more bits of a picture that is rotated or mirrored; exact averaging turns 2.
_GRID = (64, 64)


@dataclass(frozen=True, slots=True, eq=False)
class PictureHash:
    """`bits` (8, 32) uint8: of the picture as it is, then rotated and mirrored; `quality` from 0 (blank) to 100."""

    bits: NDArray[np.uint8]
    quality: int

    @property
    def upright(self) -> bytes:
        upright: bytes = self.bits[0].tobytes()
        return upright

    @property
    def usable(self) -> bool:
        return self.quality >= MIN_QUALITY


class PdqHasher:
    def __init__(self, module: "ModuleType") -> None:
        self._module = module

    @classmethod
    def installed(cls) -> Self | None:
        """None without the extra `pdq`: then copies are found by their bytes alone."""
        try:
            import pdqhash
        except ImportError:
            return None
        return cls(pdqhash)

    def hash(self, image: Image.Image) -> PictureHash:
        """The hash of an RGB picture of any size."""
        grid = np.asarray(image.resize(_GRID, Image.Resampling.BOX, reducing_gap=None))
        vectors, quality = self._module.compute_dihedral(grid)
        return PictureHash(np.packbits(np.stack(vectors).astype(np.uint8), axis=1), int(quality))
