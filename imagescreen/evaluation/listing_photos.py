"""Photographs for benchmarks: a folder of real ones, or large product-like JPEGs that are drawn."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from imagescreen.errors import WrongUse
from imagescreen.references.sample.rendered import render_product

SIZE = (1274, 1580)
"""Width and height of a marketplace's usual large product photo."""

_QUALITY = 85
_GRAIN = 5.0
_FIRST_SEED = 900_000
_START_OF_IMAGE = b"\xff\xd8"
_COMMENT = b"\xff\xfe"


def drawn_photos(count: int) -> list[bytes]:
    """`count` different JPEGs of SIZE with the grain of a camera, which gives them a photograph's size in bytes."""
    photos = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + count):
        random = np.random.default_rng(seed)
        image = render_product(seed, size=(SIZE[0] // 2, SIZE[1] // 2)).image.resize(SIZE, Image.Resampling.BICUBIC)
        grain = random.normal(0, _GRAIN, (SIZE[1], SIZE[0], 1)).astype(np.float32)
        pixels = np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8)
        file = BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
        photos.append(file.getvalue())
    return photos


def photos_in(folder: Path, limit: int) -> list[bytes]:
    """The first `limit` JPEGs in a folder and its sub-folders. Raises WrongUse when there are none."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:limit]
    if not paths:
        raise WrongUse(f"there are no JPEG files in {folder}")
    return [path.read_bytes() for path in paths]


def as_another_file(jpeg: bytes, number: int) -> bytes:
    """The same picture in other bytes: with a comment that holds `number`."""
    comment = b"copy %d" % number
    return _START_OF_IMAGE + _COMMENT + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]
