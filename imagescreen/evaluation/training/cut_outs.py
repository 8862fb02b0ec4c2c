"""Cut-outs on white, as in a catalogue, of photographs that only show goods on shelves and in hands.

Nobody tells where the goods lie, so shapes are tried: upright rounded boxes near the middle, as packages are held, and
ovals anywhere, as fruit lies in heaps; and ovals are found whose border follows an edge, like one fruit of a heap. Some
hold nothing of what the photograph is of.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from imagescreen.evaluation.training.edits import corners, sampled_at
from imagescreen.evaluation.training.ovals import found_ovals

_FOUND_SHARE = 0.6
"""Of the cut-outs of a picture, those that are found rather than tried."""
_BOXES_SHARE = 0.55
_BOX_TURN_DEGREES = 25.0
_OVAL_TURN_DEGREES = 60.0
_MIRRORED_SHARE = 0.3
_FOUND_TURN_RADIANS = 0.3
_FOUND_FILL = (0.68, 0.98)


def tried(count: int) -> int:
    """How many of so many cut-outs of a picture are tried blindly; they come first, and those that are found after."""
    return count - round(count * _FOUND_SHARE)


@dataclass(frozen=True, slots=True)
class CutOuts:
    """All (n, c, ...). `middle` (2) of the shape in the picture, -1 to 1; `height` as a share of the picture's shorter
    side; `aspect` is width by height; `turn` in the picture and `lean` in the white square, in radians; `power` of the
    superellipse, 2 for an oval and more for a box; `fill`, how much of the square the longer side takes; `mirror` is -1
    or 1.
    """

    middle: Tensor
    height: Tensor
    aspect: Tensor
    turn: Tensor
    lean: Tensor
    power: Tensor
    fill: Tensor
    mirror: Tensor

    @classmethod
    def of(cls, pixels: Tensor, extents: Tensor, count: int, generator: torch.Generator) -> "CutOuts":
        """`count` of each picture: `pixels` (n, 3, s, s) uint8, `extents` (n, 2)."""
        first = tried(count)
        shapes = cls._tried((len(pixels), first), generator, pixels.device)
        if first == count:
            return shapes
        ovals = cls._found(pixels, extents, count - first, generator)
        names = [one.name for one in fields(cls)]
        return cls(*(torch.cat((getattr(shapes, name), getattr(ovals, name)), 1) for name in names))

    @classmethod
    def _found(cls, pixels: Tensor, extents: Tensor, count: int, generator: torch.Generator) -> "CutOuts":
        ovals = found_ovals(pixels, extents, count, generator)
        device, shape = pixels.device, ovals.turn.shape
        lean = ovals.turn + torch.randn(shape, generator=generator).to(device) * _FOUND_TURN_RADIANS
        low, high = _FOUND_FILL
        return cls(
            ovals.middle / extents[:, None],
            ovals.axes[..., 1] / extents.amin(1)[:, None],
            ovals.axes[..., 0] / ovals.axes[..., 1],
            ovals.turn,
            # Nearly as it lies in the picture: fruit has an upper end.
            lean,
            torch.full(shape, 2.0, device=device),
            torch.rand(shape, generator=generator).to(device) * (high - low) + low,
            torch.where(torch.rand(shape, generator=generator) < 0.5, -1.0, 1.0).to(device),
        )

    @classmethod
    def _tried(cls, shape: tuple[int, int], generator: torch.Generator, device: torch.device) -> "CutOuts":
        def uniform(low: float, high: float, *more: int) -> Tensor:
            return torch.rand((*shape, *more), generator=generator) * (high - low) + low

        boxes = uniform(0, 1) < _BOXES_SHARE
        near = torch.randn((*shape, 2), generator=generator) * 0.15
        made = (
            torch.where(boxes[..., None], near, uniform(-0.5, 0.5, 2)).clamp(-0.7, 0.7),
            torch.where(boxes, uniform(0.5, 1.0), uniform(0.3, 0.95)),
            torch.where(boxes, uniform(math.log(0.35), 0), uniform(math.log(0.7), math.log(1.4))).exp(),
            torch.where(boxes, _BOX_TURN_DEGREES, _OVAL_TURN_DEGREES) * uniform(-1, 1) * (math.pi / 180),
            torch.zeros(shape),
            torch.where(boxes, uniform(5, 16), uniform(1.8, 3.2)),
            uniform(0.85, 1.0),
            torch.where(uniform(0, 1) < _MIRRORED_SHARE, -1.0, 1.0),
        )
        return cls(*(value.to(device) for value in made))

    def drawn(self, pixels: Tensor, extents: Tensor, chosen: Tensor, view: Tensor, side: int) -> Tensor:
        """(b, 3, side, side) in 0 to 1: cut-out number `view` (b,) of the `chosen` (b,) pictures, whose `pixels`
        (b, 3, s, s) uint8 and `extents` (b, 2) these are.
        """
        aspect, turn = self.aspect[chosen, view], self.turn[chosen, view]
        # The shape upright in the square, its longer side as large as it fills.
        half = torch.stack((aspect.clamp(max=1), (1 / aspect).clamp(max=1)), 1) * self.fill[chosen, view][:, None]
        upright = corners(side, pixels.device)
        x, y = upright[..., 0] * self.mirror[chosen, view][:, None, None], upright[..., 1]
        inside = _turned(x, y, -self.lean[chosen, view]) / half[:, None, None]
        power = self.power[chosen, view][:, None, None]
        radius = inside.abs().pow(power[..., None]).sum(-1).pow(1 / power)
        # Its edge is about as soft as a scaled photograph's.
        opacity = ((1 - radius) * side / 4 + 0.5).clamp(0, 1)

        # The same shape in the picture, no wider than it.
        height = self.height[chosen, view] * extents.amin(1)
        size = torch.stack((height * aspect, height), 1)
        size = size / (size[:, 0] / extents[:, 0]).clamp(min=1)[:, None]
        at = inside * size[:, None, None]
        where = _turned(at[..., 0], at[..., 1], turn) + (self.middle[chosen, view] * extents)[:, None, None]
        opacity = (opacity * (where.abs() <= extents[:, None, None]).all(-1))[:, None]
        return sampled_at(pixels, where) * opacity + (1 - opacity)


def _turned(x: Tensor, y: Tensor, turn: Tensor) -> Tensor:
    """(b, h, w, 2), by `turn` (b,) in radians."""
    cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
    return torch.stack((cos * x - sin * y, sin * x + cos * y), -1)
