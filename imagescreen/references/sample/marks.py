"""Invented brand marks: random shapes and glyph-like strokes that spell nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from imagescreen.references.sample.sketch import Colour, Dice, Outline, Point, Sketch, box, oval, smooth, star


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign in the unit square: filled outlines, and strokes of `weight` of its size."""

    fills: tuple[Outline, ...]
    strokes: tuple[Outline, ...]
    weight: float

    def draw(self, sketch: Sketch, cx: float, cy: float, size: float, colour: Colour, *, stretch: float = 1.0) -> None:
        """Around (cx, cy), `size` wide, `size * stretch` high."""

        def placed(points: Outline) -> Outline:
            return [(cx + (x - 0.5) * size, cy + (y - 0.5) * size * stretch) for x, y in points]

        for outline in self.fills:
            sketch.fill(placed(outline), colour)
        for stroke in self.strokes:
            sketch.line(placed(stroke), self.weight * size, colour)


def glyph(dice: Dice) -> tuple[Outline, ...]:
    """Strokes between the points of a 3 x 3 grid in the unit square."""
    grid: list[Point] = [(x / 2, y / 2) for y in range(3) for x in range(3)]
    spine = dice.pick(((0, 6), (1, 7), (2, 8), (0, 8), (2, 6)))
    arms = [(dice.whole(0, 8), dice.whole(0, 8)) for _ in range(dice.whole(1, 3))]
    return tuple([grid[a], grid[b]] for a, b in (spine, *arms) if a != b)


def wordmark(dice: Dice) -> Mark:
    """Two to six glyphs in a row."""
    letters = dice.whole(2, 6)
    step = 1 / letters
    height = min(0.5, 1.5 * step)
    strokes = tuple(
        [((k + 0.1 + 0.72 * x) * step, 0.5 + (y - 0.5) * height) for x, y in stroke]
        for k in range(letters)
        for stroke in glyph(dice)
    )
    return Mark((), strokes, dice.between(0.10, 0.26) * step)


def emblem(dice: Dice) -> Mark:
    """A compact sign: one of ten constructions, with proportions of its own."""
    return dice.pick(_EMBLEMS)(dice, dice.between(0.05, 0.13))


def _star(dice: Dice, weight: float) -> Mark:
    return Mark((star(0.5, 0.5, 0.5, dice.between(0.2, 0.45), dice.whole(4, 9)),), (), weight)


def _rings(dice: Dice, weight: float) -> Mark:
    apart = dice.between(0.2, 0.45)
    rings = [oval(0.5 + (k - 0.5) * apart, 0.5, 0.34, 0.34) for k in range(dice.whole(1, 2))]
    return Mark((), tuple(rings), weight)


def _chevrons(dice: Dice, weight: float) -> Mark:
    depth = dice.between(0.1, 0.3)
    chevrons = [[(0.05, y), (0.5, y + depth), (0.95, y)] for y in (0.15, 0.4, 0.65)[: dice.whole(1, 3)]]
    return Mark((), tuple(chevrons), weight * 1.6)


def _post(dice: Dice, weight: float) -> Mark:
    half = dice.between(0.05, 0.15)
    return Mark((box(0.1, 0.1, 0.9, 0.3), box(0.5 - half, 0.3, 0.5 + half, 0.95)), (), weight)


def _leaf(dice: Dice, weight: float) -> Mark:
    half = dice.between(0.2, 0.45)
    leaf = smooth([(0.5, 0.0), (0.5 + half, 0.45), (0.5, 1.0), (0.5 - half, 0.45)])
    return Mark((leaf,), ([(0.5, 0.2), (0.5, 1.15)],), weight)


def _crown(dice: Dice, weight: float) -> Mark:
    side = dice.between(0.1, 0.3)
    crown = [(0.05, 0.9), (0.0, side), (0.28, 0.5), (0.5, 0.05), (0.72, 0.5), (1.0, side), (0.95, 0.9)]
    return Mark((crown,), (), weight)


def _waves(dice: Dice, weight: float) -> Mark:
    crest = 0.6 - dice.between(0.2, 0.45)
    wave = smooth([(0, 0.6), (0.2, crest), (0.45, 0.55), (0.7, crest), (1, 0.35)], closed=False)
    return Mark((), (wave, [(x, y + 0.28) for x, y in wave]), weight * 1.4)


def _moon(dice: Dice, weight: float) -> Mark:
    return Mark((oval(0.5, 0.5, 0.5, 0.5, (20, 20 + dice.between(150, 300))),), (), weight)


def _blossom(dice: Dice, weight: float) -> Mark:
    petal = dice.between(0.16, 0.36)
    spots = star(0.5, 0.5, 0.33, 0.33, dice.whole(3, 7))[::2]
    return Mark(tuple(star(x, y, petal, petal * 0.7, 6) for x, y in spots), (), weight)


def _seal(dice: Dice, weight: float) -> Mark:
    return Mark((), (*glyph(dice), oval(0.5, 0.5, 0.62, 0.62)), weight * 1.5)


_EMBLEMS: tuple[Callable[[Dice, float], Mark], ...] = (
    *(_star, _rings, _chevrons, _post, _leaf),
    *(_crown, _waves, _moon, _blossom, _seal),
)
