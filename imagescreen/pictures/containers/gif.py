"""GIF (CompuServe, 89a): the first frame and where it lies on the logical screen."""

import struct

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures.containers.base import Container

_SCREEN_BYTES = 13
_EXTENSION, _IMAGE, _GRAPHIC_CONTROL = 0x21, 0x2C, 0xF9
_HAS_PALETTE = 0x80
_MAX_BLOCKS = 100_000


def parse(data: bytes) -> Container:
    """The decoder gets a GIF of the first frame alone, at the frame's own size.

    A first frame that is larger than the screen enlarges it, as in browsers.
    """
    screen_width, screen_height, flags = struct.unpack_from("<HHB", data, 6)
    at = _SCREEN_BYTES + _palette_bytes(flags)
    palette = data[_SCREEN_BYTES:at]
    control = b""
    blocks = 0
    while data[at] == _EXTENSION:
        start = at
        at += 2
        while data[at]:
            at += 1 + data[at]
            blocks += 1
        at += 1
        blocks += 1
        if blocks > _MAX_BLOCKS:
            raise UnreadablePicture(f"The GIF file has more than {_MAX_BLOCKS} blocks before its picture.")
        if data[start + 1] == _GRAPHIC_CONTROL:
            control = data[start:at]
    if data[at] != _IMAGE:
        raise UnreadablePicture("The GIF file has no picture.")
    left, top, width, height = struct.unpack_from("<4H", data, at + 1)
    if not width or not height:
        raise UnreadablePicture("The picture says that it is 0 pixels wide or high.")
    head = data[:6] + struct.pack("<HH", width, height) + data[10:_SCREEN_BYTES] + palette + control
    descriptor = struct.pack("<B4H", _IMAGE, 0, 0, width, height)
    canvas_width, canvas_height = max(screen_width, left + width), max(screen_height, top + height)
    return Container(
        canvas_width,
        canvas_height,
        (left, top, width, height),
        (head, descriptor, memoryview(data)[at + 9 :]),
        decoded_pixels=canvas_width * canvas_height,
    )


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & _HAS_PALETTE else 0
