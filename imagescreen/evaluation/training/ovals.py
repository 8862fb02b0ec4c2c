"""Ovals in photographs whose border follows an edge all round: one fruit of a heap, without anybody having marked it.

Many ovals are tried and the best kept, by what tells one thing from a piece of a heap: along its border colours change,
and get darker outside, where neighbours throw shadows; inside there are few edges.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_TRIED = 1500
_TRIED_FOR_EACH = 300
_BATCH = 8
_POINTS = 32
# Half the longer axis, as a share of the picture's shorter side: smaller ones show nothing once they are enlarged.
_SMALLEST, _LARGEST = 0.11, 0.36
_NARROWEST = 0.5
# Pixels inside and outside the border between which colours are compared, and radii at which the inside is looked at.
_BESIDE = 2.0
_INSIDE = (0.75, 0.5, 0.25)
# Of the points along the border, how many may have less of an edge, or less of a shadow, than what counts.
_WEAK_EDGES, _WEAK_SHADOWS = 9, 12
_EDGE, _MEAN_EDGE, _SHADOW, _EDGES_INSIDE, _COLOURS_INSIDE, _SIZE = 1.0, 0.4, 0.5, -1.6, -0.5, 0.1
# Two that are kept lie at least so many of the larger one's longer half axis apart.
_APART = 0.6


@dataclass(frozen=True, slots=True)
class Ovals:
    """All (n, c, ...). `middle` (2) and `axes` (2), half the longer axis and half the shorter, in the picture's square
    from -1 to 1; `turn` of the longer axis from the horizontal, in radians.
    """

    middle: Tensor
    axes: Tensor
    turn: Tensor


@torch.no_grad()
def found_ovals(pixels: Tensor, extents: Tensor, count: int, generator: torch.Generator) -> Ovals:
    """The `count` best of each picture, the best first, of `pixels` (n, 3, s, s) uint8 and `extents` (n, 2)."""
    shapes = torch.rand(max(_TRIED, count * _TRIED_FOR_EACH), 5, generator=generator).to(pixels.device)
    parts = [
        _best(pixels[first : first + _BATCH], extents[first : first + _BATCH], shapes, count)
        for first in range(0, len(pixels), _BATCH)
    ]
    middles, axes, turns = zip(*parts, strict=True)
    return Ovals(torch.cat(middles), torch.cat(axes), torch.cat(turns))


def _best(pixels: Tensor, extents: Tensor, shapes: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """`shapes` (t, 5) are random numbers from 0 to 1, of which each picture's ovals are made."""
    shorter = extents.amin(1)[:, None]
    share = ((_LARGEST / _SMALLEST) ** shapes[:, 0] * 2 * _SMALLEST)[None]
    turn = (shapes[:, 2] * math.pi)[None].expand(len(pixels), -1)
    longer = share * shorter
    axes = torch.stack((longer, longer * (_NARROWEST + (1 - _NARROWEST) * shapes[:, 1])), -1)
    cos, sin = turn.cos(), turn.sin()
    reach = torch.stack(
        (
            ((axes[..., 0] * cos) ** 2 + (axes[..., 1] * sin) ** 2).sqrt(),
            ((axes[..., 0] * sin) ** 2 + (axes[..., 1] * cos) ** 2).sqrt(),
        ),
        -1,
    )
    middle = (extents[:, None] - reach).clamp(min=0) * (shapes[None, :, 3:] * 2 - 1)
    score = _scores(pixels, middle, axes, turn) + _SIZE * share.log()
    kept = []
    each = torch.arange(len(pixels), device=pixels.device)
    for _ in range(count):
        best = score.argmax(1)
        kept.append(best)
        distance = (middle - middle[each, best][:, None]).norm(dim=-1)
        near = distance < _APART * torch.maximum(longer, longer.gather(1, best[:, None]))
        # A picture in which no further one is left shows its last one again.
        others = score.masked_fill(near, float("-inf"))
        score = torch.where(others.isfinite().any(1, keepdim=True), others, score)
    places = torch.stack(kept, 1)
    return (
        middle.gather(1, places[..., None].expand(-1, -1, 2)),
        axes.gather(1, places[..., None].expand(-1, -1, 2)),
        turn.gather(1, places),
    )


def _scores(pixels: Tensor, middle: Tensor, axes: Tensor, turn: Tensor) -> Tensor:
    """(n, t): how much each oval looks like one thing."""
    smooth = functional.avg_pool2d(functional.pad(pixels.float() / 255, (1, 1, 1, 1), mode="replicate"), 3, 1)
    across = smooth[:, :, 1:-1, 2:] - smooth[:, :, 1:-1, :-2]
    down = smooth[:, :, 2:, 1:-1] - smooth[:, :, :-2, 1:-1]
    edges = (across**2 + down**2).sqrt().amax(1, keepdim=True)
    looked_at = torch.cat((smooth, functional.pad(edges, (1, 1, 1, 1), mode="replicate")), 1)
    angle = torch.arange(_POINTS, device=pixels.device) * (2 * math.pi / _POINTS)
    circle = torch.stack((angle.cos(), angle.sin()), -1)
    cos, sin = turn.cos()[..., None], turn.sin()[..., None]

    def around(radius: float, pixels_out: float = 0.0) -> Tensor:
        """(n, 4, t, points): colours and edges along the oval made `radius` times as large and then so much wider."""
        at = (radius * axes + pixels_out * 2 / pixels.shape[-1])[:, :, None] * circle
        where = torch.stack((cos * at[..., 0] - sin * at[..., 1], sin * at[..., 0] + cos * at[..., 1]), -1)
        return functional.grid_sample(
            looked_at, where + middle[:, :, None], mode="bilinear", padding_mode="border", align_corners=False
        )

    within, without = around(1, -_BESIDE)[:, :3], around(1, _BESIDE)[:, :3]
    edge = (within - without).norm(dim=1)
    shadow = within.mean(1) - without.mean(1)
    inside = torch.cat([around(radius) for radius in _INSIDE], -1)
    score: Tensor = (
        _EDGE * edge.kthvalue(_WEAK_EDGES, dim=-1).values
        + _MEAN_EDGE * edge.mean(-1)
        + _SHADOW * shadow.kthvalue(_WEAK_SHADOWS, dim=-1).values
        + _EDGES_INSIDE * inside[:, 3].mean(-1)
        + _COLOURS_INSIDE * inside[:, :3].std(-1).norm(dim=1)
    )
    return score
