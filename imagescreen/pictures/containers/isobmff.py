"""AVIF and HEIC: the boxes of the ISO base media file format (ISO/IEC 14496-12, 23008-12)."""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures.containers.base import Container
from imagescreen.pictures.containers.bitstreams import av1_pixels, hevc_pixels

_MAX_BOXES = 10_000
_MAX_ITEMS = 4096
_FULL_BOX_BYTES = 4
_UNIQUE = frozenset(
    {b"meta", b"moov", b"iinf", b"iloc", b"iprp", b"ipco", b"iref", b"idat"}
    | {b"mdia", b"minf", b"stbl", b"stsd", b"stsz", b"stco", b"co64"}
)
_AV1 = b"av01"
_HEVC = (b"hvc1", b"hev1")
_GRID = b"grid"
_PICTURES = (_AV1, *_HEVC, _GRID)
# Overlays and identities refer to other items, any number of times; no camera and no shop writes them.
_REFUSED = (b"iovl", b"iden")


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Item:
    kind: bytes
    kind_at: int


def parse(data: bytes) -> Container:
    """What the decoder may allocate, and the file with nothing but pictures in it.

    Orientation is told by the container (`irot`, `imir`), EXIF repeats it; the library opens every other item too.
    `decoded_pixels` counts the coded frame of every item and of each track's first picture; a tile counts as often as
    a grid refers to it.
    """
    view = memoryview(data)
    top = _children(view, _Box(b"", 0, len(data)))
    coded = 0
    width = height = 0
    items: dict[int, _Item] = {}
    if b"meta" in top:
        meta = _children(view, top[b"meta"], _FULL_BOX_BYTES)
        items = _items(view, meta)
        declared = _properties(view, meta)
        coded = _coded_items(view, meta, items, declared)
        width, height = max(
            (_declared_size(view, box) for box in declared if box.kind == b"ispe"),
            key=lambda size: size[0] * size[1],
            default=(0, 0),
        )
    if b"moov" in top:
        coded += sum(_track_pixels(view, box) for box in _boxes(view, top[b"moov"].start, top[b"moov"].end))
    if not width or not height or not coded:
        raise UnreadablePicture("The AVIF or HEIC file is damaged: it has no picture.")
    return Container(width, height, (0, 0, width, height), _pictures_only(view, items), max(coded, width * height))


def _boxes(view: memoryview, start: int, end: int) -> Iterator[_Box]:
    at = start
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", view, at)
        body = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", view, body)
            body += 8
        box_end = end if size == 0 else at + size
        if box_end < body or box_end > end:
            raise UnreadablePicture("The AVIF or HEIC file is truncated: a box ends outside the file.")
        yield _Box(kind, body, box_end)
        at = box_end
    raise UnreadablePicture(f"The AVIF or HEIC file has more than {_MAX_BOXES} boxes.")


def _children(view: memoryview, box: _Box, skipped: int = 0) -> dict[bytes, _Box]:
    """Child boxes by kind. Raises UnreadablePicture where two readers could choose different ones of a kind."""
    children: dict[bytes, _Box] = {}
    for child in _boxes(view, box.start + skipped, box.end):
        if child.kind in children and child.kind in _UNIQUE:
            raise UnreadablePicture("The AVIF or HEIC file is damaged: it has a box twice.")
        children[child.kind] = child
    return children


def _items(view: memoryview, meta: dict[bytes, _Box]) -> dict[int, _Item]:
    if b"iinf" not in meta:
        return {}
    box = meta[b"iinf"]
    entries = box.start + _FULL_BOX_BYTES + (2 if view[box.start] == 0 else 4)
    items: dict[int, _Item] = {}
    for entry in _boxes(view, entries, box.end):
        version = view[entry.start]
        if entry.kind != b"infe" or version < 2:
            continue
        wide = version > 2
        (identifier,) = struct.unpack_from(">I" if wide else ">H", view, entry.start + _FULL_BOX_BYTES)
        kind_at = entry.start + _FULL_BOX_BYTES + (6 if wide else 4)
        kind = bytes(view[kind_at : kind_at + 4])
        if kind in _REFUSED or identifier in items or len(items) == _MAX_ITEMS:
            raise UnreadablePicture("The AVIF or HEIC file is not read: it is put together in an unusual way.")
        items[identifier] = _Item(kind, kind_at)
    return items


def _coded_items(view: memoryview, meta: dict[bytes, _Box], items: dict[int, _Item], declared: list[_Box]) -> int:
    places = _item_places(view, meta)
    owned = _item_properties(view, meta)
    pixels: dict[int, int] = {}
    for identifier, item in items.items():
        if item.kind != _AV1 and item.kind not in _HEVC:
            continue
        coded = b"".join(places.get(identifier, ()))
        if item.kind == _AV1:
            pixels[identifier] = av1_pixels(coded)
        else:
            boxes = [declared[index - 1] for index in owned.get(identifier, ()) if 0 < index <= len(declared)]
            configurations = [view[box.start : box.end] for box in boxes if box.kind == b"hvcC"]
            pixels[identifier] = max((hevc_pixels(each, coded) for each in configurations), default=0)
    used = Counter[int]()
    for source, targets in _derivations(view, meta):
        if items.get(source, _Item(b"", 0)).kind == _GRID:
            if any(identifier not in pixels for identifier in targets):
                raise UnreadablePicture("The AVIF or HEIC file is not read: a tile of its grid is no coded picture.")
            used.update(targets)
    return sum(count * max(used[identifier], 1) for identifier, count in pixels.items())


def _item_places(view: memoryview, meta: dict[bytes, _Box]) -> dict[int, list[memoryview]]:
    """The bytes of each item (`iloc`)."""
    if b"iloc" not in meta:
        return {}
    at = meta[b"iloc"].start
    version, sizes = view[at], view[at + 4] << 8 | view[at + 5]
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_bytes = sizes & 15 if version else 0
    identifier_bytes = 4 if version == 2 else 2
    cursor = _Cursor(view[: meta[b"iloc"].end], at + 6)
    places: dict[int, list[memoryview]] = {}
    for _ in range(min(cursor.number(identifier_bytes), _MAX_ITEMS)):
        identifier = cursor.number(identifier_bytes)
        method = cursor.number(2) & 15 if version else 0
        cursor.number(2)
        base = cursor.number(base_bytes)
        extents: list[memoryview] = []
        for _ in range(cursor.number(2)):
            cursor.number(index_bytes)
            offset, length = base + cursor.number(offset_bytes), cursor.number(length_bytes)
            if method == 1 and b"idat" in meta:
                offset += meta[b"idat"].start
            elif method:
                raise UnreadablePicture("The AVIF or HEIC file is not read: its data is placed in an unusual way.")
            if offset + length > len(view) or len(extents) > _MAX_ITEMS:
                raise UnreadablePicture("The AVIF or HEIC file is truncated: picture data lies outside the file.")
            extents.append(view[offset : offset + length] if length else view[offset:])
        places[identifier] = extents
    return places


def _properties(view: memoryview, meta: dict[bytes, _Box]) -> list[_Box]:
    """The boxes that items share (`ipco`), in order."""
    shared = _children(view, meta[b"iprp"]).get(b"ipco") if b"iprp" in meta else None
    return list(_boxes(view, shared.start, shared.end)) if shared else []


def _item_properties(view: memoryview, meta: dict[bytes, _Box]) -> dict[int, list[int]]:
    """For each item the indices, from 1, of its properties (`ipma`; a file may have several)."""
    owned: dict[int, list[int]] = {}
    boxes = _boxes(view, meta[b"iprp"].start, meta[b"iprp"].end) if b"iprp" in meta else ()
    for box in boxes:
        if box.kind != b"ipma":
            continue
        wide_identifier, wide_index = view[box.start] > 0, view[box.start + 3] & 1
        cursor = _Cursor(view[: box.end], box.start + _FULL_BOX_BYTES)
        for _ in range(min(cursor.number(4), _MAX_ITEMS)):
            identifier = cursor.number(4 if wide_identifier else 2)
            count = cursor.number(1)
            indices = [cursor.number(1 + wide_index) & (0x7FFF if wide_index else 0x7F) for _ in range(count)]
            owned.setdefault(identifier, []).extend(indices)
    return owned


def _derivations(view: memoryview, meta: dict[bytes, _Box]) -> Iterator[tuple[int, list[int]]]:
    """What each derived item is made of (`iref`, `dimg`)."""
    if b"iref" not in meta:
        return
    box = meta[b"iref"]
    identifier_bytes = 4 if view[box.start] else 2
    for reference in _boxes(view, box.start + _FULL_BOX_BYTES, box.end):
        if reference.kind == b"dimg":
            cursor = _Cursor(view[: reference.end], reference.start)
            source = cursor.number(identifier_bytes)
            yield source, [cursor.number(identifier_bytes) for _ in range(cursor.number(2))]


def _track_pixels(view: memoryview, track: _Box) -> int:
    """Pixels of the first picture of an image sequence's track; later ones are never decoded."""
    if track.kind != b"trak":
        return 0
    box = track
    for kind in (b"mdia", b"minf", b"stbl"):
        children = _children(view, box)
        if kind not in children:
            return 0
        box = children[kind]
    table = _children(view, box)
    if b"stsd" not in table or _AV1 not in bytes(view[table[b"stsd"].start : table[b"stsd"].end]):
        return 0
    if b"stsz" not in table or not (b"stco" in table or b"co64" in table):
        return 0
    (size,) = struct.unpack_from(">I", view, table[b"stsz"].start + 4)
    if not size:
        (size,) = struct.unpack_from(">I", view, table[b"stsz"].start + 12)
    offsets = table.get(b"stco") or table[b"co64"]
    (offset,) = struct.unpack_from(">I" if offsets.kind == b"stco" else ">Q", view, offsets.start + 8)
    if offset + size > len(view):
        raise UnreadablePicture("The AVIF file is truncated: picture data lies outside the file.")
    return av1_pixels(view[offset : offset + size])


def _declared_size(view: memoryview, box: _Box) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", view, box.start + _FULL_BOX_BYTES)
    return width, height


def _pictures_only(view: memoryview, items: dict[int, _Item]) -> tuple[bytes | memoryview, ...]:
    """The file with every item that is no picture under an unknown kind, so that no offset moves.

    Besides what EXIF and XMP may do to a reader, pi-heif 1.4 crashes on an item whose kind is not UTF-8.
    """
    pieces: list[bytes | memoryview] = []
    at = 0
    for item in sorted(items.values(), key=lambda item: item.kind_at):
        if item.kind not in _PICTURES:
            pieces += [view[at : item.kind_at], b"skip"]
            at = item.kind_at + 4
    return (*pieces, view[at:])


class _Cursor:
    """Big-endian numbers one after the other."""

    def __init__(self, view: memoryview, at: int) -> None:
        self._view = view
        self._at = at

    def number(self, size: int) -> int:
        end = self._at + size
        if end > len(self._view):
            raise UnreadablePicture("The AVIF or HEIC file is truncated: a table ends early.")
        value = int.from_bytes(self._view[self._at : end], "big")
        self._at = end
        return value
