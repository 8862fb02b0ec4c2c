"""Colours, patterns and materials of products."""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagescreen.references.sample.sketch import Colour, Dice

Levels = npt.NDArray[np.uint8]

PALETTE: dict[str, Colour] = {
    "black": (20, 20, 23),
    "charcoal": (69, 70, 74),
    "silver": (183, 186, 191),
    "white": (250, 250, 250),
    "cream": (245, 234, 211),
    "tan": (192, 156, 117),
    "brown": (98, 66, 45),
    "burgundy": (91, 23, 39),
    "red": (171, 42, 47),
    "coral": (224, 123, 107),
    "orange": (221, 139, 57),
    "mustard": (203, 165, 60),
    "yellow": (246, 220, 90),
    "lime": (167, 200, 79),
    "green": (49, 125, 70),
    "forest green": (23, 63, 46),
    "olive": (109, 109, 63),
    "mint": (168, 220, 197),
    "teal": (30, 117, 120),
    "turquoise": (75, 187, 194),
    "sky blue": (136, 184, 226),
    "blue": (42, 84, 171),
    "navy": (18, 25, 63),
    "lavender": (188, 171, 220),
    "purple": (98, 48, 128),
    "magenta": (184, 50, 128),
    "pink": (238, 180, 198),
}


class Pattern(StrEnum):
    PLAIN = "plain"
    GRAINED = "grained"
    STRIPED = "striped"
    PINSTRIPED = "pinstriped"
    DIAGONAL = "diagonal-striped"
    CHECKED = "checked"
    TARTAN = "tartan"
    DOTTED = "dotted"
    QUILTED = "quilted"
    ZIGZAG = "zigzag"
    CAMOUFLAGE = "camouflage"
    MARBLED = "marbled"
    SCALES = "scale-print"
    LEOPARD = "leopard-print"
    MOSAIC = "mosaic"
    OMBRE = "ombre"
    COLOUR_BLOCK = "colour-block"
    SUNBURST = "sunburst"
    RINGS = "ring-print"
    TILES = "tile-print"


def three_colours(dice: Dice) -> tuple[str, tuple[Colour, Colour, Colour]]:
    """The name of the main colour, and three clearly different colours, each slightly off its name."""
    names = list(PALETTE)
    main = dice.pick(names)
    chosen = [main]
    apart = 130
    while len(chosen) < 3:
        name = dice.pick(names)
        if all(sum(abs(a - b) for a, b in zip(PALETTE[name], PALETTE[c], strict=True)) > apart for c in chosen):
            chosen.append(name)
        apart -= 2
    shifted = [_off(PALETTE[name], dice) for name in chosen]
    return main, (shifted[0], shifted[1], shifted[2])


def noise(dice: Dice, cells: int, size: int) -> npt.NDArray[np.float32]:
    """Smooth noise of (size, size) float32 from 0 to 1, with about `cells` bumps along each side."""
    coarse = dice.rng.random((cells + 1, cells + 1), dtype=np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def surface(pattern: Pattern, colours: tuple[Colour, Colour, Colour], dice: Dice, side: int) -> Image.Image:
    """The pattern as an RGBA picture of (side, side)."""
    # Half the size: patterns are coarser than a pixel, and this is the costly part of a picture.
    size = (side + 1) // 2
    x = np.linspace(0, 1, size, endpoint=False, dtype=np.float32)[None, :]
    level = np.broadcast_to(_WEAVES[pattern](x, x.T, dice.between(4, 13), dice), (size, size))
    return Image.fromarray(_ramp(colours)[level]).resize((side, side), Image.Resampling.NEAREST)


def _off(colour: Colour, dice: Dice, by: int = 14) -> Colour:
    r, g, b = (min(255, max(0, channel + dice.whole(-by, by))) for channel in colour)
    return (r, g, b)


def _ramp(colours: tuple[Colour, Colour, Colour]) -> npt.NDArray[np.uint8]:
    """(256, 4), opaque RGBA: 0 is the first colour, 128 the second, 255 the third."""
    at = np.arange(256)
    channels = [np.interp(at, (0, 128, 255), channel) for channel in zip(*colours, strict=True)]
    return np.stack([*channels, np.full(256, 255.0)], axis=1).astype(np.uint8)


Grid = npt.NDArray[np.float32]


def _levels(values: Grid) -> Levels:
    return np.clip(values * 255, 0, 255).astype(np.uint8)


def _three(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> Levels:
    """0; 128 where `first`; 255 where `second`."""
    return np.where(second, 255, np.where(first, 128, 0)).astype(np.uint8)


def _plain(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    return np.zeros((1, 1), np.uint8)


def _grained(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    return _levels(0.35 * dice.rng.random((x.size, x.size), dtype=np.float32) * noise(dice, 40, x.size))


def _striped(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    along = x if dice.chance(0.5) else y
    phase = (along * scale * 0.8) % 1
    width = dice.between(0.25, 0.6)
    return _three(phase < width, (phase > width / 2 - 0.07) & (phase < width / 2 + 0.07))


def _pinstriped(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    return _three((x * scale * 1.6) % 1 < 0.2, (x * scale * 0.4) % 1 < 0.06)


def _diagonal(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    slope = dice.pick((-1.0, 1.0)) * dice.between(0.6, 1.4)
    phase = ((x + slope * y) * scale * 0.6) % 1
    return _three(phase < 0.45, (phase > 0.6) & (phase < 0.75))


def _checked(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    columns, rows = (x * scale) % 2 < 1, (y * scale) % 2 < 1
    return _three(columns != rows, (columns & rows) & dice.chance(0.5))


def _tartan(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    a, b = (x * scale * 0.55) % 1, (y * scale * 0.55) % 1
    bands = (a < 0.4).astype(np.float32) + (b < 0.4)
    lines = ((a > 0.66) & (a < 0.74)) | ((b > 0.66) & (b < 0.74))
    return np.where(lines, 255, bands * 64).astype(np.uint8)


def _dotted(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    row = np.floor(y * scale)
    u, v = (x * scale + 0.5 * (row % 2)) % 1 - 0.5, (y * scale) % 1 - 0.5
    radius = dice.between(0.2, 0.4)
    dot = u * u + v * v < radius * radius
    return _three(dot, dot & (row % 3 == 0))


def _quilted(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    u, v = ((x + y) * scale * 0.6) % 1, ((x - y) * scale * 0.6) % 1
    seam = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    return _levels(np.where(seam < 0.06, 0.5, 0.3 * (0.5 - seam)))


def _zigzag(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    phase = (y * scale * 0.8 + np.abs((x * scale * 0.8) % 1 - 0.5) * dice.between(0.8, 1.6)) % 1
    return _three(phase < 0.4, (phase > 0.55) & (phase < 0.72))


def _camouflage(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    one, two = noise(dice, int(scale), x.size), noise(dice, int(scale), x.size)
    return _three(one > 0.52, two > 0.62)


def _marbled(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    swirl = noise(dice, 5, x.size) * 2.2 + x * dice.between(-1, 1) + y * dice.between(-1, 1)
    return _levels(np.abs((swirl * scale * 0.28) % 2 - 1))


def _scales(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    row = np.floor(y * scale * 1.2)
    u, v = (x * scale + 0.5 * (row % 2)) % 1 - 0.5, (y * scale * 1.2) % 1
    reach = u * u * 4 + v * v
    return _three(reach > 0.8, reach < 0.14)


def _leopard(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    spots = noise(dice, int(scale * 1.8), x.size)
    return _three((spots > 0.62) & (spots < 0.76), spots >= 0.76)


def _mosaic(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    cells = int(scale)
    tiles = dice.rng.integers(0, 3, (cells, cells)).astype(np.uint8)
    i, j = (y * cells).astype(np.int64), (x * cells).astype(np.int64)
    return np.array([0, 128, 255], np.uint8)[tiles[np.minimum(i, cells - 1), np.minimum(j, cells - 1)]]


def _ombre(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    return _levels((y if dice.chance(0.6) else x) * 0.55 - 0.2)


def _colour_block(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    slope = dice.between(-0.8, 0.8)
    along = y + slope * (x - 0.5) if dice.chance(0.6) else x + slope * (y - 0.5)
    cut = dice.between(0.3, 0.5)
    return _three(along > cut, along > cut + dice.between(0.12, 0.3))


def _sunburst(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    angle = np.arctan2(y - dice.between(0.2, 1.1), x - dice.between(0.2, 0.8)) / (2 * np.pi)
    phase = (angle * dice.whole(8, 18)) % 1
    return _three(phase < 0.5, (phase > 0.2) & (phase < 0.3))


def _rings(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    radius = np.hypot(x - dice.between(0.2, 0.8), y - dice.between(0.2, 0.8))
    phase = (radius * scale) % 1
    return _three(phase < 0.45, (phase > 0.6) & (phase < 0.75))


def _tiles(x: Grid, y: Grid, scale: float, dice: Dice) -> Levels:
    u, v = np.abs((x * scale * 0.7) % 1 - 0.5), np.abs((y * scale * 0.7) % 1 - 0.5)
    diamond = u + v
    edge = dice.between(0.3, 0.45)
    return _three(diamond > edge, diamond < edge * 0.5)


_WEAVES: dict[Pattern, Callable[[Grid, Grid, float, Dice], Levels]] = {
    Pattern.PLAIN: _plain,
    Pattern.GRAINED: _grained,
    Pattern.STRIPED: _striped,
    Pattern.PINSTRIPED: _pinstriped,
    Pattern.DIAGONAL: _diagonal,
    Pattern.CHECKED: _checked,
    Pattern.TARTAN: _tartan,
    Pattern.DOTTED: _dotted,
    Pattern.QUILTED: _quilted,
    Pattern.ZIGZAG: _zigzag,
    Pattern.CAMOUFLAGE: _camouflage,
    Pattern.MARBLED: _marbled,
    Pattern.SCALES: _scales,
    Pattern.LEOPARD: _leopard,
    Pattern.MOSAIC: _mosaic,
    Pattern.OMBRE: _ombre,
    Pattern.COLOUR_BLOCK: _colour_block,
    Pattern.SUNBURST: _sunburst,
    Pattern.RINGS: _rings,
    Pattern.TILES: _tiles,
}
