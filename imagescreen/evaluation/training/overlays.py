"""Texts, price tags and stickers that are laid over pictures in training: drawn, none of them a real mark."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_SIDE = 96
_WORDS: tuple[str, ...] = (
    *(
        "SALE",
        "NEW",
        "-50%",
        "ORIGINAL",
        "FREE SHIPPING",
        "BEST PRICE",
        "100% COTTON",
        "TOP",
        "HOT",
        "2 for 1",
        "@shop",
    ),
    *("No. 1", "LIMITED", "WOW", "XL", "sample", "9.99", "24.50", "promo", "quality", "gift", "www.shop.test"),
)


def draw_overlays(count: int, *, seed: int) -> npt.NDArray[np.float32]:
    """(count, 4, 96, 96) in 0 to 1: colour and opacity."""
    random = np.random.default_rng(seed)
    drawn = [_DRAWN[place % len(_DRAWN)](random) for place in range(count)]
    stacked: npt.NDArray[np.float32] = np.stack(
        [np.asarray(image, np.float32).transpose(2, 0, 1) / 255 for image in drawn]
    )
    # Softer ones are watermarks.
    stacked[:, 3] *= random.choice(np.array([0.35, 0.7, 1.0], np.float32), (count, 1, 1))
    return stacked


def _text(random: np.random.Generator) -> Image.Image:
    image = _empty()
    draw = ImageDraw.Draw(image)
    words = random.choice(_WORDS, int(random.integers(1, 4)))
    draw.multiline_text(
        (_SIDE / 2, _SIDE / 2),
        "\n".join(words),
        anchor="mm",
        fill=_colour(random),
        stroke_width=int(random.integers(0, 3)),
        stroke_fill=_colour(random),
        font=ImageFont.load_default(float(random.integers(12, 34))),
    )
    return image


def _banner(random: np.random.Generator) -> Image.Image:
    image = _empty()
    draw = ImageDraw.Draw(image)
    top = int(random.integers(20, 50))
    draw.rectangle((0, top, _SIDE, top + int(random.integers(16, 40))), fill=_colour(random))
    _word_in_the_middle(draw, random, top + 12)
    return image


def _disc(random: np.random.Generator) -> Image.Image:
    image = _empty()
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 4, _SIDE - 4, _SIDE - 4), fill=_colour(random), outline=_colour(random), width=4)
    _word_in_the_middle(draw, random, _SIDE // 2)
    return image


def _star(random: np.random.Generator) -> Image.Image:
    image = _empty()
    draw = ImageDraw.Draw(image)
    draw.regular_polygon((_SIDE / 2, _SIDE / 2, _SIDE / 2 - 3), int(random.integers(3, 9)), fill=_colour(random))
    _word_in_the_middle(draw, random, _SIDE // 2)
    return image


def _word_in_the_middle(draw: ImageDraw.ImageDraw, random: np.random.Generator, height: int) -> None:
    draw.text(
        (_SIDE / 2, height),
        str(random.choice(_WORDS)),
        anchor="mm",
        fill=_colour(random),
        font=ImageFont.load_default(float(random.integers(12, 26))),
    )


def _empty() -> Image.Image:
    return Image.new("RGBA", (_SIDE, _SIDE), (255, 255, 255, 0))


def _colour(random: np.random.Generator) -> tuple[int, int, int, int]:
    red, green, blue = (int(value) for value in random.integers(0, 256, 3))
    return red, green, blue, 255


_DRAWN: tuple[Callable[[np.random.Generator], Image.Image], ...] = (_text, _banner, _disc, _star)
