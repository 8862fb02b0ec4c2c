"""PNG (W3C, third edition): its critical chunks, transparency, profile and orientation."""

import struct
import zlib
from collections.abc import Iterator

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures.containers.base import Container, inflate_profile, plain
from imagescreen.pictures.containers.exif import orientation

_SIGNATURE_BYTES = 8
# 20 MiB in the usual chunks of 8 KiB are 2,560.
_MAX_CHUNKS = 100_000
_GREY, _TRUECOLOUR = 0, 2
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Left, top, step across and step down of the seven passes of an interlaced picture.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATE_BYTES = 1 << 20


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


def check_complete(container: Container) -> None:
    """Raises UnreadablePicture when the deflated stream ends before the last row: libpng would leave the rest black.

    Checksums do not tell: whoever cuts a stream can write new ones.
    """
    stream = container.stream()
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", stream, _SIGNATURE_BYTES + 8)
    bits = depth * _CHANNELS.get(colour, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    wanted = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            wanted += rows * (1 + (columns * bits + 7) // 8)
    inflater = zlib.decompressobj()
    found = 0
    try:
        for piece in _pixel_chunks(stream):
            waiting: bytes | memoryview = piece
            while waiting and found < wanted:
                found += len(inflater.decompress(waiting, _INFLATE_BYTES))
                waiting = inflater.unconsumed_tail
    except zlib.error as error:
        raise UnreadablePicture("The PNG file is damaged: its pixels cannot be inflated.") from error
    if found < wanted:
        raise UnreadablePicture(f"The PNG file is truncated: it holds {found:,} of {wanted:,} bytes of pixels.")


def _pixel_chunks(stream: bytes) -> Iterator[memoryview]:
    view = memoryview(stream)
    at = _SIGNATURE_BYTES
    while at + 8 <= len(stream):
        length, kind = struct.unpack_from(">I4s", stream, at)
        if kind == b"IDAT":
            yield view[at + 8 : at + 8 + length]
        at += 12 + length


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
