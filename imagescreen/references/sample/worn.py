"""Drawings of what people wear and carry."""

from imagescreen.references.sample.look import Look
from imagescreen.references.sample.sketch import (
    BLACK,
    WHITE,
    Sketch,
    box,
    contrast,
    dark,
    light,
    mirrored,
    mix,
    oval,
    smooth,
    star,
)


def handbag(s: Sketch, k: Look) -> None:
    d = k.dice
    top, flare, metal = d.between(0.36, 0.48), d.between(0.0, 0.12), k.metal()
    rise = d.between(0.06, 0.2)
    for offset in (0.0, 0.05)[: d.whole(1, 2)]:
        s.line(
            oval(0.5, top + 0.02, d.between(0.16, 0.27), top - rise + offset, (180, 360)),
            0.03,
            dark(k.second, 0.15 + offset * 4),
        )
    body = smooth(mirrored([(0.5, top), (0.1 + flare, top), (0.06, 0.7), (0.1, 0.9), (0.5, 0.92)]), steps=4)
    s.fill(body, k.cloth)
    s.fade(body, 0.35)
    if d.chance(0.55):
        flap = smooth(
            mirrored([(0.5, top), (0.1 + flare, top), (0.1, top + 0.14), (0.5, top + d.between(0.2, 0.34))]), steps=4
        )
        s.fill(flap, d.pick((k.second, k.main)))
        s.line(flap, 0.006, dark(k.second))
    else:
        s.fill(box(0.09 + flare * 0.8, top - 0.02, 0.91 - flare * 0.8, top + 0.05, 0.02), k.second)
    for x in (0.27, 0.73):
        s.line(oval(x, top + 0.05, 0.03, 0.035), 0.014, metal)
    if d.chance(0.4):
        s.line([(0.1, 0.82), (0.9, 0.82)], d.between(0.02, 0.05), k.accent)
    k.emblem.draw(s, 0.5, d.between(0.62, 0.72), d.between(0.12, 0.24), metal if d.chance(0.5) else k.accent)
    if d.chance(0.5):
        tassel = d.pick((0.2, 0.8))
        s.line([(tassel, top + 0.06), (tassel + 0.01, top + 0.2)], 0.012, k.accent)
        s.fill(
            [
                (tassel - 0.02, top + 0.2),
                (tassel + 0.04, top + 0.2),
                (tassel + 0.06, top + 0.36),
                (tassel - 0.04, top + 0.36),
            ],
            k.accent,
        )


def backpack(s: Sketch, k: Look) -> None:
    d = k.dice
    s.line(oval(0.5, 0.12, 0.08, 0.08, (180, 360)), 0.03, dark(k.second))
    for x in (0.16, 0.84):
        s.fill(smooth([(x - 0.05, 0.4), (x + 0.05, 0.35), (x + 0.06, 0.85), (x - 0.06, 0.88)]), dark(k.second, 0.3))
    body = box(0.2, 0.1, 0.8, 0.95, d.between(0.08, 0.28))
    s.fill(body, k.cloth)
    s.round_off(body, 0.4)
    depth = d.between(0.5, 0.62)
    pocket = box(0.26, depth, 0.74, 0.9, d.between(0.02, 0.1))
    s.fill(pocket, k.second)
    s.fade(pocket, 0.3)
    s.line([(0.28, depth + 0.05), (0.72, depth + 0.05)], 0.012, k.accent)
    s.line(oval(0.5, 0.52, 0.27, 0.36, (190, 350)), 0.012, dark(k.main, 0.6))
    if d.chance(0.5):
        for x in (0.35, 0.65):
            s.fill(box(x - 0.025, 0.12, x + 0.025, depth + 0.2), k.accent)
            s.fill(box(x - 0.035, depth - 0.06, x + 0.035, depth, 0.01), k.metal())
    k.emblem.draw(s, 0.5, 0.34, d.between(0.14, 0.24), k.accent)
    k.word.draw(s, 0.5, 0.78, d.between(0.2, 0.36), contrast(k.second))


def sneaker(s: Sketch, k: Look) -> None:
    d = k.dice
    collar, toe, sole = d.between(0.22, 0.42), d.between(0.56, 0.64), d.between(0.05, 0.11)
    instep = [
        (0.06, collar),
        (0.24, collar + 0.03),
        (0.38, collar - 0.02),
        (0.52, 0.46),
        (0.72, toe - 0.06),
        (0.94, toe + 0.05),
    ]
    upper = smooth([*instep, (0.95, 0.74), (0.5, 0.75), (0.06, 0.75), (0.04, 0.58)])
    s.fill(upper, k.cloth)
    s.fade(upper, 0.3)
    heel = smooth([(0.06, collar), (0.17, collar + 0.05), (0.2, 0.6), (0.16, 0.75), (0.05, 0.75), (0.04, 0.55)])
    s.fill(heel, k.second)
    s.fill(
        smooth([(0.74, toe - 0.04), (0.95, toe + 0.04), (0.96, 0.75), (0.76, 0.75), (0.7, toe + 0.06)]),
        d.pick((k.second, k.accent, k.main)),
    )
    bottom = smooth(
        [(0.03, 0.73), (0.5, 0.74), (0.97, 0.73), (0.97, 0.73 + sole), (0.5, 0.75 + sole), (0.04, 0.75 + sole)], steps=4
    )
    s.fill(bottom, d.pick((WHITE, k.accent, (230, 222, 204), BLACK)))
    s.line([(0.04, 0.75 + sole * 0.55), (0.96, 0.75 + sole * 0.55)], d.between(0.008, 0.03), k.second)
    tongue = smooth([(0.3, collar - 0.1), (0.42, collar - 0.06), (0.56, 0.5), (0.46, 0.5)])
    s.fill(tongue, k.accent)
    laces = d.whole(4, 6)
    for n in range(laces):
        x, y = 0.41 + 0.26 * n / laces, collar + 0.06 + (toe - collar - 0.1) * n / laces
        s.line([(x - 0.05, y + 0.05), (x + 0.07, y - 0.01)], 0.018, contrast(k.main))
    k.emblem.draw(s, 0.42, 0.62, d.between(0.16, 0.26), k.accent, stretch=0.8)
    if d.chance(0.5):
        s.line(smooth([(0.2, 0.7), (0.4, 0.6), (0.62, 0.56)], closed=False), d.between(0.02, 0.05), k.second)


def boot(s: Sketch, k: Look) -> None:
    d = k.dice
    shaft, heel = d.between(0.04, 0.28), d.between(0.03, 0.1)
    shape = smooth(
        [(0.22, shaft), (0.56, shaft), (0.56, 0.5), (0.66, 0.6), (0.9, 0.7), (0.95, 0.84), (0.2, 0.84), (0.22, 0.5)],
        steps=5,
    )
    s.fill(shape, k.cloth)
    s.round_off(shape, 0.35)
    s.fill(box(0.2, shaft - 0.01, 0.58, shaft + d.between(0.05, 0.14), 0.02), k.second)
    s.fill(box(0.19, 0.83, 0.96, 0.88, 0.02), dark(k.accent))
    s.fill(box(0.19, 0.86, 0.42, 0.88 + heel), dark(k.accent, 0.5))
    if d.chance(0.6):
        for n in range(d.whole(4, 7)):
            y = shaft + 0.16 + 0.06 * n
            if y < 0.62:
                s.line([(0.42, y), (0.58, y - 0.03)], 0.016, k.accent)
    else:
        s.line([(0.22, 0.62), (0.62, 0.6)], 0.04, k.accent)
        s.line(box(0.36, 0.57, 0.45, 0.66), 0.014, k.metal())
    k.emblem.draw(s, 0.34, shaft + d.between(0.24, 0.34), d.between(0.1, 0.17), k.second)


def watch(s: Sketch, k: Look) -> None:
    d = k.dice
    metal, half = k.metal(), d.between(0.11, 0.19)
    strap = box(0.5 - half, 0.0, 0.5 + half, 1.0, 0.05)
    s.fill(strap, k.cloth if d.chance(0.7) else metal)
    if d.chance(0.45):
        for n in range(20):
            s.line([(0.5 - half, n / 20), (0.5 + half, n / 20)], 0.008, dark(metal, 0.5))
    s.round_off(strap, 0.45)
    wide, tall = d.between(0.25, 0.35), d.between(0.25, 0.35)
    square = d.chance(0.35)

    def case(grow: float) -> list[tuple[float, float]]:
        if square:
            return box(0.5 - wide * grow, 0.5 - tall * grow, 0.5 + wide * grow, 0.5 + tall * grow, 0.08 * grow)
        return oval(0.5, 0.5, wide * grow, wide * grow)

    face = d.pick((k.main, k.second, k.accent, WHITE, BLACK))
    s.fill(box(0.5 + wide * 0.95, 0.46, 0.5 + wide * 1.16, 0.54, 0.01), dark(metal, 0.3))
    s.fill(case(1.08), metal)
    s.fade(case(1.08), 0.4)
    s.fill(case(0.94), d.pick((k.second, dark(metal), k.accent)))
    s.fill(case(0.8), face)
    ink, reach = contrast(face), (min(wide, tall) if square else wide) * 0.74
    for n in range(0, 12, d.pick((1, 1, 3))):
        ray = star(0.5, 0.5, reach, reach * 0.82, 12)
        s.line([ray[2 * n], star(0.5, 0.5, reach * 0.84, 0.1, 12)[2 * n]], d.between(0.008, 0.022), ink)
    for x, y in ((-0.4, 0.1), (0.4, 0.1), (0.0, 0.42))[: d.pick((0, 0, 1, 2, 3))]:
        s.fill(oval(0.5 + x * wide, 0.5 + y * wide, wide * 0.22, wide * 0.22), mix(face, k.accent, 0.6))
        s.line([(0.5 + x * wide, 0.5 + y * wide), (0.5 + x * wide + 0.03, 0.5 + y * wide - 0.03)], 0.008, ink)
    hour, minute = (
        star(0.5, 0.5, reach * 0.55, 0.1, 30, turn=d.between(0, 360)),
        star(0.5, 0.5, reach * 0.85, 0.1, 30, turn=d.between(0, 360)),
    )
    s.line([(0.5, 0.5), hour[0]], 0.026, ink)
    s.line([(0.5, 0.5), minute[0]], 0.016, ink)
    k.emblem.draw(s, 0.5, 0.5 - reach * 0.45, 0.09, k.accent)


def sunglasses(s: Sketch, k: Look) -> None:
    d = k.dice
    wide, tall, rim = d.between(0.17, 0.22), d.between(0.12, 0.21), d.between(0.015, 0.05)
    lens = d.pick((k.second, k.accent, BLACK, (70, 52, 40), (60, 90, 110)))
    shape = d.whole(0, 4)
    s.line(smooth([(0.06, 0.42), (0.14, 0.2), (0.34, 0.12)], closed=False), 0.03, dark(k.main))
    s.line(smooth([(0.94, 0.42), (0.86, 0.2), (0.66, 0.12)], closed=False), 0.03, dark(k.main))
    for cx, side in ((0.27, -1), (0.73, 1)):

        def glass(grow: float, cx: float = cx, side: int = side) -> list[tuple[float, float]]:
            w, h = wide + grow, tall + grow
            match shape:
                case 0:
                    return oval(cx, 0.48, w, w)
                case 1:
                    return box(cx - w, 0.48 - h, cx + w, 0.48 + h, 0.05)
                case 2:
                    return smooth(
                        [
                            (cx - w, 0.48 - h * 0.8),
                            (cx + w, 0.48 - h * 0.8),
                            (cx + w * 0.7, 0.48 + h),
                            (cx - w * 0.7, 0.48 + h),
                        ]
                    )
                case 3:
                    return smooth(
                        [
                            (cx + side * w * 1.2, 0.48 - h * 1.3),
                            (cx + side * w * 0.7, 0.48 + h),
                            (cx - side * w, 0.48 + h * 0.5),
                            (cx - side * w, 0.48 - h * 0.6),
                        ]
                    )
                case _:
                    return star(cx, 0.48, w, w * 0.8, d.pick((3, 4)), turn=90)

        s.fill(glass(rim), k.cloth)
        s.fill(glass(0.0), lens)
        s.fade(glass(0.0), 0.5) if d.chance(0.5) else s.gleam(glass(-0.05), 0.3)
        s.fill(oval(cx + side * (wide + rim * 0.4), 0.4, 0.02, 0.02), k.metal())
    s.line(oval(0.5, 0.46, 0.08, 0.05, (180, 360)), 0.012 + rim * 0.6, k.main)
    case_top = d.between(0.74, 0.8)
    s.fill(box(0.12, case_top, 0.88, 0.97, d.between(0.02, 0.1)), k.second)
    s.round_off(box(0.12, case_top, 0.88, 0.97, 0.05), 0.4, upright=False)
    k.word.draw(s, 0.5, (case_top + 0.97) / 2, d.between(0.24, 0.5), contrast(k.second))


def cap(s: Sketch, k: Look) -> None:
    d = k.dice
    crown = smooth([(0.12, 0.62), (0.14, 0.36), (0.32, 0.2), (0.56, 0.18), (0.76, 0.3), (0.82, 0.62), (0.48, 0.66)])
    s.fill(crown, k.cloth)
    s.round_off(crown, 0.35)
    for x in (0.32, 0.62):
        s.line(smooth([(0.47, 0.19), (x, 0.36), (x + (x - 0.47) * 0.4, 0.63)], closed=False), 0.006, dark(k.main))
    s.fill(oval(0.47, 0.19, 0.03, 0.018), k.accent)
    reach = d.between(0.9, 0.98)
    brim = smooth(
        [(0.14, 0.6), (0.46, 0.64), (0.82, 0.58), (reach, 0.72), (0.7, 0.8), (0.4, d.between(0.72, 0.84)), (0.16, 0.7)]
    )
    s.fill(brim, d.pick((k.second, k.second, k.main)))
    s.fade(brim, 0.3)
    s.line(brim, d.between(0.006, 0.02), k.accent)
    if d.chance(0.5):
        k.emblem.draw(s, 0.47, 0.43, d.between(0.2, 0.3), k.accent)
    else:
        patch = d.pick(
            (oval(0.47, 0.43, 0.17, 0.14), box(0.28, 0.31, 0.66, 0.55, 0.03), star(0.47, 0.44, 0.18, 0.14, 8))
        )
        s.fill(patch, k.accent)
        k.word.draw(s, 0.47, 0.43, 0.26, contrast(k.accent))


def t_shirt(s: Sketch, k: Look) -> None:
    d = k.dice
    sleeve, hem, neck = d.between(0.3, 0.62), d.between(0.88, 0.97), d.between(0.05, 0.16)
    half = mirrored([(0.38, 0.06), (0.24, 0.1), (0.02, sleeve), (0.14, sleeve + 0.08), (0.24, 0.36), (0.22, hem)])
    s.fill(half, k.cloth if d.chance(0.5) else k.main)
    s.fade(half, 0.2)
    if d.chance(0.4):
        for flip in (False, True):
            arm = [(0.38, 0.06), (0.24, 0.1), (0.02, sleeve), (0.14, sleeve + 0.08), (0.25, 0.34)]
            s.fill([(1 - x, y) for x, y in arm] if flip else arm, k.second)
    s.fill(oval(0.5, 0.06, 0.12, neck), dark(k.main, 0.5))
    s.line(oval(0.5, 0.06, 0.125, neck, (0, 180)), 0.022, d.pick((k.second, k.accent)))
    match d.whole(0, 3):
        case 0:
            s.fill(oval(0.5, 0.5, 0.2, 0.2), k.accent)
            k.emblem.draw(s, 0.5, 0.5, 0.26, contrast(k.accent))
        case 1:
            k.emblem.draw(s, 0.5, 0.46, d.between(0.28, 0.38), k.accent)
            k.word.draw(s, 0.5, 0.74, 0.4, k.second)
        case 2:
            panel = box(0.3, 0.32, 0.7, 0.74)
            s.fill(panel, k.second)
            k.emblem.draw(s, 0.5, 0.48, 0.22, k.accent)
            k.word.draw(s, 0.5, 0.67, 0.34, contrast(k.second))
        case _:
            s.fill(box(0.23, 0.42, 0.77, 0.42 + d.between(0.08, 0.22)), k.second)
            k.word.draw(s, 0.5, 0.5, 0.44, k.accent)


def belt(s: Sketch, k: Look) -> None:
    d = k.dice
    metal, width, coils = k.metal(), d.between(0.09, 0.14), d.whole(2, 4)
    for n in range(coils):
        r = 0.42 - n * width * 0.72
        if r > 0.08:
            ring = oval(0.5, 0.42 + n * 0.02, r, r * d.between(0.8, 0.86))
            s.fill(ring, k.cloth if n % 2 == 0 else k.second)
            s.line(ring, 0.012, dark(k.main, 0.5))
    strap = box(0.04, 0.68, 0.96, 0.68 + width * 1.6, 0.02)
    s.fill(strap, k.cloth)
    s.fade(strap, 0.4)
    s.stitches([(0.06 + 0.022 * n, 0.70) for n in range(40)], light(k.main, 0.6))
    for n in range(5):
        s.fill(oval(0.7 + 0.05 * n, 0.68 + width * 0.8, 0.009, 0.009), BLACK)
    size = d.between(0.2, 0.3)
    middle = 0.68 + width * 0.8
    if d.chance(0.5):
        s.line(box(0.22, middle - size * 0.5, 0.22 + size, middle + size * 0.5, 0.03), d.between(0.03, 0.06), metal)
        s.line([(0.24, middle), (0.24 + size, middle)], 0.02, dark(metal, 0.2))
    else:
        plate = d.pick(
            (
                oval(0.34, middle, size * 0.7, size * 0.55),
                box(0.2, middle - size * 0.45, 0.5, middle + size * 0.45, 0.02),
            )
        )
        s.fill(plate, metal)
        s.fade(plate, 0.4)
        k.emblem.draw(s, 0.345, middle, size * 0.8, contrast(metal))


def wallet(s: Sketch, k: Look) -> None:
    d = k.dice
    tall = d.chance(0.35)
    x0, y0 = (0.2, 0.06) if tall else (0.05, d.between(0.18, 0.32))
    body = box(x0, y0, 1 - x0, 1 - y0, d.between(0.02, 0.08))
    s.fill(body, k.cloth)
    s.fade(body, 0.25)
    s.stitches([(x0 + 0.03 + (0.94 - 2 * x0) * n / 44, y0 + 0.035) for n in range(45)], light(k.main, 0.6))
    match d.whole(0, 3):
        case 0:
            s.fill(box(1 - x0 - 0.22, 0.42, 1 - x0, 0.58, 0.03), k.second)
            s.fill(oval(1 - x0 - 0.14, 0.5, 0.035, 0.035), k.metal())
        case 1:
            s.fill(box(x0, 0.56, 1 - x0, 1 - y0, 0.03), k.second)
        case 2:
            s.fill([(x0, y0), (1 - x0, y0), (0.5, 0.68)], k.second)
            s.fill(oval(0.5, 0.62, 0.035, 0.035), k.metal())
        case _:
            s.line([(x0, y0 + 0.03), (1 - x0, y0 + 0.03)], 0.03, k.metal())
            s.line([(1 - x0 - 0.06, y0 + 0.03), (1 - x0 - 0.03, y0 + 0.22)], 0.02, k.accent)
    k.emblem.draw(s, d.pick((0.35, 0.5)), d.between(0.4, 0.58), d.between(0.14, 0.26), k.accent)


def scarf(s: Sketch, k: Look) -> None:
    d = k.dice
    fall = d.between(0.8, 0.92)
    for x0, x1, low in ((0.14, 0.48, fall), (0.5, 0.84, fall - d.between(0.0, 0.18))):
        tail = [(x0 + 0.04, 0.3), (x1, 0.3), (x1 + 0.02, low), (x0, low)]
        s.fill(tail, k.cloth)
        s.round_off(tail, 0.35)
        band = d.between(0.05, 0.14)
        s.fill(
            [(x0, low - band - 0.05), (x1 + 0.02, low - band - 0.05), (x1 + 0.02, low - 0.05), (x0, low - 0.05)],
            k.second,
        )
        for n in range(12):
            x = x0 + (x1 - x0) * (n + 0.5) / 12
            s.line([(x, low), (x, low + 0.07)], 0.01, k.accent)
    loop = smooth([(0.1, 0.24), (0.3, 0.08), (0.7, 0.08), (0.9, 0.24), (0.74, 0.46), (0.5, 0.54), (0.26, 0.46)])
    s.fill(loop, k.cloth)
    s.fade(loop, 0.4)
    s.fill(smooth([(0.3, 0.22), (0.5, 0.17), (0.7, 0.22), (0.5, 0.31)]), dark(k.main, 0.65))
    k.emblem.draw(s, 0.31, 0.62, d.between(0.14, 0.22), k.accent)


def necklace(s: Sketch, k: Look) -> None:
    d = k.dice
    metal = k.metal()
    card = box(0.08, 0.02, 0.92, 0.98, d.between(0.0, 0.1))
    s.fill(card, k.cloth)
    s.fill(box(0.3, 0.05, 0.7, 0.14), k.second)
    k.word.draw(s, 0.5, 0.095, 0.3, contrast(k.second))
    depth = d.between(0.56, 0.68)
    chain = oval(0.5, 0.2, d.between(0.26, 0.36), depth - 0.2, (0, 180), steps=d.whole(12, 26))
    if d.chance(0.5):
        for n, (x, y) in enumerate(chain):
            s.fill(oval(x, y, 0.025, 0.025, steps=10), (metal, k.accent)[n % d.pick((2, 3)) == 0])
    else:
        s.line(chain, d.between(0.012, 0.03), metal)
    size = d.between(0.09, 0.15)
    pendant = d.pick(
        (
            oval(0.5, depth + size, size, size),
            star(0.5, depth + size, size * 1.1, size * 0.5, d.whole(4, 7)),
            smooth(
                [
                    (0.5, depth),
                    (0.5 + size, depth + size * 1.3),
                    (0.5, depth + size * 1.8),
                    (0.5 - size, depth + size * 1.3),
                ]
            ),
            [(0.5, depth), (0.5 + size, depth + size), (0.5, depth + 2 * size), (0.5 - size, depth + size)],
        )
    )
    s.fill(pendant, metal)
    s.line(pendant, 0.012, dark(metal))
    s.fill([(0.5 + (x - 0.5) * 0.66, depth + size + (y - depth - size) * 0.66) for x, y in pendant], k.accent)
    k.emblem.draw(s, 0.5, depth + size, size, k.second)
