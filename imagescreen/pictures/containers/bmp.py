"""BMP (Windows device-independent bitmap, OS/2 1.x): uncompressed ones."""

import struct

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures.containers.base import Container, plain
from imagescreen.pictures.formats import unsupported

_FILE_HEADER_BYTES = 14
_CORE_HEADER_BYTES = 12
_V5_HEADER_BYTES = 124
_RGB, _BITFIELDS = 0, 3
_PROFILE_EMBEDDED = 0x4D424544


def parse(data: bytes) -> Container:
    """Run-length compression is refused: nobody photographs in it, and Pillow decodes it pixel by pixel in Python."""
    (header_bytes,) = struct.unpack_from("<I", data, _FILE_HEADER_BYTES)
    if header_bytes == _CORE_HEADER_BYTES:
        width, height = struct.unpack_from("<HH", data, _FILE_HEADER_BYTES + 4)
        return plain(width, height, (data,))
    width, height, _, _, compression = struct.unpack_from("<iiHHI", data, _FILE_HEADER_BYTES + 4)
    if compression not in (_RGB, _BITFIELDS):
        raise unsupported("A compressed BMP is not read")
    if width <= 0:
        raise UnreadablePicture("The BMP file is damaged: its width is negative.")
    # A negative height means that the top row comes first.
    return plain(width, abs(height), (data,), icc_profile=_profile(data, header_bytes))


def _profile(data: bytes, header_bytes: int) -> bytes | None:
    if header_bytes != _V5_HEADER_BYTES:
        return None
    (colour_space,) = struct.unpack_from("<I", data, _FILE_HEADER_BYTES + 56)
    start, length = struct.unpack_from("<II", data, _FILE_HEADER_BYTES + 112)
    if colour_space != _PROFILE_EMBEDDED:
        return None
    return data[_FILE_HEADER_BYTES + start : _FILE_HEADER_BYTES + start + length]
