"""Large pictures are decoded at reduced scale, and the model sees the same."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures.samples import encoded, read


def scene(width: int, height: int) -> Image.Image:
    """Edges, gradients and fine texture, as in a photograph."""
    y, x = np.mgrid[0:height, 0:width]
    red = 128 + 100 * np.sin(x / 97) * np.cos(y / 61)
    green = np.where((x // 130 + y // 90) % 2, 200, 60) + 20 * np.sin(x / 3)
    blue = 255 * y / height
    return Image.fromarray(np.stack([red, green, blue], axis=2).clip(0, 255).astype(np.uint8))


def difference(one: Image.Image, other: Image.Image, side: int) -> float:
    """Mean absolute difference, of 255 levels, at the size that a model takes."""
    small = [np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float64) for image in (one, other)]
    return float(np.abs(small[0] - small[1]).mean())


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(800, 600), (555, 889), (1200, 300)])
def test_reduced_and_full_decoding_look_alike(pillow_format: str, size: tuple[int, int]) -> None:
    data = encoded(scene(*size), pillow_format)
    full, reduced = read(data, reduce_to=10_000).image, read(data, reduce_to=64).image
    assert full.size == size
    assert 128 <= min(reduced.size) < min(size)
    assert difference(full, reduced, 64) < 2


def test_proportions_are_kept() -> None:
    picture = read(encoded(scene(1500, 500), "JPEG"), reduce_to=64)
    assert (picture.header.width, picture.header.height) == (1500, 500)
    assert picture.image.width / picture.image.height == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG"])
def test_a_picture_that_is_small_already_is_not_reduced(pillow_format: str) -> None:
    assert read(encoded(scene(400, 300), pillow_format), reduce_to=224).image.size == (400, 300)


def test_reduction_of_transparency_happens_on_white() -> None:
    """Averaged before compositing, the hidden black would darken every edge."""
    image = Image.new("RGBA", (1024, 1024), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (301, 301, 723, 723))
    reduced = np.asarray(read(encoded(image, "PNG"), reduce_to=64).image)
    assert reduced.min() == 255


def test_real_photographs_are_read_and_reduced_faithfully(photos_dir: Path) -> None:
    files = sorted(photos_dir.glob("originals/*.jpg"))
    assert files
    for file in files[:: max(1, len(files) // 25)]:
        data = file.read_bytes()
        full, reduced = read(data, reduce_to=10_000), read(data, reduce_to=128)
        assert not full.low_information
        assert not reduced.low_information
        assert full.image.size == (full.header.width, full.header.height)
        assert difference(full.image, reduced.image, 128) < 1
