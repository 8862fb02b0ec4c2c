"""Blank pictures are told from pale products."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.pictures.samples import encoded, read, with_alpha

SIDE = 400


def blank(colour: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), colour)


def gradient(low: int, high: int) -> Image.Image:
    ramp = np.linspace(low, high, SIDE).astype(np.uint8)
    return Image.fromarray(np.repeat(ramp[:, None, None], SIDE, axis=1).repeat(3, axis=2))


def vignette() -> Image.Image:
    across = np.linspace(-1, 1, SIDE)
    light = 250 - 20 * (across[:, None] ** 2 + across[None, :] ** 2)
    return Image.fromarray(np.repeat(light[:, :, None], 3, axis=2).astype(np.uint8))


def noise(deviation: float) -> Image.Image:
    generator = np.random.default_rng(7)
    samples = generator.normal(200, deviation, (SIDE, SIDE, 3))
    return Image.fromarray(samples.clip(0, 255).astype(np.uint8))


def stray_pixels() -> Image.Image:
    image = blank()
    generator = np.random.default_rng(7)
    for x, y in generator.integers(0, SIDE, (15, 2)).tolist():
        image.putpixel((x, y), (0, 0, 0))
    return image


def hairline_frame() -> Image.Image:
    image = blank()
    ImageDraw.Draw(image).rectangle((4, 4, SIDE - 5, SIDE - 5), outline=(0, 0, 0), width=2)
    return image


def product(share: float, shade: int, ground: int = 255) -> Image.Image:
    image = blank((ground,) * 3)
    side = round(SIDE * share**0.5)
    ImageDraw.Draw(image).rectangle((60, 90, 60 + side, 90 + side), fill=(shade,) * 3)
    return image


def chain() -> Image.Image:
    """A thin necklace: two pixels of gold along an ellipse."""
    image = blank()
    ImageDraw.Draw(image).ellipse((90, 60, 310, 330), outline=(190, 150, 60), width=2)
    return image


def product_on_noise() -> Image.Image:
    samples = np.asarray(noise(6)).astype(np.int64)
    samples[100:190, 100:190] -= 25
    return Image.fromarray(samples.clip(0, 255).astype(np.uint8))


def earrings() -> Image.Image:
    image = blank()
    draw = ImageDraw.Draw(image)
    for left in (130, 240):
        draw.ellipse((left, 180, left + 24, 204), fill=(120, 120, 130))
    return image


NOTHING: dict[str, Callable[[], Image.Image]] = {
    "white": blank,
    "black": lambda: blank((0, 0, 0)),
    "one colour": lambda: blank((30, 140, 200)),
    "faint gradient": lambda: gradient(225, 255),
    "vignette": vignette,
    "light noise": lambda: noise(8),
    "stray pixels": stray_pixels,
    "hairline frame": hairline_frame,
    "transparent": lambda: with_alpha(product(0.3, 0), 0),
    "very small, white": lambda: blank().resize((32, 32)),
    "long and narrow, white": lambda: blank().resize((32, 900)),
}
SOMETHING: dict[str, Callable[[], Image.Image]] = {
    "pale grey product on 5 % of white": lambda: product(0.05, 235),
    "very pale product on 5 % of white": lambda: product(0.05, 245),
    "dark product on 1 %": lambda: product(0.01, 60),
    "white product on pale grey": lambda: product(0.05, 255, ground=240),
    "product on half of it": lambda: product(0.5, 225),
    "necklace": chain,
    "earrings": earrings,
    "product on light noise": product_on_noise,
    "small picture of a product": lambda: product(0.1, 200).resize((32, 32)),
}


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("pillow_format", ["PNG", "WEBP"])
def test_nothing_to_see(name: str, pillow_format: str) -> None:
    assert read(encoded(NOTHING[name](), pillow_format)).low_information


@pytest.mark.parametrize("name", SOMETHING)
@pytest.mark.parametrize("pillow_format", ["PNG", "JPEG"])
@pytest.mark.parametrize("reduce_to", [32, 128, 512])
def test_something_to_see_at_any_scale(name: str, pillow_format: str, reduce_to: int) -> None:
    assert not read(encoded(SOMETHING[name](), pillow_format), reduce_to=reduce_to).low_information
