"""Drawings of electronics, toys, medicines, cosmetics and household goods, and of pictures that show no goods."""

from imagescreen.references.sample.look import Look
from imagescreen.references.sample.sketch import (
    BLACK,
    STEEL,
    WHITE,
    Colour,
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


def perfume(s: Sketch, k: Look) -> None:
    d = k.dice
    glass, metal = mix(k.main, WHITE, d.between(0.1, 0.5)), k.metal()
    shoulder, wide = d.between(0.32, 0.44), d.between(0.2, 0.36)
    low = 0.95
    bottle = d.pick(
        (
            box(0.5 - wide, shoulder, 0.5 + wide, low, d.between(0.02, 0.12)),
            smooth(
                mirrored(
                    [
                        (0.44, shoulder - 0.02),
                        (0.5 - wide * 0.7, shoulder + 0.08),
                        (0.5 - wide, 0.75),
                        (0.5 - wide * 0.6, low),
                    ]
                )
            ),
            oval(0.5, (shoulder + low) / 2, wide * 1.1, (low - shoulder) / 2),
            mirrored(
                [
                    (0.5 - wide * 0.6, shoulder),
                    (0.5 - wide, shoulder + 0.16),
                    (0.5 - wide, 0.8),
                    (0.5 - wide * 0.6, low),
                ]
            ),
            mirrored([(0.42, shoulder), (0.5 - wide * 1.15, low)]),
        )
    )
    s.fill(box(0.44, shoulder - 0.1, 0.56, shoulder + 0.03), metal)
    head = d.between(0.09, 0.17)
    top = d.pick(
        (
            box(0.5 - head, 0.06, 0.5 + head, shoulder - 0.06, 0.02),
            oval(0.5, 0.18, head, 0.13),
            star(0.5, 0.17, 0.16, 0.09, 6),
        )
    )
    s.fill(top, d.pick((k.second, metal, k.accent)))
    s.round_off(top, 0.4)
    s.fill(bottle, k.cloth if d.chance(0.45) else glass)
    s.round_off(bottle, 0.35)
    s.gleam(box(0.5 - wide * 0.75, shoulder + 0.1, 0.5 - wide * 0.6, 0.85), 0.45)
    y = d.between(0.6, 0.72)
    label = d.pick((box(0.5 - wide * 0.66, y - 0.12, 0.5 + wide * 0.66, y + 0.14), oval(0.5, y, wide * 0.62, 0.14)))
    paper = d.pick((WHITE, k.second, k.accent, BLACK))
    s.fill(label, paper)
    k.emblem.draw(s, 0.5, y - 0.03, 0.13, k.accent if paper != k.accent else k.second)
    k.word.draw(s, 0.5, y + 0.08, wide, contrast(paper))


def pill_blister(s: Sketch, k: Look) -> None:
    d = k.dice
    foil = d.pick((STEEL, (214, 190, 130), light(k.second, 0.6), dark(k.second, 0.1), k.main))
    # Where the carton and the foil lie: above, beside, below, or the foil over the middle of the carton.
    layouts = (
        ((0.03, 0.05, 0.97, 0.42), (0.12, 0.36, 0.88, 0.98)),
        ((0.0, 0.1, 0.46, 0.9), (0.42, 0.02, 0.98, 0.98)),
        ((0.04, 0.6, 0.96, 0.96), (0.04, 0.06, 0.96, 0.64)),
        ((0.12, 0.0, 0.88, 1.0), (0.0, 0.34, 1.0, 0.66)),
        ((0.0, 0.0, 1.0, 1.0), (0.3, 0.24, 0.94, 0.94)),
    )
    (x0, y0, x1, y1), (left, top, right, low) = d.pick(layouts)
    s.fill(box(x0, y0, x1, y1, 0.01), k.cloth)
    band = y0 + (y1 - y0) * d.between(0.04, 0.14)
    s.fill(box(x0, band, x1, band + 0.12), k.second)
    k.word.draw(s, x0 + (x1 - x0) * 0.4, band + 0.06, (x1 - x0) * 0.5, contrast(k.second))
    k.emblem.draw(s, x0 + (x1 - x0) * 0.84, band + 0.07, 0.16, k.accent)
    s.fill(box(left, top, right, low, d.between(0.02, 0.14)), foil)
    s.fade(box(left, top, right, low, 0.04), 0.25)
    shell, half = d.pick((k.main, k.accent, WHITE, k.second)), d.chance(0.5)
    columns, rows = max(2, round((right - left) * d.between(3, 9))), max(2, round((low - top) * d.between(3, 9)))
    wide, high = (right - left - 0.06) / columns, (low - top - 0.06) / rows
    rx, ry, lean = wide * d.between(0.24, 0.42), high * d.between(0.24, 0.42), d.pick((0.0, 0.0, 0.5, -0.5))
    for i in range(columns):
        for j in range(rows):
            cx, cy = left + 0.03 + wide * (i + 0.5), top + 0.03 + high * (j + 0.5)
            pill = [(x + lean * (y - cy), y) for x, y in oval(cx, cy, rx, ry, steps=16)]
            s.fill([(x + 0.008, y + 0.01) for x, y in pill], dark(foil, 0.3))
            s.fill(pill, shell)
            if half:
                s.fill(pill[4:13], k.accent if shell != k.accent else WHITE)


def pill_bottle(s: Sketch, k: Look) -> None:
    d = k.dice
    wide, top = d.between(0.24, 0.34), d.between(0.24, 0.34)
    lid = box(0.5 - wide * d.between(0.7, 1.0), 0.05, 0.5 + wide * 0.85, top, 0.03)
    s.fill(lid, d.pick((WHITE, k.second, k.accent)))
    for n in range(9):
        x = 0.5 - wide * 0.66 + wide * 1.4 * n / 8
        s.line([(x, 0.08), (x, top - 0.02)], 0.006, (150, 150, 156))
    s.round_off(lid, 0.35)
    body = box(0.5 - wide, top + 0.01, 0.5 + wide, 0.96, d.between(0.03, 0.12))
    s.fill(body, d.pick((WHITE, k.main, (206, 110, 30), light(k.main, 0.5))))
    low = d.between(0.82, 0.9)
    s.fill(box(0.5 - wide, top + 0.12, 0.5 + wide, low), k.cloth)
    s.fill(box(0.5 - wide, low - 0.16, 0.5 + wide, low - 0.03), k.second)
    k.word.draw(s, 0.5, low - 0.095, wide * 1.5, contrast(k.second))
    s.fill(
        d.pick((oval(0.5, 0.52, 0.14, 0.13), box(0.35, 0.42, 0.65, 0.62, 0.02), star(0.5, 0.52, 0.15, 0.11, 10))),
        k.accent,
    )
    k.emblem.draw(s, 0.5, 0.52, 0.15, contrast(k.accent))
    s.round_off(body, 0.45)
    for n in range(d.whole(0, 4)):
        s.fill(oval(0.1 + 0.13 * n + 0.3 * (n > 1), 0.95, 0.05, 0.028, steps=14), (k.accent, k.second)[n % 2])


def plush_toy(s: Sketch, k: Look) -> None:
    d = k.dice
    belly = d.pick((k.second, light(k.main, 0.6)))
    for x in (0.3, 0.7):
        s.fill(oval(x, 0.9, 0.12, 0.08), k.second)
        s.fill(smooth([(x, 0.55), (x + (x - 0.5) * 1.3, 0.6), (x + (x - 0.5) * 1.4, 0.74), (x, 0.7)]), k.cloth)
    ear, tilt = d.whole(0, 3), d.between(0.2, 0.3)
    for x in (0.5 - tilt, 0.5 + tilt):
        outline = (
            oval(x, 0.14, 0.11, 0.11),
            oval(0.5 + (x - 0.5) * 0.7, 0.1, 0.06, 0.16),
            [(x - 0.1, 0.26), (x + (x - 0.5) * 0.2, 0.0), (x + 0.1, 0.24)],
            oval(0.5 + (x - 0.5) * 1.35, 0.3, 0.1, 0.14),
        )[ear]
        s.fill(outline, k.cloth)
        s.line(outline, 0.012, k.accent)
    body = oval(0.5, 0.7, d.between(0.22, 0.3), 0.24)
    s.fill(body, k.cloth)
    s.round_off(body, 0.35)
    s.fill(oval(0.5, 0.74, 0.15, 0.15), belly)
    k.emblem.draw(s, 0.5, 0.74, d.between(0.13, 0.2), k.accent)
    head = oval(0.5, 0.32, d.between(0.25, 0.31), 0.22)
    s.fill(head, k.cloth if d.chance(0.7) else k.main)
    s.fade(head, 0.2)
    snout = oval(0.5, 0.4, d.between(0.09, 0.16), d.between(0.06, 0.09))
    s.fill(snout, belly)
    s.fill(oval(0.5, 0.37, 0.035, 0.024), BLACK)
    apart, eye = d.between(0.09, 0.14), d.between(0.025, 0.05)
    for x in (0.5 - apart, 0.5 + apart):
        s.fill(oval(x, 0.28, eye * 1.3, eye * 1.3), WHITE)
        s.fill(oval(x, 0.28, eye * 0.8, eye * 0.8), BLACK)
    match d.whole(0, 3):
        case 0:
            s.fill([(0.5, 0.53), (0.36, 0.47), (0.36, 0.6)], k.accent)
            s.fill([(0.5, 0.53), (0.64, 0.47), (0.64, 0.6)], k.accent)
        case 1:
            s.fill(box(0.32, 0.5, 0.68, 0.56, 0.02), k.accent)
        case 2:
            s.fill([(0.36, 0.14), (0.64, 0.14), (0.5, -0.02)], k.accent)


def toy_car(s: Sketch, k: Look) -> None:
    d = k.dice
    roof, front, back = d.between(0.2, 0.34), d.between(0.64, 0.78), d.between(0.12, 0.26)
    cabin = smooth([(back, 0.52), (back + 0.08, roof), (front - 0.14, roof), (front + 0.06, 0.52)], steps=4)
    s.fill(cabin, k.second)
    s.fill([(back + 0.07, 0.5), (back + 0.12, roof + 0.06), (0.42, roof + 0.06), (0.42, 0.5)], (170, 214, 236))
    s.fill([(0.46, 0.5), (0.46, roof + 0.06), (front - 0.16, roof + 0.06), (front - 0.04, 0.5)], (170, 214, 236))
    body = smooth(
        [(0.03, 0.54), (0.2, 0.48), (0.7, 0.48), (0.96, d.between(0.54, 0.6)), (0.97, 0.76), (0.03, 0.76)], steps=5
    )
    s.fill(body, k.cloth)
    s.fade(body, 0.3)
    s.line([(0.04, 0.66), (0.96, 0.66)], d.between(0.01, 0.05), k.accent)
    radius = d.between(0.1, 0.15)
    for x in (0.24, 0.76):
        s.fill(oval(x, 0.78, radius, radius), BLACK)
        s.fill(oval(x, 0.78, radius * 0.6, radius * 0.6), k.accent)
        s.fill(star(x, 0.78, radius * 0.55, radius * 0.2, d.pick((4, 5, 6, 8))), k.metal())
    s.fill(oval(0.93, 0.6, 0.025, 0.035), (255, 240, 170))
    s.fill(oval(0.5, 0.62, 0.1, 0.1), d.pick((WHITE, k.second)))
    k.emblem.draw(s, 0.5, 0.62, 0.14, k.accent)
    if d.chance(0.5):
        s.fill(box(0.02, 0.4, 0.16, 0.45), k.second)
    if d.chance(0.4):
        s.fill(box(0.38, roof - 0.07, 0.52, roof + 0.01, 0.02), k.accent)


def headphones(s: Sketch, k: Look) -> None:
    d = k.dice
    arch, thick = d.between(0.28, 0.36), d.between(0.05, 0.1)
    s.line(oval(0.5, 0.46, arch + 0.02, 0.38, (175, 365)), thick, k.main)
    s.line(oval(0.5, 0.46, arch - 0.03, 0.33, (190, 350)), thick * 0.6, k.second)
    wide, tall = d.between(0.12, 0.18), d.between(0.18, 0.25)
    round_cup = d.chance(0.5)
    for side in (-1, 1):
        cx = 0.5 + side * (arch + 0.02)
        s.fill(box(cx - 0.03, 0.36, cx + 0.03, 0.6, 0.01), k.metal())
        pad = 0.06 * side
        outer = oval(cx, 0.66, wide, tall) if round_cup else box(cx - wide, 0.66 - tall, cx + wide, 0.66 + tall, 0.08)
        s.fill([(x - pad, y) for x, y in outer], dark(k.second, 0.4))
        s.fill(outer, k.cloth)
        s.round_off(outer, 0.35)
        s.fill(oval(cx, 0.66, wide * 0.62, wide * 0.62), k.accent)
        k.emblem.draw(s, cx, 0.66, wide * 0.9, contrast(k.accent))
    if d.chance(0.4):
        s.line(smooth([(0.2, 0.86), (0.3, 0.97), (0.5, 0.9), (0.6, 0.98)], closed=False), 0.012, k.accent)
    if d.chance(0.3):
        s.line(smooth([(0.18, 0.78), (0.34, 0.9), (0.44, 0.86)], closed=False), 0.025, k.second)


def phone_case(s: Sketch, k: Look) -> None:
    d = k.dice
    wide = d.between(0.24, 0.3)
    body = box(0.5 - wide, 0.02, 0.5 + wide, 0.98, d.between(0.05, 0.1))
    s.fill(body, k.cloth)
    s.fade(body, 0.2, upright=True)
    s.line([*body, body[0]], d.between(0.012, 0.04), k.second)
    x, y = 0.5 - wide + 0.05, 0.06
    camera = d.pick(
        (box(x, y, x + 0.2, y + 0.2, 0.05), box(x, y, x + 0.12, y + 0.26, 0.05), box(x, y, 0.45 + wide, y + 0.13, 0.05))
    )
    s.fill(camera, BLACK)
    for n in range(d.whole(1, 3)):
        s.fill(oval(x + 0.06 + 0.06 * (n == 2), y + 0.06 + 0.07 * n, 0.035, 0.035), (70, 76, 92))
    match d.whole(0, 3):
        case 0:
            k.emblem.draw(s, 0.5, 0.6, d.between(0.28, 0.42), k.accent)
        case 1:
            s.fill(oval(0.5, 0.6, 0.2, 0.2), k.accent)
            k.emblem.draw(s, 0.5, 0.6, 0.24, contrast(k.accent))
        case 2:
            s.fill(box(0.5 - wide, 0.5, 0.5 + wide, 0.72), k.second)
            k.word.draw(s, 0.5, 0.61, wide * 1.6, k.accent)
        case _:
            s.line(oval(0.5, 0.62, 0.14, 0.14), 0.03, k.accent)
            k.word.draw(s, 0.5, 0.86, 0.26, k.second)


def mug(s: Sketch, k: Look) -> None:
    d = k.dice
    top, low, taper = d.between(0.12, 0.26), d.between(0.84, 0.94), d.between(-0.04, 0.1)
    grip = d.between(0.13, 0.2)
    s.line(
        oval(0.74, (top + low) / 2, grip, grip * d.between(1.0, 1.5)),
        d.between(0.04, 0.07),
        d.pick((k.second, k.main, k.accent)),
    )
    body = smooth([(0.12, top), (0.74, top)], closed=False, steps=2)
    body += [(0.74 - taper, low), *oval(0.43, low, 0.31 - taper, 0.05, (0, 180), steps=10), (0.12 + taper, low)]
    s.fill(body, k.cloth)
    print_at = (top + low) / 2 + 0.03
    if d.chance(0.7):
        s.fill(
            d.pick((oval(0.43, print_at, 0.2, 0.2), box(0.24, print_at - 0.18, 0.62, print_at + 0.18, 0.03))), k.second
        )
    k.emblem.draw(s, 0.43, print_at - 0.03, d.between(0.2, 0.28), k.accent)
    if d.chance(0.5):
        k.word.draw(s, 0.43, print_at + 0.14, 0.26, contrast(k.second))
    s.round_off(body, 0.45)
    s.fill(oval(0.43, top, 0.31, 0.06), light(k.main, 0.5))
    s.fill(oval(0.43, top + 0.012, 0.28, 0.045), d.pick((WHITE, k.accent, (84, 52, 34))))


def power_bank(s: Sketch, k: Look) -> None:
    d = k.dice
    upright = d.chance(0.6)
    x0, y0 = (d.between(0.2, 0.28), 0.04) if upright else (0.04, d.between(0.2, 0.28))
    body = box(x0, y0, 1 - x0, 1 - y0, d.between(0.02, 0.16))
    s.fill(body, k.cloth)
    s.fade(body, 0.35, upright=True)
    strip = box(x0, y0, 1 - x0, y0 + d.between(0.1, 0.2), 0.03)
    s.fill(strip, k.second)
    for n in range(d.whole(1, 3)):
        s.fill(box(x0 + 0.08 + 0.16 * n, y0 + 0.03, x0 + 0.19 + 0.16 * n, y0 + 0.08, 0.01), BLACK)
    if d.chance(0.5):
        s.fill(box(0.34, 0.32, 0.66, 0.46, 0.02), BLACK)
        k.word.draw(s, 0.5, 0.39, 0.24, (90, 230, 240))
    else:
        for n in range(4):
            s.fill(oval(0.38 + 0.08 * n, 0.36, 0.02, 0.02), (90, 220, 120) if n < 3 else (60, 70, 60))
    k.emblem.draw(s, 0.5, d.between(0.56, 0.68), d.between(0.16, 0.28), k.accent)
    k.word.draw(s, 0.5, 1 - y0 - 0.08, 0.3, k.accent)


def cable(s: Sketch, k: Look) -> None:
    d = k.dice
    card = box(0.1, 0.02, 0.9, 0.98, 0.03)
    s.fill(card, k.cloth)
    s.fill(box(0.1, 0.02, 0.9, 0.24, 0.03), k.second)
    k.word.draw(s, 0.46, 0.14, 0.46, contrast(k.second))
    s.hole(oval(0.5, 0.055, 0.06, 0.02))
    wire, width = d.pick((WHITE, BLACK, k.accent)), d.between(0.022, 0.04)
    turns = d.whole(2, 5)
    for n in range(turns):
        r = 0.28 - 0.04 * n
        s.line(oval(0.5, 0.56, r, r * d.between(0.72, 0.9)), width, mix(wire, (128, 128, 128), 0.12 * n))
    for x in (0.36, 0.64):
        s.line([(x, 0.74), (x, 0.84)], width, wire)
        s.fill(box(x - 0.05, 0.8, x + 0.05, 0.9, 0.015), wire)
        s.fill(box(x - 0.03, 0.9, x + 0.03, 0.96), STEEL)
    s.fill(oval(0.5, 0.56, 0.1, 0.1), k.second)
    k.emblem.draw(s, 0.5, 0.56, 0.14, k.accent)


def controller(s: Sketch, k: Look) -> None:
    d = k.dice
    grip = d.between(0.78, 0.9)
    body = smooth(
        mirrored([(0.5, 0.26), (0.26, 0.22), (0.08, 0.4), (0.03, grip - 0.1), (0.14, grip), (0.3, 0.68), (0.5, 0.64)]),
        steps=4,
    )
    s.fill(body, k.cloth)
    s.fade(body, 0.3)
    left, right = d.between(0.24, 0.34), d.between(0.66, 0.76)
    for x, y in ((left, d.between(0.38, 0.56)), (right - 0.06, 0.58)):
        s.fill(oval(x, y, 0.09, 0.09), BLACK)
        s.fill(oval(x, y, 0.06, 0.06), k.second)
    keys = [k.accent, k.second, WHITE, dark(k.accent)] if d.chance(0.5) else [k.accent] * 4
    for (dx, dy), colour in zip(((0.0, -0.07), (0.07, 0.0), (0.0, 0.07), (-0.07, 0.0)), keys, strict=True):
        s.fill(oval(right + 0.06 + dx, 0.4 + dy, 0.033, 0.033), colour)
    s.fill(box(0.42, 0.3, 0.58, d.between(0.38, 0.46), 0.02), d.pick((k.second, BLACK)))
    k.emblem.draw(s, 0.5, 0.53, d.between(0.09, 0.14), k.accent)
    for x in (0.22, 0.78):
        s.fill(box(x - 0.09, 0.17, x + 0.09, 0.24, 0.03), k.second)


def cream_jar(s: Sketch, k: Look) -> None:
    d = k.dice
    wide, lid_top, split = d.between(0.32, 0.44), d.between(0.1, 0.34), d.between(0.46, 0.54)
    body = box(0.5 - wide, split, 0.5 + wide, 0.92, d.between(0.02, 0.14))
    s.fill(body, k.cloth)
    band = d.between(0.6, 0.66)
    s.fill(box(0.5 - wide, band, 0.5 + wide, 0.84), k.second)
    k.emblem.draw(s, 0.5 - wide * 0.55, (band + 0.84) / 2, 0.16, k.accent)
    k.word.draw(s, 0.5 + wide * 0.25, (band + 0.84) / 2, wide * 0.9, contrast(k.second))
    s.round_off(body, 0.4)
    lid = box(0.5 - wide - 0.02, lid_top, 0.5 + wide + 0.02, split, 0.03)
    s.fill(lid, d.pick((k.metal(), k.accent, WHITE, k.main)))
    if d.chance(0.5):
        for n in range(14):
            x = 0.5 - wide + 2 * wide * n / 13
            s.line([(x, lid_top + 0.02), (x, split - 0.02)], 0.008, (90, 90, 96))
    else:
        k.emblem.draw(s, 0.5, (lid_top + split) / 2, (split - lid_top) * 0.7, k.second)
    s.round_off(lid, 0.45)


def size_chart(s: Sketch, k: Look) -> None:
    d = k.dice
    ink: Colour = (70, 74, 84)
    s.fill(box(0.0, 0.0, 1.0, 1.0), WHITE)
    s.fill(box(0.04, 0.04, 0.96, 0.14), mix(k.main, WHITE, 0.3))
    k.word.draw(s, 0.5, 0.09, 0.4, WHITE)
    rows, columns = d.whole(6, 9), d.whole(4, 6)
    for i in range(rows + 1):
        y = 0.2 + 0.74 * i / rows
        s.line([(0.04, y), (0.96, y)], 0.005, ink)
        for j in range(columns):
            if i < rows:
                x, half = 0.04 + 0.92 * (j + 0.5) / columns, d.between(0.012, 0.045)
                s.line(
                    [(x - half, y + 0.37 / rows), (x + half, y + 0.37 / rows)], 0.018, ink if i and j else dark(k.main)
                )
    for j in range(columns + 1):
        x = 0.04 + 0.92 * j / columns
        s.line([(x, 0.2), (x, 0.94)], 0.005, ink)


def placeholder(s: Sketch, k: Look) -> None:
    grey: Colour = (186, 188, 194)
    s.fill(box(0.0, 0.0, 1.0, 1.0), (236, 237, 240))
    s.fill(box(0.22, 0.28, 0.78, 0.68, 0.05), grey)
    s.fill(box(0.38, 0.22, 0.62, 0.3, 0.02), grey)
    s.fill(oval(0.5, 0.48, 0.14, 0.14), (236, 237, 240))
    s.fill(oval(0.5, 0.48, 0.09, 0.09), grey)
    s.line([(0.2, 0.74), (0.8, 0.2)], 0.025, (214, 96, 90))
    for x, half in ((0.3, 0.08), (0.48, 0.06), (0.66, 0.09)):
        s.line([(x - half, 0.82), (x + half, 0.82)], 0.03, grey)
