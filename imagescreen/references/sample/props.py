"""What lies around the goods in a seller's picture, and what a seller lays over it."""

from collections.abc import Callable
from math import cos, pi, sin

from PIL import Image, ImageDraw

from imagescreen.references.sample.sketch import WHITE, Colour, Dice, contrast, mix, smooth, star
from imagescreen.references.sample.surfaces import PALETTE

Draw = ImageDraw.ImageDraw


def scatter(picture: Image.Image, dice: Dice) -> None:
    """A stylist's props, drawn into the RGB `picture`, mostly near its edges."""
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    colour, prop, reach = PALETTE[dice.pick(list(PALETTE))], dice.pick(_PROPS), dice.between(0.08, 0.26)
    for _ in range(dice.whole(3, 11)):
        angle, far = dice.between(0, 2 * pi), dice.between(0.3, 0.52)
        x, y = width * (0.5 + far * cos(angle)), height * (0.5 + far * sin(angle))
        r = width * reach * dice.between(0.7, 1.2)
        prop(draw, x, y, (r * cos(angle * 3), r * sin(angle * 3)), mix(colour, (30, 26, 30), dice.between(0.0, 0.45)))


def decorate(picture: Image.Image, dice: Dice) -> None:
    """A banner, a badge or a band in a strong colour, on three pictures of seven."""
    width, height = picture.size
    colour = PALETTE[dice.pick(list(PALETTE))]
    draw = ImageDraw.Draw(picture)
    match dice.pick(("none", "none", "none", "none", "banner", "badge", "band")):
        case "banner":
            top = dice.between(0.8, 0.88) * height
            draw.rectangle((0, top, width, height), fill=colour)
            for n in range(dice.whole(3, 7)):
                x = width * (0.06 + 0.13 * n)
                draw.rectangle((x, top + 0.05 * height, x + 0.1 * width, top + 0.08 * height), fill=contrast(colour))
        case "badge":
            x, y, r = width * dice.pick((0.14, 0.86)), height * dice.pick((0.12, 0.88)), width * dice.between(0.1, 0.16)
            draw.polygon(star(x, y, r, r * 0.8, dice.whole(8, 18)), fill=colour)
            draw.rectangle((x - r * 0.5, y - r * 0.12, x + r * 0.5, y + r * 0.16), fill=contrast(colour))
        case "band":
            wide = dice.between(0.12, 0.22) * width
            left = dice.pick((0.0, width - wide))
            draw.rectangle((left, 0, left + wide, height), fill=colour)
        case _:
            pass


# Each prop is drawn around (x, y); `arm` points where it lies, as long as its radius.
Arm = tuple[float, float]


def _radius(arm: Arm) -> float:
    return float((arm[0] ** 2 + arm[1] ** 2) ** 0.5)


def _leaf(draw: Draw, x: float, y: float, arm: Arm, tone: Colour) -> None:
    c, s = arm
    leaf = [(x - c, y - s), (x - s * 0.3, y + c * 0.3), (x + c, y + s), (x + s * 0.3, y - c * 0.3)]
    draw.polygon(smooth(leaf), fill=tone)
    draw.line([leaf[0], leaf[2]], fill=mix(tone, WHITE, 0.4), width=2)


def _pebble(draw: Draw, x: float, y: float, arm: Arm, tone: Colour) -> None:
    r = _radius(arm)
    draw.ellipse((x - r * 0.6, y - r * 0.4, x + r * 0.6, y + r * 0.4), fill=tone)
    draw.ellipse((x - r * 0.4, y - r * 0.32, x + r * 0.2, y), fill=mix(tone, WHITE, 0.25))


def _cube(draw: Draw, x: float, y: float, arm: Arm, tone: Colour) -> None:
    r = _radius(arm) / 2
    draw.rectangle((x - r, y - r, x + r, y + r * 1.2), fill=tone)
    lid = [(x - r, y - r), (x - r * 0.4, y - r * 1.6), (x + r * 1.6, y - r * 1.6), (x + r, y - r)]
    draw.polygon(lid, fill=mix(tone, WHITE, 0.4))


def _stick(draw: Draw, x: float, y: float, arm: Arm, tone: Colour) -> None:
    c, s = arm
    ends = [(x - c * 1.6, y - s * 1.6), (x + c * 1.6, y + s * 1.6)]
    draw.line(ends, fill=tone, width=max(2, round(_radius(arm) * 0.2)))


def _blossom(draw: Draw, x: float, y: float, arm: Arm, tone: Colour) -> None:
    r = _radius(arm)
    draw.polygon(star(x, y, r * 0.7, r * 0.34, 6), fill=tone)
    draw.ellipse((x - r * 0.2, y - r * 0.2, x + r * 0.2, y + r * 0.2), fill=contrast(tone))


def _sheet(draw: Draw, x: float, y: float, arm: Arm, tone: Colour) -> None:
    c, s = arm
    draw.polygon([(x - c, y - s), (x - s, y + c), (x + c, y + s), (x + s, y - c)], fill=tone)


def _ring(draw: Draw, x: float, y: float, arm: Arm, tone: Colour) -> None:
    r = _radius(arm) * 0.6
    draw.ellipse((x - r, y - r, x + r, y + r), outline=tone, width=max(2, round(r * 0.4)))


_PROPS: tuple[Callable[[Draw, float, float, Arm, Colour], None], ...] = (
    *(_leaf, _pebble, _cube, _stick, _blossom, _sheet, _ring),
)
