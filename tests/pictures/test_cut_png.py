"""A PNG that was cut and given a sound end again."""

import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader

READER = PictureReader(PictureLimits(20 << 20, 64_000_000, 32), DecodingBudget(1 << 27, 2))


def png(rows: float, *, mode: str = "RGB") -> bytes:
    """96 x 64 pixels of noise, of whose deflated stream only a share of the bytes is there, with sound checksums."""
    file = BytesIO()
    Image.effect_noise((96, 64), 90).convert(mode).save(file, "PNG")
    whole = file.getvalue()
    header, pixels = whole[16:29], b""
    at = 8
    while at < len(whole):
        length, kind = struct.unpack_from(">I4s", whole, at)
        if kind == b"IDAT":
            pixels += whole[at + 8 : at + 8 + length]
        at += 12 + length
    raw = zlib.decompress(pixels)
    return b"".join(
        [
            whole[:8],
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(raw[: int(len(raw) * rows)])),
            chunk(b"IEND", b""),
        ]
    )


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "RGBA"])
def test_a_png_whose_pixels_end_early_is_unreadable(mode: str) -> None:
    whole = png(1.0, mode=mode)
    READER.read(whole, READER.header(whole), reduce_to=32)
    cut = png(0.4, mode=mode)
    with pytest.raises(UnreadablePicture, match="truncated"):
        READER.read(cut, READER.header(cut), reduce_to=32)
