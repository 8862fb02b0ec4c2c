"""Drawing on a square in unit coordinates: x to the right, y down, both from 0 to 1."""

from collections.abc import Sequence
from math import cos, pi, sin
from typing import TypeVar

import numpy as np
from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
Outline = list[Point]
Paint = Colour | Image.Image
T = TypeVar("T")

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (18, 18, 20)
STEEL: Colour = (176, 180, 186)
GOLD: Colour = (205, 166, 72)


class Dice:
    """Choices that follow from integers alone, so that a picture is the same in every run."""

    def __init__(self, *seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def fork(self) -> "Dice":
        """Dice of their own, for what draws a number of times that depends on a picture's size."""
        return Dice(self.whole(0, 2**31))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def whole(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of `other` in `one`."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(one, other, strict=True))
    return (r, g, b)


def dark(colour: Colour, share: float = 0.35) -> Colour:
    return mix(colour, (0, 0, 0), share)


def light(colour: Colour, share: float = 0.4) -> Colour:
    return mix(colour, WHITE, share)


def contrast(colour: Colour) -> Colour:
    """Black or white, whichever stands out on `colour` (luma of ITU-R BT.601)."""
    r, g, b = colour
    return BLACK if 0.299 * r + 0.587 * g + 0.114 * b > 130 else WHITE


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Outline:
    if radius <= 0:
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    radius = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    right, low, left, top = x1 - radius, y1 - radius, x0 + radius, y0 + radius
    corners = ((right, top, -90), (right, low, 0), (left, low, 90), (left, top, 180))
    return [p for cx, cy, start in corners for p in oval(cx, cy, radius, radius, (start, start + 90), steps=6)]


def oval(
    cx: float, cy: float, rx: float, ry: float, span: tuple[float, float] = (0, 360), *, steps: int = 32
) -> Outline:
    """Points of an ellipse over the angles of `span` in degrees, clockwise from the right."""
    start, end = span
    turn = (end - start) / steps
    angles = [(start + turn * k) * pi / 180 for k in range(steps + 1)]
    return [(cx + rx * cos(a), cy + ry * sin(a)) for a in angles]


def star(cx: float, cy: float, outer: float, inner: float, points: int, *, turn: float = -90) -> Outline:
    angles = [(turn + 180 * k / points) * pi / 180 for k in range(2 * points)]
    return [(cx + r * cos(a), cy + r * sin(a)) for a, r in zip(angles, [outer, inner] * points, strict=True)]


def smooth(points: Sequence[Point], *, closed: bool = True, steps: int = 6) -> Outline:
    """A Catmull-Rom curve through `points`."""
    n = len(points)
    curve: Outline = []
    for k in range(n if closed else n - 1):
        p0, p1, p2, p3 = (points[(k + j) % n if closed else min(max(k + j, 0), n - 1)] for j in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            a, b = t * t, t * t * t
            w0, w1, w2, w3 = -t + 2 * a - b, 2 - 5 * a + 3 * b, t + 4 * a - 3 * b, b - a
            curve.append(
                (
                    (w0 * p0[0] + w1 * p1[0] + w2 * p2[0] + w3 * p3[0]) / 2,
                    (w0 * p0[1] + w1 * p1[1] + w2 * p2[1] + w3 * p3[1]) / 2,
                )
            )
    if not closed:
        curve.append(points[-1])
    return curve


def mirrored(points: Sequence[Point]) -> Outline:
    """The left half from top to bottom, completed by its mirror image around x = 0.5."""
    return [*points, *((1 - x, y) for x, y in reversed(points))]


class Sketch:
    """A drawing: `layer` is RGBA of (side, side), at first clear and of the colour `ground`."""

    def __init__(self, side: int, ground: Colour) -> None:
        self.side = side
        self.ground = ground
        self.layer = Image.new("RGBA", (side, side), (*ground, 0))
        self._draw = ImageDraw.Draw(self.layer)

    def fill(self, points: Sequence[Point], paint: Paint) -> None:
        """Fill with a colour, or with an RGBA surface of the sketch's size."""
        if isinstance(paint, Image.Image):
            x0, y0, mask = self._mask(points)
            self.layer.paste(paint.crop((x0, y0, x0 + mask.width, y0 + mask.height)), (x0, y0), mask)
        else:
            self._draw.polygon(self._pixels(points), fill=(*paint, 255))

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        pixels = self._pixels(points)
        thick = max(1, round(width * self.side))
        self._draw.line(pixels, fill=(*colour, 255), width=thick, joint="curve" if thick > 3 else None)

    def stitches(self, points: Sequence[Point], colour: Colour, width: float = 0.006) -> None:
        """A dashed line: every second piece of `points`."""
        for a, b in zip(points[::2], points[1::2], strict=False):
            self.line([a, b], width, colour)

    def round_off(self, points: Sequence[Point], darkness: float = 0.5, *, upright: bool = True) -> None:
        """Darken towards both sides (left and right if `upright`), as on a cylinder."""
        edge = np.abs(np.linspace(-1, 1, 32)) ** 2.4 * 255 * darkness
        self._darken(points, edge.astype(np.uint8), upright=upright)

    def fade(self, points: Sequence[Point], darkness: float = 0.4, *, upright: bool = False) -> None:
        """Darken steadily towards the bottom (the right if `upright`)."""
        self._darken(points, np.linspace(0, 255 * darkness, 32).astype(np.uint8), upright=upright)

    def gleam(self, points: Sequence[Point], strength: float = 0.4) -> None:
        """A white reflection."""
        x0, y0, mask = self._mask(points)
        self._tint(x0, y0, mask.point([int(v * strength) for v in range(256)]), 255)

    def hole(self, points: Sequence[Point]) -> None:
        """Cut out, so that the background is seen."""
        self._draw.polygon(self._pixels(points), fill=(*self.ground, 0))

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        side = self.side
        return [(x * side, y * side) for x, y in points]

    def _mask(self, points: Sequence[Point]) -> tuple[int, int, Image.Image]:
        """Left, top, and the mask of the polygon's bounding box, cut to the sketch."""
        pixels = self._pixels(points)
        xs, ys = [p[0] for p in pixels], [p[1] for p in pixels]
        x0, y0 = max(0, int(min(xs))), max(0, int(min(ys)))
        width = max(1, min(self.side, int(max(xs)) + 1) - x0)
        height = max(1, min(self.side, int(max(ys)) + 1) - y0)
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).polygon([(x - x0, y - y0) for x, y in pixels], fill=255)
        return x0, y0, mask

    def _darken(
        self, points: Sequence[Point], profile: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], *, upright: bool
    ) -> None:
        x0, y0, mask = self._mask(points)
        row = Image.fromarray(profile[None, :] if upright else profile[:, None])
        shade = ImageChops.multiply(mask, row.resize(mask.size, Image.Resampling.BILINEAR))
        self._tint(x0, y0, shade, 0)

    def _tint(self, x0: int, y0: int, mask: Image.Image, level: int) -> None:
        # Pasting a picture through a mask is several times faster in Pillow than pasting a colour.
        self.layer.paste(Image.new("RGBA", mask.size, (level, level, level, 255)), (x0, y0), mask)
