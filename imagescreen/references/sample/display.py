"""How a product is offered: alone, before its carton, as a pair, on a display board, with a detail beside it."""

from PIL import Image

from imagescreen.references.sample.look import Look
from imagescreen.references.sample.sketch import BLACK, WHITE, Dice, Outline, Sketch, box, contrast, dark, oval, star


def set_up(s: Sketch, k: Look, other: Image.Image, dice: Dice) -> None:
    """What stands behind the product; `other` is the carton's surface, RGBA of the sketch's size."""
    match dice.pick(("alone", "alone", "alone", "carton", "carton", "board", "pouch")):
        case "carton":
            _carton(s, k, other, dice)
        case "board":
            shape = dice.pick(
                (oval(0.5, 0.5, 0.5, 0.5), box(0.0, 0.0, 1.0, 1.0), star(0.5, 0.5, 0.56, 0.46, dice.whole(6, 16)))
            )
            s.fill(shape, other)
            s.line([*shape, shape[0]], dice.between(0.01, 0.03), k.accent)
        case "pouch":
            x = dice.between(0.05, 0.4)
            pouch: Outline = [(x, 0.06), (x + 0.5, 0.02), (x + 0.58, 0.9), (x - 0.04, 0.94)]
            s.fill(pouch, other)
            s.round_off(pouch, 0.3)
            s.line([(x, 0.16), (x + 0.51, 0.12)], 0.02, k.accent)
        case _:
            pass


def arrange(s: Sketch, dice: Dice) -> Image.Image:
    """The drawing as it is offered: alone, twice, in another colourway, or with an enlarged detail; same size."""
    layer = s.layer
    match dice.pick(("alone", "alone", "alone", "pair", "colourways", "detail", "row")):
        case "pair":
            return _spread(s, layer, dice.pick((((0.0, 0.0), (0.36, 0.34)), ((0.36, 0.0), (0.0, 0.34)))), 0.66)
        case "colourways":
            r, g, b, a = layer.split()
            recoloured = Image.merge("RGBA", (*dice.pick(((g, b, r), (b, r, g), (g, r, b))), a))
            return _spread(s, recoloured, dice.pick((((0.0, 0.0), (0.34, 0.36)), ((0.34, 0.0), (0.0, 0.36)))), 0.66)
        case "row":
            flipped = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            return _spread(s, flipped, ((0.0, 0.2), (0.44, 0.24)), 0.56)
        case "detail":
            return _with_detail(s, dice)
        case _:
            return layer


def _spread(s: Sketch, behind: Image.Image, places: tuple[tuple[float, float], ...], share: float) -> Image.Image:
    """`behind` and the drawing, at `share` of their size, with their upper left corners at `places`."""
    size = round(s.side * share)
    offered = Sketch(s.side, s.ground).layer
    for picture, (x, y) in zip((behind, s.layer), places, strict=True):
        offered.alpha_composite(
            picture.resize((size, size), Image.Resampling.BILINEAR), (round(x * s.side), round(y * s.side))
        )
    return offered


def _carton(s: Sketch, k: Look, other: Image.Image, dice: Dice) -> None:
    x, y = dice.between(0.0, 0.4), dice.between(0.0, 0.3)
    wide, tall, depth = dice.between(0.45, 0.6), dice.between(0.5, 0.7), dice.between(0.05, 0.1)
    front = box(x, y + depth, min(1 - depth, x + wide), min(1.0, y + tall))
    right = front[1][0]
    s.fill(front, other)
    s.fill([(x, y + depth), (x + depth, y), (right + depth, y), (right, y + depth)], k.accent)
    s.fill(
        [(right, y + depth), (right + depth, y), (right + depth, front[2][1] - depth), front[2]], dark(k.second, 0.3)
    )
    band = y + depth + 0.08
    s.fill(box(x, band, right, band + 0.12), k.second)
    k.word.draw(s, (x + right) / 2, band + 0.06, (right - x) * 0.7, contrast(k.second))


def _with_detail(s: Sketch, dice: Dice) -> Image.Image:
    size = round(s.side * dice.between(0.34, 0.46))
    x, y = (round(s.side * dice.between(0.25, 0.5)) for _ in range(2))
    part = Sketch(size, WHITE)
    part.fill(box(0, 0, 1, 1), WHITE)
    enlarged = s.layer.crop((x, y, x + size // 2, y + size // 2)).resize((size, size), Image.Resampling.BILINEAR)
    part.layer.alpha_composite(enlarged)
    disc = Sketch(size, WHITE)
    disc.fill(oval(0.5, 0.5, 0.5, 0.5), part.layer)
    disc.line(oval(0.5, 0.5, 0.485, 0.485), 0.03, dice.pick((WHITE, BLACK, (214, 40, 44))))
    offered, far = s.layer.copy(), s.side - size
    offered.alpha_composite(disc.layer, dice.pick(((0, 0), (far, 0), (0, far), (far, far))))
    return offered
