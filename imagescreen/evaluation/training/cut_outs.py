"""Cut-outs on white, as in a catalogue, of photographs that only show goods on shelves and in hands.

Nobody tells where the goods lie, so shapes are tried: upright rounded boxes near the middle, as packages are held,
ovals anywhere, as fruit lies in heaps, and long, bent ones; and ovals are found whose border follows an edge, like one
fruit of a heap. Some hold nothing of what the photograph is of. Some lie in a group, as a catalogue shows small fruit.
"""

import math
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

from imagescreen.evaluation.training.edits import corners, sampled_at
from imagescreen.evaluation.training.ovals import found_ovals

_FOUND_SHARE = 0.6
"""Of the cut-outs of a picture, those that are found rather than tried."""
_BOXES_SHARE, _LONG_SHARE = 0.45, 0.2
_BOX_TURN_DEGREES = 25.0
_OVAL_TURN_DEGREES = 60.0
_LONGEST = 4.5
_BENT = 0.3
_MIRRORED_SHARE = 0.3
_FOUND_TURN_RADIANS = 0.3
_FOUND_FILL = (0.68, 0.98)
_BALLS_SHARE = 0.5
"""Of ovals and long ones that are tried, those that are drawn like a ball, as a piece of a heap is flat."""
_SHADED = 0.75
_GROUPS_SHARE = 0.35
_BESIDE = 3
_GROUP_SCALE = (0.5, 0.62)
_GROUP_RADIUS = (0.32, 0.46)


def tried(count: int) -> int:
    """How many of so many cut-outs of a picture are tried blindly; they come first, and those that are found after."""
    return count - round(count * _FOUND_SHARE)


@dataclass(frozen=True, slots=True)
class Shapes:
    """All (n, c, ...). `middle` (2) of the shape in the picture, -1 to 1; `height` as a share of the picture's shorter
    side; `aspect` is width by height; `turn` in the picture and `lean` in the white square, in radians; `power` of the
    superellipse, 2 for an oval and more for a box; `fill`, how much of the square the longer side takes; `mirror` is -1
    or 1; `bend`, how far the ends are bent to one side, in halves of the longer side; `ball` from 0, flat, to 1, a ball
    that is lit from `light` (2).
    """

    middle: Tensor
    height: Tensor
    aspect: Tensor
    turn: Tensor
    lean: Tensor
    power: Tensor
    fill: Tensor
    mirror: Tensor
    bend: Tensor
    ball: Tensor
    light: Tensor


@dataclass(frozen=True, slots=True)
class Groups:
    """`beside` (n, c, 3): the numbers of the cut-outs that lie before it, -1 for none; `places` (n, c, 4, 2) where each
    of them lies, itself first, and `scale` (n, c), of how large they are alone.
    """

    beside: Tensor
    places: Tensor
    scale: Tensor

    @classmethod
    def of(cls, count: int, first: int, last: int, generator: torch.Generator, device: torch.device) -> "Groups":
        """Of cut-outs `first` to `last` of each of `count` pictures, among each other."""
        shape = (count, last - first)
        size = 1 + torch.randint(1, _BESIDE + 1, shape, generator=generator)
        size = torch.where(torch.rand(shape, generator=generator) < _GROUPS_SHARE, size, 1)
        others = torch.randint(first, max(last, first + 1), (*shape, _BESIDE), generator=generator)
        beside = torch.where(torch.arange(1, 1 + _BESIDE) < size[..., None], others, -1)
        angle = torch.rand((*shape, 1), generator=generator) * 2 * math.pi
        angle = angle + torch.arange(1 + _BESIDE) * (2 * math.pi / size[..., None])
        low, high = _GROUP_RADIUS
        radius = torch.rand((*shape, 1 + _BESIDE), generator=generator) * (high - low) + low
        places = torch.stack((angle.cos(), angle.sin()), -1) * radius[..., None]
        low, high = _GROUP_SCALE
        scale = torch.rand(shape, generator=generator) * (high - low) + low
        alone = size == 1
        places, scale = torch.where(alone[..., None, None], 0.0, places), torch.where(alone, 1.0, scale)
        return cls(beside.to(device), places.to(device), scale.to(device))


@dataclass(frozen=True, slots=True)
class CutOuts:
    """(n, c): cut-outs of each picture."""

    shapes: Shapes
    groups: Groups

    @classmethod
    def of(cls, pixels: Tensor, extents: Tensor, count: int, generator: torch.Generator) -> "CutOuts":
        """`count` of each picture: `pixels` (n, 3, s, s) uint8, `extents` (n, 2)."""
        first, number, device = tried(count), len(pixels), pixels.device
        parts = [cls._tried((number, first), generator, device)]
        if first < count:
            parts.append(cls._found(pixels, extents, count - first, generator))
        groups = [Groups.of(number, 0, first, generator, device), Groups.of(number, first, count, generator, device)]
        return cls(_joined(Shapes, parts), _joined(Groups, groups))

    @staticmethod
    def _found(pixels: Tensor, extents: Tensor, count: int, generator: torch.Generator) -> Shapes:
        ovals = found_ovals(pixels, extents, count, generator)
        device, shape = pixels.device, ovals.turn.shape
        lean = ovals.turn + torch.randn(shape, generator=generator).to(device) * _FOUND_TURN_RADIANS
        low, high = _FOUND_FILL
        flat = torch.zeros(shape, device=device)
        return Shapes(
            ovals.middle / extents[:, None],
            ovals.axes[..., 1] / extents.amin(1)[:, None],
            ovals.axes[..., 0] / ovals.axes[..., 1],
            ovals.turn,
            # Nearly as it lies in the picture: fruit has an upper end.
            lean,
            torch.full(shape, 2.0, device=device),
            torch.rand(shape, generator=generator).to(device) * (high - low) + low,
            torch.where(torch.rand(shape, generator=generator) < 0.5, -1.0, 1.0).to(device),
            # It has the shadows that it was photographed with.
            flat,
            flat,
            torch.zeros((*shape, 2), device=device),
        )

    @staticmethod
    def _tried(shape: tuple[int, int], generator: torch.Generator, device: torch.device) -> Shapes:
        def uniform(low: float, high: float, *more: int) -> Tensor:
            return torch.rand((*shape, *more), generator=generator) * (high - low) + low

        kind = uniform(0, 1)
        boxes, long = kind < _BOXES_SHARE, kind > 1 - _LONG_SHARE
        near = torch.randn((*shape, 2), generator=generator) * 0.15
        aspect = torch.where(boxes, uniform(math.log(0.35), 0), uniform(math.log(0.7), math.log(1.4)))
        aspect = torch.where(long, uniform(math.log(1.8), math.log(_LONGEST)), aspect).exp()
        turn = torch.where(boxes, _BOX_TURN_DEGREES, _OVAL_TURN_DEGREES) * uniform(-1, 1) * (math.pi / 180)
        height = torch.where(boxes, uniform(0.5, 1.0), uniform(0.3, 0.95))
        # A long one is as long as an oval is high.
        height = torch.where(long, height / aspect, height)
        turn = torch.where(long, uniform(-math.pi, math.pi), turn)
        made = (
            torch.where(boxes[..., None], near, uniform(-0.5, 0.5, 2)).clamp(-0.7, 0.7),
            height,
            aspect,
            turn,
            torch.where(long, uniform(-math.pi, math.pi), torch.zeros(shape)),
            torch.where(boxes, uniform(5, 16), uniform(1.8, 3.2)),
            uniform(0.85, 1.0),
            torch.where(uniform(0, 1) < _MIRRORED_SHARE, -1.0, 1.0),
            torch.where(long, uniform(-_BENT, _BENT), torch.zeros(shape)),
            torch.where(~boxes & (uniform(0, 1) < _BALLS_SHARE), uniform(0.5, 1), torch.zeros(shape)),
            uniform(-0.6, 0.6, 2),
        )
        return Shapes(*(value.to(device) for value in made))

    def drawn(self, pixels: Tensor, extents: Tensor, chosen: Tensor, view: Tensor, side: int) -> Tensor:
        """(b, 3, side, side) in 0 to 1: cut-out number `view` (b,) of the `chosen` (b,) pictures, whose `pixels`
        (b, 3, s, s) uint8 and `extents` (b, 2) these are.
        """
        groups = self.groups
        shown = pixels.new_ones((len(pixels), 3, side, side), dtype=torch.float32)
        numbers = torch.cat((view[:, None], groups.beside[chosen, view]), 1)
        for place in range(1 + _BESIDE):
            there = (numbers[:, place] >= 0).nonzero()[:, 0]
            if not len(there):
                continue
            square = corners(side, pixels.device) - groups.places[chosen, view, place][there][:, None, None]
            square = square / groups.scale[chosen, view][there][:, None, None, None]
            colours, opacity = self._one(
                pixels[there], extents[there], (chosen[there], numbers[there, place]), square, side
            )
            shown[there] = colours * opacity + shown[there] * (1 - opacity)
        return shown

    def _one(
        self, pixels: Tensor, extents: Tensor, which: tuple[Tensor, Tensor], square: Tensor, side: int
    ) -> tuple[Tensor, Tensor]:
        """(b, 3, side, side) and (b, 1, side, side): colours and opacity of one each, at the points (b, side, side, 2)
        of a `square` from -1 to 1.
        """
        s = self.shapes
        aspect, turn, bend, power = s.aspect[which], s.turn[which], s.bend[which], s.power[which][:, None, None]
        # The shape upright in the square, its longer side as large as it fills; bent ones are smaller.
        fill = s.fill[which] / (1 + 0.5 * bend.abs())
        half = torch.stack((aspect.clamp(max=1), (1 / aspect).clamp(max=1)), 1) * fill[:, None]
        x, y = square[..., 0] * s.mirror[which][:, None, None], square[..., 1]
        inside = _turned(x, y, -s.lean[which]) / half[:, None, None]
        bent = inside[..., 1] + (bend * aspect)[:, None, None] * (inside[..., 0].clamp(-1, 1) ** 2 - 0.4)
        inside = torch.stack((inside[..., 0], bent), -1)
        radius = inside.abs().clamp(max=100).pow(power[..., None]).sum(-1).pow(1 / power)
        # Its edge is about as soft as a scaled photograph's.
        opacity = ((1 - radius) * side / 4 + 0.5).clamp(0, 1)

        # A ball shows more of what is at its rim, and is darker there and on the side away from the light.
        ball, within = s.ball[which][:, None, None], radius.clamp(1e-3, 1)
        wider = 1 + ball * (within.asin() * 2 / (math.pi * within) - 1)
        depth = (1 - within**2).clamp(min=0).sqrt()
        lit = (depth + (inside.clamp(-1, 1) * s.light[which][:, None, None]).sum(-1)).clamp(0, 1)
        shade = 1 - _SHADED * ball * (1 - lit)

        # The same shape in the picture, no wider than it; what is bent on white lies straight there.
        height = s.height[which] * extents.amin(1)
        size = torch.stack((height * aspect, height), 1)
        size = size / (size[:, 0] / extents[:, 0]).clamp(min=1)[:, None]
        at = inside * wider[..., None] * size[:, None, None]
        where = _turned(at[..., 0], at[..., 1], turn) + (s.middle[which] * extents)[:, None, None]
        opacity = opacity * (where.abs() <= extents[:, None, None]).all(-1)
        return sampled_at(pixels, where) * shade[:, None], opacity[:, None]


_T = TypeVar("_T", Shapes, Groups)


def _joined(kind: type[_T], parts: list[_T]) -> _T:
    names = [one.name for one in fields(kind)]
    return kind(*(torch.cat([getattr(part, name) for part in parts], 1) for name in names))


def _turned(x: Tensor, y: Tensor, turn: Tensor) -> Tensor:
    """(b, h, w, 2), by `turn` (b,) in radians."""
    cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
    return torch.stack((cos * x - sin * y, sin * x + cos * y), -1)
