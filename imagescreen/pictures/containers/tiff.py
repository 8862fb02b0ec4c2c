"""TIFF 6.0: the first image file directory, rewritten so that every reader sees the same tags."""

import struct
from dataclasses import dataclass, replace

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures.containers.base import MAX_PROFILE_BYTES, Container, plain
from imagescreen.pictures.formats import unsupported

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _ORIENTATION, _SAMPLES = 256, 257, 258, 259, 274, 277
_STRIP_OFFSETS, _ROWS_PER_STRIP, _PLANAR = 273, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _PROFILE = 322, 323, 324, 325, 34675
_TILE_TAGS = frozenset({_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES})
# What makes pixels: also photometric interpretation, fill order, fax options, strip and tile byte counts, predictor,
# colour map, extra samples, sample format, JPEG tables, YCbCr coefficients, subsampling, positioning, reference levels.
_DECODED_TAGS = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _STRIP_OFFSETS, _ROWS_PER_STRIP, _PLANAR}
    | _TILE_TAGS
    | {262, 266, 279, 292, 293, 317, 320, 338, 339, 347, 529, 530, 531, 532}
)
# None, CCITT (three kinds), LZW, JPEG, deflate (two numbers), PackBits. Left out: the old JPEG kind, which nothing
# reads well, and LZMA, Zstandard and others, whose files may ask for a dictionary of gigabytes.
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946})
_SHORT, _LONG, _UNDEFINED = 3, 4, 7
_TYPE_BYTES = {1: 1, 2: 1, _SHORT: 2, _LONG: 4, 5: 8, 6: 1, _UNDEFINED: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_MAX_ENTRIES = 4096
# Strips or tiles of one picture; in Pillow each is an object.
_MAX_VALUES = 65_536


@dataclass(frozen=True, slots=True)
class _Entry:
    raw: bytes
    kind: int
    count: int
    at: int


def parse(data: bytes) -> Container:
    """The decoder gets the file with a directory of only the tags that make pixels, each once.

    libtiff takes the first of two equal tags and Pillow the last, so what one checks the other need not use.
    """
    order = "<" if data[:2] == b"II" else ">"
    entries = _entries(data, order)
    width, height = (_number(data, order, entries, tag) for tag in (_WIDTH, _HEIGHT))
    compression = _number(data, order, entries, _COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise unsupported(f"A TIFF with compression {compression} is not read")
    tile_pixels = _check_layout(data, order, entries, width, height)
    profile = entries.get(_PROFILE)
    picture = plain(
        width,
        height,
        _rewritten(data, order, entries),
        orientation=_orientation(data, order, entries),
        icc_profile=data[profile.at : profile.at + profile.count] if profile else None,
        sample_bits=_number(data, order, entries, _BITS, 1),
    )
    return replace(picture, decoded_pixels=max(picture.decoded_pixels, tile_pixels))


def _entries(data: bytes, order: str) -> dict[int, _Entry]:
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    if count > _MAX_ENTRIES:
        raise UnreadablePicture(f"The TIFF file has more than {_MAX_ENTRIES} tags.")
    entries: dict[int, _Entry] = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, at)
        if tag in entries or (tag not in _DECODED_TAGS and tag not in (_ORIENTATION, _PROFILE)):
            continue
        width = _TYPE_BYTES.get(kind)
        if width is None or not values:
            raise UnreadablePicture("The TIFF file is damaged: a tag has no valid type.")
        if tag == _PROFILE and values > MAX_PROFILE_BYTES:
            continue
        if tag != _PROFILE and values > _MAX_VALUES:
            raise UnreadablePicture(f"The TIFF file is not read: a tag has more than {_MAX_VALUES} values.")
        place = at + 8 if width * values <= 4 else struct.unpack_from(f"{order}I", data, at + 8)[0]
        if place + width * values > len(data):
            raise UnreadablePicture("The TIFF file is truncated: a tag lies outside the file.")
        entries[tag] = _Entry(data[at : at + 12], kind, values, place)
    return entries


def _number(data: bytes, order: str, entries: dict[int, _Entry], tag: int, default: int | None = None) -> int:
    """The first value of a tag. Raises UnreadablePicture where it is missing without a default, or no integer."""
    entry = entries.get(tag)
    if entry is None and default is not None:
        return default
    if entry is None or entry.kind not in (_SHORT, _LONG):
        raise UnreadablePicture("The TIFF file is damaged: a tag that it needs is missing or not a number.")
    value: int = struct.unpack_from(f"{order}{'H' if entry.kind == _SHORT else 'I'}", data, entry.at)[0]
    return value


def _orientation(data: bytes, order: str, entries: dict[int, _Entry]) -> int:
    entry = entries.get(_ORIENTATION)
    value = _number(data, order, entries, _ORIENTATION) if entry and entry.kind == _SHORT else 1
    return value if 1 <= value <= 8 else 1


def _check_layout(data: bytes, order: str, entries: dict[int, _Entry], width: int, height: int) -> int:
    """Pixels of one tile, 0 for strips. Raises UnreadablePicture when there are fewer parts than the picture needs."""
    planes = 1
    if _number(data, order, entries, _PLANAR, 1) == 2:
        planes = _number(data, order, entries, _SAMPLES, 1)
    if _STRIP_OFFSETS in entries:
        rows = _number(data, order, entries, _ROWS_PER_STRIP, height) or height
        tile_pixels, needed, there = 0, -(-height // max(rows, 1)), entries[_STRIP_OFFSETS].count
    elif _TILE_OFFSETS in entries:
        across, down = (_number(data, order, entries, tag) for tag in (_TILE_WIDTH, _TILE_HEIGHT))
        if not across or not down:
            raise UnreadablePicture("The TIFF file is damaged: its tiles have no size.")
        tile_pixels, needed, there = (
            across * down,
            -(-width // across) * -(-height // down),
            entries[_TILE_OFFSETS].count,
        )
    else:
        raise UnreadablePicture("The TIFF file has no picture.")
    if there < needed * planes:
        raise UnreadablePicture("The TIFF file is truncated: parts of the picture are missing.")
    return tile_pixels


def _rewritten(data: bytes, order: str, entries: dict[int, _Entry]) -> tuple[bytes | memoryview, ...]:
    """The file as it was, with the new directory at its end; offsets to data stay as they are."""
    # With both strips and tiles Pillow would believe the strips and libtiff the tiles.
    decoded = _DECODED_TAGS - _TILE_TAGS if _STRIP_OFFSETS in entries else _DECODED_TAGS
    kept = [entry.raw for tag, entry in sorted(entries.items()) if tag in decoded]
    padding = bytes(len(data) % 2)
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    return data[:4] + struct.pack(f"{order}I", len(data) + len(padding)), memoryview(data)[8:], padding, directory
