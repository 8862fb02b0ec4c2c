"""Backgrounds of product pictures, as studios and sellers at home have them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from imagescreen.references.sample.sketch import WHITE, Colour, Dice, mix
from imagescreen.references.sample.surfaces import PALETTE, Pattern, noise, surface, three_colours

Size = tuple[int, int]


def backdrop(size: Size, dice: Dice) -> Image.Image:
    """An RGB picture of `size` (width, height) without any goods."""
    colour = PALETTE[dice.pick(list(PALETTE))]
    return dice.pick(_BACKDROPS)(size, colour, dice)


def _white(size: Size, colour: Colour, dice: Dice) -> Image.Image:
    level = dice.whole(243, 255)
    return Image.new("RGB", size, (level, level, level))


def _sweep(size: Size, colour: Colour, dice: Dice) -> Image.Image:
    top, bottom = dice.whole(130, 235), dice.whole(185, 250)
    return _gradient(size, (top, top, top + 4), (bottom, bottom, bottom))


def _paper(size: Size, colour: Colour, dice: Dice) -> Image.Image:
    return _gradient(size, mix(colour, WHITE, dice.between(0.25, 0.7)), mix(colour, WHITE, 0.5))


def _table(size: Size, colour: Colour, dice: Dice) -> Image.Image:
    picture = Image.new("RGB", size, mix(colour, (235, 232, 226), 0.7))
    edge = int(size[1] * dice.between(0.5, 0.75))
    picture.paste(mix(colour, (120, 100, 84), dice.between(0.3, 0.7)), (0, edge, *size))
    return picture


def _corner(size: Size, colour: Colour, dice: Dice) -> Image.Image:
    width, height = size
    picture = Image.new("RGB", size, mix(colour, (240, 240, 240), 0.4))
    draw = ImageDraw.Draw(picture)
    x, y = width * dice.between(0.1, 0.9), height * dice.between(0.3, 0.7)
    floor, wall = mix(colour, (90, 80, 76), 0.6), mix(colour, (170, 170, 176), 0.6)
    draw.polygon([(0, height), (0, y * 1.2), (x, y), (width, y * 1.1), size], fill=floor)
    draw.polygon([(x, 0), (x, y), (width, y * 1.1), (width, 0)], fill=wall)
    return picture


def _cloth(size: Size, colour: Colour, dice: Dice) -> Image.Image:
    first, second, third = (mix(c, (236, 232, 226), dice.between(0.3, 0.7)) for c in three_colours(dice)[1])
    half = (size[0] // 2, size[1] // 2)
    cloth = surface(dice.pick(list(Pattern)), (first, second, third), dice.fork(), max(half)).convert("RGB")
    return cloth.crop((0, 0, *half)).resize(size, Image.Resampling.BILINEAR)


def _slats(size: Size, colour: Colour, dice: Dice) -> Image.Image:
    tones = np.repeat(dice.rng.uniform(0.6, 1.0, dice.whole(8, 26)), 3)
    bright = tones[None, :] * np.array([[1.0], [0.85]])
    return _shaded(size, mix(colour, (220, 214, 206), 0.5), bright if dice.chance(0.5) else bright.T)


def _stone(size: Size, colour: Colour, dice: Dice) -> Image.Image:
    veins = np.abs(noise(dice, 4, 64) * 6 % 2 - 1) ** 0.5
    return _shaded(size, dice.pick(((236, 234, 232), (92, 96, 104), (206, 190, 172))), 0.7 + 0.3 * veins)


def _wood(size: Size, colour: Colour, dice: Dice) -> Image.Image:
    planks, rows, columns = dice.whole(3, 6), 60, 24
    stain = dice.pick(((196, 150, 102), (140, 96, 62), (222, 196, 160), (96, 74, 62), (170, 168, 164)))
    y = np.arange(rows)
    tone = dice.rng.uniform(0.75, 1.0, planks)[y * planks // rows]
    gap = np.where((y * planks) % rows < planks, 0.55, 1.0)
    lines = dice.rng.uniform(0.85, 1.0, rows)
    bright = (0.75 + 0.25 * noise(dice, 6, rows)[:, :columns]) * (tone * gap * lines)[:, None]
    return _shaded(size, stain, bright.T if dice.chance(0.5) else bright)


# White most often, as in listings; blurred or very dark ones are left out, because a compact model tells them apart
# badly after an edit.
_BACKDROPS: tuple[Callable[[Size, Colour, Dice], Image.Image], ...] = (
    *(_white, _white, _white, _sweep, _sweep, _paper, _table, _corner),
    *(_cloth, _cloth, _slats, _slats, _stone, _wood, _wood),
)


def _gradient(size: Size, top: Colour, bottom: Colour) -> Image.Image:
    return Image.fromarray(np.array([[top], [bottom]], np.uint8)).resize(size, Image.Resampling.BILINEAR)


def _shaded(size: Size, colour: Colour, brightness: npt.NDArray[np.floating]) -> Image.Image:
    """`colour` times `brightness`, (rows, columns) from 0 to 1, stretched over the picture."""
    pixels = (np.clip(brightness, 0, 1)[..., None] * np.array(colour)).astype(np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
