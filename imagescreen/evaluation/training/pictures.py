"""Photographs for training: decoded once, each on a white square."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagescreen.errors import PhotosUnusable, PictureProblem, WrongUse
from imagescreen.evaluation.embedded import Progress
from imagescreen.evaluation.photos import PhotoRow, PhotoSet, reader_without_limits
from imagescreen.evaluation.training.names import NO_CLASS
from imagescreen.evaluation.training.sources import source_of

USE = "train"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TrainingPictures:
    """`pixels` (n, 3, s, s) uint8, each picture in the middle of a white square and as large as fits; `extents`
    (n, 2) float32, its width and height as shares of the square.
    """

    rows: Sequence[PhotoRow]
    pixels: Pixels
    extents: npt.NDArray[np.float32]

    def of_products(self) -> list[bool]:
        """Of each, whether its label is one product."""
        return [source_of(row.tar).products and row.label != NO_CLASS for row in self.rows]

    def digest(self) -> str:
        """The sha256 of the pixels and of what the rows say."""
        told = hashlib.sha256("\n".join(f"{row.tar!r} {row.member!r} {row.label!r}" for row in self.rows).encode())
        told.update(self.pixels.data)
        return told.hexdigest()


def training_rows(photos: PhotoSet) -> tuple[PhotoRow, ...]:
    """The rows of use `train`, the only ones that training ever reads. Raises WrongUse when there are none."""
    rows = photos.rows(use=USE)
    if not rows:
        raise WrongUse(f"the photo set has no rows of use {USE}: there is nothing to train on")
    return rows


def training_pictures(photos: PhotoSet, *, side: int, progress: Progress) -> TrainingPictures:
    """Reads and decodes the pictures of `training_rows`. Raises PhotosUnusable for one that cannot be had or read."""
    rows = training_rows(photos)
    pixels = np.full((len(rows), 3, side, side), 255, np.uint8)
    extents = np.empty((len(rows), 2), np.float32)
    reader = reader_without_limits()
    for place, row in enumerate(rows):
        data = photos.read(row)
        try:
            image = fitted(reader.read(data, reader.header(data), reduce_to=side).image, side)
        except PictureProblem as problem:
            raise PhotosUnusable(
                f"the photograph {row.member!r} of {row.tar!r} cannot be trained on: {problem.detail}"
            ) from None
        left, top = (side - image.width) // 2, (side - image.height) // 2
        pixels[place, :, top : top + image.height, left : left + image.width] = np.asarray(image).transpose(2, 0, 1)
        extents[place] = image.width / side, image.height / side
        progress("reading pictures", place + 1, len(rows))
    return TrainingPictures(rows, pixels, extents)


def fitted(image: Image.Image, side: int) -> Image.Image:
    """`image` with `side` as its longest side."""
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)
