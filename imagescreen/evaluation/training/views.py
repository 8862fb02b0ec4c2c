"""Clean views of the training pictures, which the teachers see: crops, mixtures of two pictures, and cut-outs on white.

The teachers' vectors of many views of few pictures teach more than those of the pictures alone (Beyer et al.,
"Knowledge distillation: a good teacher is patient and consistent", 2022; Asano and Saeed, "Extrapolating from a single
image to a thousand classes using distillation", 2023).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from imagescreen.evaluation.training.cut_outs import CutOuts
from imagescreen.evaluation.training.edits import unedited
from imagescreen.evaluation.training.pictures import TrainingPictures
from imagescreen.evaluation.training.recipe import Recipe, tells_goods_apart

_SMALLEST_CROP = 0.25
_LEAST_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Mixtures:
    """`partners` (n, m): the second picture; `first`, `second` (n, m, 4): what is cropped from each; `share` (n, m) of
    the second; `patch` (n, m, 4): where it lies, or the whole square where both show through each other.
    """

    partners: Tensor
    first: Tensor
    second: Tensor
    share: Tensor
    patch: Tensor


@dataclass(frozen=True, slots=True)
class Views:
    """`pixels` (n, 3, s, s) uint8 and `extents` (n, 2) are the pictures', `products` (n,) bool which of them are named
    after one product; with `tell_apart` these are enough to learn in which directions products differ. `crops`
    (n, v, 4) are shares of each. `on_white` (w,) are the pictures that have cut-outs: those of products, or all where
    there are none. `cut_outs` are looked for when they are asked for the first time, which takes minutes.
    """

    pixels: Tensor
    extents: Tensor
    products: Tensor
    tell_apart: bool
    crops: Tensor
    mixtures: Mixtures
    on_white: Tensor
    cut_outs: Callable[[], CutOuts]

    @classmethod
    def of(cls, pictures: TrainingPictures, recipe: Recipe, device: torch.device) -> "Views":
        generator = torch.Generator().manual_seed(recipe.seed)
        count = len(pictures.pixels)
        crops = _boxes((count, recipe.views), generator)
        # The first is the whole picture.
        crops[:, 0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
        shape = (count, recipe.mixtures)
        share = torch.rand(shape, generator=generator) * (1 - 2 * _LEAST_SHARE) + _LEAST_SHARE
        through = torch.rand(shape, generator=generator) < 0.5
        patch = _boxes(shape, generator)
        patch = torch.where(through[..., None], torch.tensor([0.0, 0.0, 1.0, 1.0]), patch)
        share = torch.where(through, share, 1.0)
        mixtures = Mixtures(
            torch.randint(count, shape, generator=generator).to(device),
            _boxes(shape, generator).to(device),
            _boxes(shape, generator).to(device),
            share.to(device),
            (patch * 2 - 1).to(device),
        )
        pixels, extents = torch.from_numpy(pictures.pixels).to(device), torch.from_numpy(pictures.extents).to(device)
        products = torch.tensor(pictures.of_products(), device=device)
        on_white = (products | ~products.any()).nonzero()[:, 0]
        # The last that takes of the generator, so it may do so later.
        cut_outs = cache(lambda: CutOuts.of(pixels[on_white], extents[on_white], recipe.cut_outs, generator))
        tell_apart = tells_goods_apart(recipe, pictures.rows)
        return cls(pixels, extents, products, tell_apart, crops.to(device), mixtures, on_white, cut_outs)

    def cropped(self, chosen: Tensor, view: Tensor, side: int) -> Tensor:
        """(b, 3, side, side) in 0 to 1: crop number `view` (b,) of the `chosen` (b,) pictures."""
        return unedited(self.pixels[chosen], self.extents[chosen], self.crops[chosen, view], side)

    def mixed(self, chosen: Tensor, view: Tensor, side: int) -> Tensor:
        """(b, 3, side, side) in 0 to 1: mixture number `view` (b,) of the `chosen` (b,) pictures."""
        m = self.mixtures
        other = m.partners[chosen, view]
        first = unedited(self.pixels[chosen], self.extents[chosen], m.first[chosen, view], side)
        second = unedited(self.pixels[other], self.extents[other], m.second[chosen, view], side)
        patch = m.patch[chosen, view][:, :, None, None]
        line = (torch.arange(side, device=first.device) + 0.5) * 2 / side - 1
        y, x = line[:, None], line[None]
        inside = (x >= patch[:, 0]) & (y >= patch[:, 1]) & (x <= patch[:, 2]) & (y <= patch[:, 3])
        weight = (inside * m.share[chosen, view][:, None, None])[:, None]
        return first * (1 - weight) + second * weight

    def cut_out(self, chosen: Tensor, view: Tensor, side: int) -> Tensor:
        """(b, 3, side, side) in 0 to 1: cut-out number `view` (b,) of the `chosen` (b,) among those `on_white`."""
        pictures = self.on_white[chosen]
        return self.cut_outs().drawn(self.pixels[pictures], self.extents[pictures], chosen, view, side)


def _boxes(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(*shape, 4): left, top, right, bottom as shares, of at least a quarter of the area."""
    area = torch.rand(shape, generator=generator) * (1 - _SMALLEST_CROP) + _SMALLEST_CROP
    stretch = torch.exp((torch.rand(shape, generator=generator) - 0.5) * 0.6)
    width, height = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
    left = torch.rand(shape, generator=generator) * (1 - width)
    top = torch.rand(shape, generator=generator) * (1 - height)
    return torch.stack((left, top, left + width, top + height), -1)
