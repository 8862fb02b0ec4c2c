"""PNG (W3C, third edition): its critical chunks, transparency, profile and orientation."""

import struct
import zlib

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures.containers.base import Container, inflate_profile, plain
from imagescreen.pictures.containers.exif import orientation

_SIGNATURE_BYTES = 8
# 20 MiB in the usual chunks of 8 KiB are 2,560.
_MAX_CHUNKS = 100_000
_GREY, _TRUECOLOUR = 0, 2


def parse(data: bytes) -> Container:
    """The decoder gets only what makes pixels: no text, no animation, no private chunks.

    Checksums of the critical chunks are checked, as libpng does: Pillow skips those of the pixels.
    """
    view = memoryview(data)
    kept: list[bytes | memoryview] = [view[:_SIGNATURE_BYTES]]
    size = (0, 0)
    depth = colour = 0
    profile: bytes | None = None
    rotated = 1
    at = _SIGNATURE_BYTES
    for number in range(_MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        body, end = at + 8, at + 8 + length
        (checksum,) = struct.unpack_from(">I", data, end)
        if number == 0:
            if kind != b"IHDR" or length != 13:
                raise UnreadablePicture("The PNG file is damaged: it does not begin with its header.")
            width, height, depth, colour = struct.unpack_from(">IIBB", data, body)
            size = (width, height)
        if kind[:1].isupper():
            if zlib.crc32(view[at + 4 : end]) != checksum:
                raise UnreadablePicture("The PNG file is damaged: a checksum does not fit.")
            kept.append(view[at : end + 4])
        elif kind == b"tRNS":
            kept.append(_chunk(kind, _scaled_transparency(data[body:end], depth, colour)))
        elif kind == b"iCCP":
            name, _, rest = data[body:end].partition(b"\0")
            profile = inflate_profile(rest[1:]) if name else None
        elif kind == b"eXIf":
            rotated = orientation(view[body:end])
        at = end + 4
        if kind == b"IEND":
            break
    else:
        raise UnreadablePicture(f"The PNG file has more than {_MAX_CHUNKS} chunks.")
    return plain(*size, kept, orientation=rotated, icc_profile=profile, sample_bits=depth)


def _scaled_transparency(value: bytes, depth: int, colour: int) -> bytes:
    """The transparent grey or colour in the range of the decoded samples: Pillow compares it with those, unscaled."""
    if colour == _GREY and depth in (2, 4):
        (grey,) = struct.unpack_from(">H", value)
        return struct.pack(">H", min(grey * 255 // ((1 << depth) - 1), 255))
    if colour == _TRUECOLOUR and depth == 16:
        return struct.pack(">3H", *(channel >> 8 for channel in struct.unpack_from(">3H", value)))
    return value


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
