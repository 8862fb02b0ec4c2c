"""One fruit of a heap is found, without anybody having marked it."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from imagescreen.evaluation.training.cut_outs import CutOuts, Groups
from imagescreen.evaluation.training.ovals import found_ovals

SIDE = 160
WHOLE = torch.ones(1, 2)
RED, GREEN = (214, 60, 40), (90, 170, 60)
FIRST, SECOND = (28, 30, 76, 66), (100, 84, 132, 136)
"""Left, top, right and bottom of two fruits in a picture of 160 pixels, one lying and one standing."""


def heap() -> torch.Tensor:
    """(1, 3, 160, 160) uint8: two fruits with shadows around them on a crate full of edges."""
    generator = np.random.default_rng(5)
    crate = generator.integers(70, 150, (20, 20, 3)).astype(np.uint8)
    image = Image.fromarray(crate).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for (left, top, right, bottom), colour in ((FIRST, RED), (SECOND, GREEN)):
        draw.ellipse((left - 5, top - 5, right + 5, bottom + 5), fill=(25, 20, 18))
        draw.ellipse((left, top, right, bottom), fill=colour)
    image = image.filter(ImageFilter.GaussianBlur(1))
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())[None]


def test_both_fruits_are_found_where_they_lie_and_as_large_as_they_are() -> None:
    ovals = found_ovals(heap(), WHOLE, 2, torch.Generator().manual_seed(0))
    middles = (ovals.middle[0] + 1) * SIDE / 2
    axes = ovals.axes[0] * SIDE / 2
    for left, top, right, bottom in (FIRST, SECOND):
        apart = (middles - torch.tensor([(left + right) / 2, (top + bottom) / 2])).norm(dim=1)
        found = int(apart.argmin())
        wanted = torch.tensor(sorted((right - left, bottom - top), reverse=True)) / 2
        assert apart[found] < 8, middles
        assert torch.allclose(axes[found], wanted, atol=8), axes


def test_cut_out_on_white_little_else_is_seen() -> None:
    pixels = heap()
    cut_outs = CutOuts.of(pixels, WHOLE, 5, torch.Generator().manual_seed(3))
    none = Groups(torch.full((1, 5, 3), -1), torch.zeros(1, 5, 4, 2), torch.ones(1, 5))
    cut_outs = CutOuts(cut_outs.shapes, none)
    first = torch.zeros(1, dtype=torch.long)
    seen = set()
    # Two are tried, three are found.
    for number in (2, 3, 4):
        picture = cut_outs.drawn(pixels, WHOLE, first, first + number, SIDE)[0].permute(1, 2, 0) * 255
        shown = picture.amin(-1) < 235
        assert 0.1 < shown.float().mean() < 0.8 and float(picture[0, 0].amin()) == 255
        for name, colour in (("red", RED), ("green", GREEN)):
            if ((picture[shown] - torch.tensor(colour)).norm(dim=1) < 40).float().mean() > 0.6:
                seen.add(name)
    assert seen == {"red", "green"}


def test_ovals_lie_within_the_picture_and_apart_also_where_there_is_nothing_to_find() -> None:
    extents = torch.tensor([[1.0, 0.6], [0.4, 1.0]])
    blank = torch.full((2, 3, SIDE, SIDE), 127, dtype=torch.uint8)
    ovals = found_ovals(blank, extents, 3, torch.Generator().manual_seed(1))
    assert ovals.turn.shape == (2, 3)
    assert (ovals.middle.abs() + ovals.axes[..., 1:] <= extents[:, None] + 1e-4).all()
    assert (ovals.axes[..., 0] >= ovals.axes[..., 1]).all()
    for picture in range(2):
        assert torch.cdist(ovals.middle[picture], ovals.middle[picture]).fill_diagonal_(9).min() > 0.05


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_there_are_as_many_cut_outs_as_wanted(count: int) -> None:
    assert CutOuts.of(heap(), WHOLE, count, torch.Generator().manual_seed(0)).shapes.turn.shape == (1, count)
