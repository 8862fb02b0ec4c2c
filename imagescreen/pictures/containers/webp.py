"""WebP (RFC 9649): a still picture, or the first frame of an animation."""

import struct
from dataclasses import replace

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures.containers.base import Container, plain
from imagescreen.pictures.containers.exif import orientation

_MAX_CHUNKS = 10_000
_HAS_ALPHA = 0x10
_FRAME_HEADER_BYTES = 16

_Chunk = tuple[bytes, memoryview]


def parse(data: bytes) -> Container:
    """The decoder gets a still WebP of the first frame, whose canvas is exactly as large as the coded picture."""
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if 8 + riff_bytes > len(data):
        raise UnreadablePicture("The WebP file is truncated.")
    chunks = _chunks(memoryview(data)[12 : 8 + riff_bytes])
    if not chunks:
        raise UnreadablePicture("The WebP file has no picture.")
    named = dict(reversed(chunks))
    rotated = orientation(named[b"EXIF"]) if b"EXIF" in named else 1
    profile = bytes(named[b"ICCP"]) if b"ICCP" in named else None
    coded, (left, top) = _first_frame(chunks, named)
    width, height = _coded_size(coded)
    extended = named.get(b"VP8X")
    if extended is None:
        return plain(width, height, _still(coded, width, height))
    canvas_width, canvas_height = _u24(extended, 4) + 1, _u24(extended, 7) + 1
    if left + width > canvas_width or top + height > canvas_height:
        raise UnreadablePicture("The WebP file is damaged: its picture is larger than its canvas.")
    canvas = plain(canvas_width, canvas_height, _still(coded, width, height), orientation=rotated, icc_profile=profile)
    return replace(canvas, frame=(left, top, width, height))


def _chunks(body: memoryview) -> list[_Chunk]:
    chunks: list[_Chunk] = []
    at = 0
    while at + 8 <= len(body):
        kind, length = struct.unpack_from("<4sI", body, at)
        end = at + 8 + length
        if end > len(body) or len(chunks) == _MAX_CHUNKS:
            raise UnreadablePicture("The WebP file is truncated or damaged: a chunk ends outside the file.")
        chunks.append((kind, body[at + 8 : end]))
        at = end + length % 2
    return chunks


def _first_frame(chunks: list[_Chunk], named: dict[bytes, memoryview]) -> tuple[list[_Chunk], tuple[int, int]]:
    """The chunks that code the first frame (alpha and colour), and its place on the canvas."""
    place = (0, 0)
    if b"ANMF" in named:
        frame = named[b"ANMF"]
        place = (2 * _u24(frame, 0), 2 * _u24(frame, 3))
        chunks = _chunks(frame[_FRAME_HEADER_BYTES:])
    coded: list[_Chunk] = []
    for kind, body in chunks:
        if kind == b"ALPH" and not coded:
            coded.append((kind, body))
        elif kind in (b"VP8 ", b"VP8L"):
            # Lossless pictures carry their own alpha.
            return ([*coded, (kind, body)] if kind == b"VP8 " else [(kind, body)]), place
    raise UnreadablePicture("The WebP file has no picture.")


def _coded_size(coded: list[_Chunk]) -> tuple[int, int]:
    kind, body = coded[-1]
    if kind == b"VP8 ":
        start_code, width, height = struct.unpack_from("<3sHH", body, 3)
        if start_code != b"\x9d\x01\x2a":
            raise UnreadablePicture("The WebP file is damaged: its picture does not begin with a key frame.")
        return width & 0x3FFF, height & 0x3FFF
    signature, bits = struct.unpack_from("<BI", body)
    if signature != 0x2F:
        raise UnreadablePicture("The WebP file is damaged: its picture has no signature.")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _still(coded: list[_Chunk], width: int, height: int) -> list[bytes | memoryview]:
    if not width or not height:
        raise UnreadablePicture("The picture says that it is 0 pixels wide or high.")
    pieces: list[bytes | memoryview] = [b"WEBP"]
    if len(coded) > 1:
        canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        pieces.append(b"VP8X" + struct.pack("<II", 10, _HAS_ALPHA) + canvas)
    for kind, body in coded:
        pieces += [kind + struct.pack("<I", len(body)), body, bytes(len(body) % 2)]
    return [b"RIFF" + struct.pack("<I", sum(map(len, pieces))), *pieces]


def _u24(body: memoryview, at: int) -> int:
    if at + 3 > len(body):
        raise UnreadablePicture("The WebP file is truncated.")
    return int.from_bytes(body[at : at + 3], "little")
