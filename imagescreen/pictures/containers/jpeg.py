"""JPEG (ITU-T T.81): markers up to the end of the first picture, whatever follows it."""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures.containers.base import Container, plain
from imagescreen.pictures.containers.exif import orientation

# A marker that is no stuffed byte, no fill byte and no restart.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01
_APP0, _APP1, _APP2, _APP14, _APP15, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
_ICC = b"ICC_PROFILE\0"

_MAX_SEGMENTS = 10_000
# Progressive pictures have about 10 scans. Each is a pass over all blocks, however few bytes it has: of 64 megapixels
# in 80 ms.
_MAX_SCANS = 32


class _Segment(NamedTuple):
    """Marker, and where in the file the segment starts, where its body, and where it ends (a scan: with its data)."""

    marker: int
    start: int
    body: int
    end: int


def parse(data: bytes) -> Container:
    """Size, orientation and profile; the decoder gets tables and scans, and of the metadata only what tells colours.

    An MPO or Ultra HDR file is a JPEG followed by others: the first one counts.
    """
    view = memoryview(data)
    kept = [view[:2]]
    profile: dict[int, bytes] = {}
    size: tuple[int, int] | None = None
    turned: int | None = None
    scans = 0
    for segment in _segments(data):
        marker, start, body, end = segment
        if _is_metadata(marker):
            if turned is None and marker == _APP1 and data.startswith(b"Exif\0\0", body):
                turned = orientation(view[body:end])
            elif marker == _APP2 and data.startswith(_ICC, body):
                profile.setdefault(data[body + len(_ICC)], data[body + len(_ICC) + 2 : end])
            if not _tells_colours(data, segment):
                continue
        elif marker in _SOF:
            if size is not None:
                raise UnreadablePicture("The JPEG file is damaged: it has two frame headers.")
            height, width = struct.unpack_from(">HH", data, body + 1)
            size = (width, height)
        elif marker == _SOS:
            scans += 1
            if scans > _MAX_SCANS:
                raise UnreadablePicture(f"The JPEG file has more than {_MAX_SCANS} scans.")
        kept.append(view[start:end])
    if size is None or not scans:
        raise UnreadablePicture("The JPEG file is truncated: it ends before its picture.")
    icc_profile = b"".join(profile[number] for number in sorted(profile)) or None
    return plain(*size, kept, orientation=turned or 1, icc_profile=icc_profile)


def _segments(data: bytes) -> Iterator[_Segment]:
    at = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        marker, start, at = data[found.start() + 1], found.start(), found.end()
        if marker in (_SOI, _TEM):
            continue
        if marker == _EOI:
            yield _Segment(marker, start, at, at)
            return
        (length,) = struct.unpack_from(">H", data, at)
        body, end = at + 2, at + length
        if length < 2 or end > len(data):
            raise UnreadablePicture("The JPEG file is truncated or damaged: a segment ends outside the file.")
        if marker == _SOS:
            following = _MARKER.search(data, end)
            end = following.start() if following else len(data)
        yield _Segment(marker, start, body, end)
        at = end
    raise UnreadablePicture(f"The JPEG file has more than {_MAX_SEGMENTS} segments.")


def _is_metadata(marker: int) -> bool:
    return _APP0 <= marker <= _APP15 or marker == _COM


def _tells_colours(data: bytes, segment: _Segment) -> bool:
    """libjpeg takes from these two whether three channels are YCbCr or RGB, and four YCCK or CMYK.

    Pillow takes four channels as inverted with and without the Adobe marker, as nearly every writer means them.
    """
    return (segment.marker == _APP0 and data.startswith(b"JFIF\0", segment.body)) or (
        segment.marker == _APP14 and data.startswith(b"Adobe", segment.body)
    )
