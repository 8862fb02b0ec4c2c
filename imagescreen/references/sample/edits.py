"""What sellers do to a picture before they use it again: one edited copy, drawn at random."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageEnhance

MAX_CROP = 0.15
MAX_TURN_DEGREES = 12.0
BRIGHTNESS = (0.6, 1.4)
SATURATION = (0.3, 1.6)
SCALE = 0.6
JPEG_QUALITY = 35


def edited_copy(image: Image.Image, rng: np.random.Generator) -> bytes:
    """An edited copy of `image` as JPEG bytes; the same `rng` state gives the same copy.

    Up to 15 % cropped off each side, turned by up to 12 degrees on a white canvas of the same size, mirrored for half
    of the copies, brightness 0.6 to 1.4, saturation 0.3 to 1.6, 0.6 of the size, JPEG quality 35: the ranges in which
    all retrieval figures of the project are measured.
    """
    width, height = image.size
    left, top, right, bottom = rng.uniform(0.0, MAX_CROP, 4)
    edited = image.convert("RGB").crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )
    edited = edited.rotate(
        float(rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES)),
        resample=Image.Resampling.BICUBIC,
        fillcolor=(255, 255, 255),
    )
    if rng.random() < 0.5:
        edited = edited.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    edited = ImageEnhance.Brightness(edited).enhance(float(rng.uniform(*BRIGHTNESS)))
    edited = ImageEnhance.Color(edited).enhance(float(rng.uniform(*SATURATION)))
    size = (max(1, round(edited.width * SCALE)), max(1, round(edited.height * SCALE)))
    return jpeg_bytes(edited.resize(size, Image.Resampling.BICUBIC), JPEG_QUALITY)


def jpeg_bytes(image: Image.Image, quality: int = 88) -> bytes:
    """`image` as JPEG; `quality` as libjpeg counts it, 1 to 95."""
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
