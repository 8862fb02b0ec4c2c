"""How often PDQ takes pictures for near copies: edited copies of a picture, and pictures that are none."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from uuid import UUID

import numpy as np
from PIL import Image

from imagescreen.errors import WrongUse
from imagescreen.evaluation.edited_copies import edited_copy
from imagescreen.evaluation.photos import INDEX, PhotoSet, reader_without_limits
from imagescreen.matching import HashQuery, HashSnapshot, ReferenceHash
from imagescreen.pictures import (
    MAX_PDQ_DISTANCE,
    PdqHasher,
    PictureHash,
)

_TURN = Image.Transpose
_BITS = 256
INPUT_SIDE = 224
"""Of most CLIP models; pictures are decoded for it, and hashed as they are then."""


@dataclass(frozen=True, slots=True)
class CopyShare:
    """Of the copies made by one kind of edit: the share that is found, and the median distance in bits."""

    edit: str
    found: float
    median_distance: float


@dataclass(frozen=True, slots=True)
class CopyFigures:
    """`pairs` of different pictures, of which `unrelated_found` are within the distance in some rotation."""

    pictures: int
    unusable: int
    pairs: int
    unrelated_found: list[tuple[str, str, int]]
    shares: list[CopyShare]
    decode_ms: float
    hash_ms: float


def named_photos(folder: Path, tar: str | None, limit: int) -> list[tuple[str, bytes]]:
    """The test photographs of a photo set, or the JPEGs of a folder. Raises WrongUse or PhotosUnusable."""
    if (folder / INDEX).is_file():
        photos = PhotoSet(folder)
        return [(row.member, photos.read(row)) for row in photos.rows(use="test", tar=tar)[:limit]]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:limit]
    if not paths:
        raise WrongUse(f"there are no JPEG files in {folder}")
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in paths]


def measure_copies(photos: Sequence[tuple[str, bytes]], hasher: PdqHasher, *, seed: int = 7) -> CopyFigures:
    """Every photograph against every other in eight rotations, and against copies of its own."""
    reader = reader_without_limits()
    images, hashes, decode_s, hash_s = [], [], 0.0, 0.0
    for _, data in photos:
        # Time of the processor, so that what else the machine does is not in it.
        started = time.thread_time()
        decoded = reader.read(data, reader.header(data), reduce_to=INPUT_SIDE).image
        between = time.thread_time()
        hashes.append(hasher.hash(decoded))
        hash_s += time.thread_time() - between
        decode_s += between - started
        images.append(Image.open(BytesIO(data)).convert("RGB"))
    usable = [place for place, found in enumerate(hashes) if found.usable]
    random = np.random.default_rng(seed)
    return CopyFigures(
        pictures=len(photos),
        unusable=len(photos) - len(usable),
        pairs=len(usable) * (len(usable) - 1) // 2,
        unrelated_found=_unrelated([photos[place][0] for place in usable], [hashes[place] for place in usable]),
        shares=[
            _share(name, edit, [images[p] for p in usable], [hashes[p] for p in usable], hasher)
            for name, edit in _edits(random).items()
        ],
        decode_ms=1000 * decode_s / len(photos),
        hash_ms=1000 * hash_s / len(photos),
    )


def _unrelated(names: Sequence[str], hashes: Sequence[PictureHash]) -> list[tuple[str, str, int]]:
    ids = [UUID(int=place + 1) for place in range(len(hashes))]
    stored = [ReferenceHash(one, None, None, found.upright) for one, found in zip(ids, hashes, strict=True)]
    queries = [HashQuery(bytes(32), found.bits) for found in hashes]
    found: dict[tuple[int, int], int] = {}
    for place, copies in enumerate(HashSnapshot.of(stored).copies(queries, max_distance=MAX_PDQ_DISTANCE)):
        for copy in copies:
            other = copy.reference_id.int - 1
            if other != place and copy.distance is not None:
                pair = (min(place, other), max(place, other))
                found[pair] = min(copy.distance, found.get(pair, _BITS))
    return [(names[a], names[b], distance) for (a, b), distance in sorted(found.items())]


def _share(
    name: str,
    edit: Callable[[Image.Image], Image.Image],
    images: Sequence[Image.Image],
    hashes: Sequence[PictureHash],
    hasher: PdqHasher,
) -> CopyShare:
    distances, usable = [], 0
    for image, own in zip(images, hashes, strict=True):
        copy = hasher.hash(edit(image))
        differing = np.unpackbits(copy.bits ^ own.bits[0], axis=1).sum(axis=1)
        distances.append(int(differing.min()))
        usable += copy.usable and distances[-1] <= MAX_PDQ_DISTANCE
    return CopyShare(name, usable / len(images), float(np.median(distances)))


def _edits(random: np.random.Generator) -> dict[str, Callable[[Image.Image], Image.Image]]:
    return {
        "size x 0.6, JPEG quality 35": lambda image: _encoded(_resized(image, 0.6), 35),
        "the same, rotated by 90 degrees": lambda image: _encoded(_resized(image.transpose(_TURN.ROTATE_90), 0.6), 35),
        "the same, mirrored": lambda image: _encoded(_resized(image.transpose(_TURN.FLIP_LEFT_RIGHT), 0.6), 35),
        "brightness x 0.6": lambda image: image.point(lambda value: 0.6 * value),
        "brightness x 1.4": lambda image: image.point(lambda value: 1.4 * value),
        "2 % cropped off each side": lambda image: _cropped(image, 0.02),
        "5 % cropped off each side": lambda image: _cropped(image, 0.05),
        "rotated by 3 degrees on white": lambda image: image.rotate(3, fillcolor=(255, 255, 255)),
        "all the edits of the built-in model's card": lambda image: Image.open(
            BytesIO(edited_copy(image, random))
        ).convert("RGB"),
    }


def _resized(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def _encoded(image: Image.Image, quality: int) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = image.width * share, image.height * share
    return image.crop((round(x), round(y), round(image.width - x), round(image.height - y)))
