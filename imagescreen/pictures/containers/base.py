"""What every parser answers, and what several of them need."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from imagescreen.errors import UnreadablePicture

# Profiles of printing presses with all their tables are 0.5 to 3 MB; a larger one is ignored.
MAX_PROFILE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Container:
    """One picture file as far as it can be known without decoding.

    `width` and `height` are stored pixels, before `orientation` (EXIF, 1 to 8). For AVIF and HEIC they are the largest
    size that the file declares for any of its items. `frame` is (left, top, width, height): where the coded picture
    lies on that canvas; outside it is transparent. `decoded_pixels` is what the decoder may allocate. `pieces`, joined,
    are what the decoder gets. `sample_bits` is the depth of one channel.
    """

    width: int
    height: int
    frame: tuple[int, int, int, int]
    pieces: tuple[bytes | memoryview, ...]
    decoded_pixels: int
    orientation: int = 1
    icc_profile: bytes | None = None
    sample_bits: int = 8

    def stream(self) -> bytes:
        return b"".join(self.pieces)


def plain(
    width: int,
    height: int,
    pieces: Iterable[bytes | memoryview],
    *,
    orientation: int = 1,
    icc_profile: bytes | None = None,
    sample_bits: int = 8,
) -> Container:
    """A container whose coded picture fills its canvas. Raises UnreadablePicture when there is no pixel."""
    if width <= 0 or height <= 0:
        raise UnreadablePicture("The picture says that it is 0 pixels wide or high.")
    profile = icc_profile if icc_profile and len(icc_profile) <= MAX_PROFILE_BYTES else None
    return Container(
        width,
        height,
        (0, 0, width, height),
        tuple(pieces),
        width * height,
        orientation=orientation,
        icc_profile=profile,
        sample_bits=sample_bits,
    )


def inflate_profile(compressed: bytes | memoryview) -> bytes | None:
    """A deflated colour profile, or None for one that is damaged or too large to be one."""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(compressed, MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return None
    return profile if inflater.eof else None
