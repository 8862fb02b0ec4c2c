"""How the goods lie in a picture, and the light and shadow on them."""

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from imagescreen.references.sample.backdrops import backdrop
from imagescreen.references.sample.props import decorate, scatter
from imagescreen.references.sample.sketch import WHITE, Dice


@dataclass(frozen=True, slots=True)
class Pose:
    """How the product lies: turned by `turn` degrees, slanted, narrowed, and `extent` of the picture's shorter side."""

    turn: float
    slant: float
    narrow: float
    extent: float


def pose(dice: Dice) -> Pose:
    usual, rare = (0.0, 0.0, -14.0, 14.0, -30.0, 30.0, 45.0), (0.0, -90.0, 90.0, 180.0)
    turn = dice.pick(rare if dice.chance(0.12) else usual)
    return Pose(turn, dice.pick((0.0, 0.0, -0.22, 0.22)), dice.between(0.8, 1.12), dice.between(0.74, 1.08))


def listing(layer: Image.Image, size: tuple[int, int], lies: Pose, dice: Dice) -> Image.Image:
    """A photograph of the drawing `layer` (RGBA, square) on a white page of `size`: what a marketplace shows."""
    width, height = size
    inner = (round(width * dice.between(0.66, 0.8)), round(height * dice.between(0.6, 0.78)))
    page = Image.new("RGB", size, WHITE)
    left, top = dice.between(0.4, 0.6) * (width - inner[0]), dice.between(0.4, 0.6) * (height - inner[1])
    page.paste(_photograph(layer, inner, lies, dice), (round(left), round(top)))
    return page


def _photograph(layer: Image.Image, size: tuple[int, int], lies: Pose, dice: Dice) -> Image.Image:
    width, height = size
    matrix = _placement(layer.width, size, lies, dice)
    # As four plain bands: outside its outline the drawing has its own colour, so no edge needs premultiplied alpha.
    # Nearest pixels at twice the size and then an average cost half of a bilinear transform.
    bands = Image.merge("CMYK", layer.split())
    bands = bands.transform((2 * width, 2 * height), Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)
    *colour, mask = bands.reduce(2).split()
    ground = backdrop(size, dice)
    if dice.chance(0.5):
        scatter(ground, dice)
    small = (max(1, width // 6), max(1, height // 6))
    shadow = mask.resize(small, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(dice.between(0.9, 2.4)))
    shadow = ImageChops.offset(shadow, dice.whole(-1, 1), dice.whole(1, 2)).resize(size, Image.Resampling.BILINEAR)
    depth = dice.between(0.3, 0.6)
    ground.paste(Image.new("RGB", size, (20, 18, 22)), (0, 0), shadow.point([int(v * depth) for v in range(256)]))
    ground.paste(ImageChops.multiply(Image.merge("RGB", colour), _light(size, dice)), (0, 0), mask)
    decorate(ground, dice)
    return ground.point(_CURVE * 3)


# The contrast that a camera's picture style adds.
_CURVE = [min(255, max(0, round((v - 120) * 1.25 + 124))) for v in range(256)]


def _placement(
    side: int, size: tuple[int, int], lies: Pose, dice: Dice
) -> tuple[float, float, float, float, float, float]:
    """From pixels of twice the picture to pixels of the drawing, as `Image.transform` wants it."""
    width, height = size
    scale = 0.5 * side / (min(width, height) * lies.extent * dice.between(0.94, 1.04))
    turn = radians(lies.turn + dice.between(-5, 5))
    cx = 2 * width * (0.5 + dice.between(-0.04, 0.04))
    cy = 2 * height * (0.5 + dice.between(-0.06, 0.06))
    across = scale / (lies.narrow * dice.between(0.95, 1.05))
    a, b = across * (cos(turn) + lies.slant * sin(turn)), across * (sin(turn) - lies.slant * cos(turn))
    d, e = -sin(turn) * scale, cos(turn) * scale
    return (a, b, side / 2 - a * cx - b * cy, d, e, side / 2 - d * cx - e * cy)


def _light(size: tuple[int, int], dice: Dice) -> Image.Image:
    corners = np.array([[dice.between(0.82, 1.0) for _ in range(2)] for _ in range(2)]) * 255
    return Image.fromarray(corners.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR).convert("RGB")
