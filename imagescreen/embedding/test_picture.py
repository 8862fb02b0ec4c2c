"""The built-in picture by which a loaded model is recognised, drawn by integer arithmetic: the same everywhere."""

import numpy as np
from PIL import Image

_WIDTH, _HEIGHT = 320, 240


def draw_test_picture() -> Image.Image:
    """An RGB picture of 320 x 240 px: a bag-like block with stripes, a disc and a shaded ground.

    It is wider than high, so that padding or cropping shows in its vector too.
    """
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    pixels = np.empty((_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    pixels[..., 0] = 235 - y // 4
    pixels[..., 1] = 230 - y // 3
    pixels[..., 2] = 215 - x // 8
    body = (x >= 70) & (x < 210) & (y >= 90) & (y < 210)
    stripes = ((x + y) // 12) % 2 == 0
    pixels[body & stripes] = (150, 40, 45)
    pixels[body & ~stripes] = (60, 25, 80)
    ring = ((x - 140) ** 2 + (y - 90) ** 2 < 46**2) & ((x - 140) ** 2 + (y - 90) ** 2 > 36**2) & (y < 90)
    pixels[ring] = (90, 60, 30)
    pixels[(x - 255) ** 2 + (y - 170) ** 2 < 34**2] = (30, 120, 160)
    pixels[(x - 245) ** 2 + (y - 160) ** 2 < 9**2] = (240, 245, 250)
    return Image.fromarray(pixels)
