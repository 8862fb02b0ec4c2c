"""The one thing that is read of EXIF: which way up the picture is."""

import struct

_ORIENTATION = 0x0112
_SHORT = 3
_MAX_ENTRIES = 1000


def orientation(exif: bytes | memoryview) -> int:
    """EXIF orientation 1 to 8 (CIPA DC-008, tag 0x0112); 1 where the tag is missing or the block is broken."""
    block = bytes(exif[:6])
    tiff = exif[6:] if block == b"Exif\0\0" else exif
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]))
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(min(count, _MAX_ENTRIES)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
