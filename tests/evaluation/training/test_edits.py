"""Views of training pictures: like what Pillow makes, the same for one seed, and never out of range."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from imagescreen.evaluation.training.cut_outs import CutOuts, Groups, Shapes
from imagescreen.evaluation.training.edits import MILD, Editor, Edits, jpeg_like, unedited
from imagescreen.evaluation.training.overlays import draw_overlays
from imagescreen.evaluation.training.pictures import TrainingPictures
from imagescreen.evaluation.training.views import Views
from imagescreen.references.sample.rendered import render_product
from tests.evaluation.training.conftest import RECIPE, TRAINED

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
OVERLAYS = torch.from_numpy(draw_overlays(8, seed=0))


def rendered(seed: int, size: tuple[int, int]) -> Image.Image:
    return render_product(800_000 + seed, size=size).image.convert("RGB")


def tensor(image: Image.Image) -> Tensor:
    """(1, 3, h, w) in 0 to 1."""
    return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)[None]


def editor(seed: int = 0) -> Editor:
    return Editor(Edits(), OVERLAYS, torch.Generator().manual_seed(seed))


def difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().mean())


def on_square(image: Image.Image, side: int) -> Tensor:
    """(1, 3, side, side) uint8: `image`, whose longest side is `side`, in the middle of white."""
    square = Image.new("RGB", (side, side), "white")
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return torch.from_numpy(np.array(square).transpose(2, 0, 1))[None]


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_jpeg_in_training_is_the_jpeg_of_a_file(quality: int) -> None:
    image = rendered(quality, (96, 112))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    real, given = tensor(Image.open(file).convert("RGB")), tensor(image)
    ours = jpeg_like(given, torch.tensor([float(quality)]))
    assert difference(ours, real) < 0.5 * difference(given, real)


def test_the_whole_picture_unedited_is_the_picture_resized_and_padded() -> None:
    image = rendered(1, (96, 48))
    stored, extents = on_square(image, 96), torch.tensor([[1.0, 0.5]])
    view = unedited(stored, extents, WHOLE, 96)
    assert difference(view, stored / 255) < 1e-3
    smaller = unedited(stored, extents, WHOLE, 48)
    wanted = tensor(Image.fromarray(stored[0].numpy().transpose(1, 2, 0)).resize((48, 48), Image.Resampling.BOX))
    assert difference(smaller, wanted) < 0.01


def test_a_box_shows_that_part_of_the_picture_as_large_as_fits() -> None:
    image = rendered(2, (96, 96))
    view = unedited(on_square(image, 96), torch.ones(1, 2), torch.tensor([[0.5, 0.25, 1.0, 0.75]]), 48)
    assert difference(view, tensor(image.crop((48, 24, 96, 72)))) < 1e-3


def test_edits_are_the_same_for_one_seed_and_others_for_another() -> None:
    stored, extents = on_square(rendered(3, (64, 64)), 64).repeat(6, 1, 1, 1), torch.ones(6, 2)
    first, again, other = (editor(seed).edited(stored, extents, WHOLE.repeat(6, 1), 64) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert difference(first, other) > 0.01


def test_some_views_are_not_touched() -> None:
    stored, extents = on_square(rendered(4, (64, 64)), 64).repeat(9, 1, 1, 1), torch.ones(9, 2)
    calm = Editor(replace(Edits(), untouched_share=1.0), OVERLAYS, torch.Generator())
    assert difference(calm.edited(stored, extents, WHOLE.repeat(9, 1), 64), stored / 255) < 1e-3


boxes = st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.25, 0.5), st.floats(0.25, 0.5))


@settings(max_examples=15, deadline=None)
@given(
    box=boxes,
    extent=st.tuples(st.floats(0.02, 1), st.booleans()),
    seed=st.integers(0, 2**32),
    side=st.sampled_from([64, 80, 96]),
)
def test_edited_views_stay_between_black_and_white(
    box: tuple[float, float, float, float], extent: tuple[float, bool], seed: int, side: int
) -> None:
    left, top, width, height = box
    shape = (1.0, extent[0]) if extent[1] else (extent[0], 1.0)
    stored = on_square(rendered(5, (64, 64)), 64).repeat(5, 1, 1, 1)
    where = torch.tensor([[left, top, left + width, top + height]]).repeat(5, 1)
    made = editor(seed)
    mild = Editor(MILD, OVERLAYS, torch.Generator().manual_seed(seed))
    for view in (
        made.edited(stored, torch.tensor([shape]).repeat(5, 1), where, side),
        made.recoloured(stored / 255),
        mild.recoloured(stored / 255),
    ):
        assert view.isfinite().all() and view.min() >= 0 and view.max() <= 1
        assert view.shape[:2] == (5, 3)


def test_a_mixture_shows_both_pictures_by_its_share() -> None:
    count, side = 24, 32
    pixels = np.zeros((count, 3, side, side), np.uint8)
    pixels[:, 0] = np.arange(count)[:, None, None] * 10
    pictures = TrainingPictures(TRAINED, pixels, np.ones((count, 2), np.float32))
    views = Views.of(pictures, replace(RECIPE, mixtures=6), torch.device("cpu"))
    m = views.mixtures
    through = (m.patch == torch.tensor([-1.0, -1.0, 1.0, 1.0])).all(-1)
    assert 0.25 < through.float().mean() < 0.75
    assert (m.share[~through] == 1).all() and m.share[through].min() >= 0.25 and m.share[through].max() <= 0.75
    chosen = torch.arange(count)
    for number in range(6):
        view = torch.full_like(chosen, number)
        red = views.mixed(chosen, view, side)[:, 0].mean((1, 2)) * 25.5
        # A crop that is not square leaves white around itself; those of a square alone are plain arithmetic.
        square = ((m.first - m.second)[:, number] * 0).sum(1) == 0
        both = square & through[:, number]
        share, other = m.share[:, number], m.partners[:, number]
        white = _white(m.first[:, number]), _white(m.second[:, number])
        wanted = (1 - share) * _seen(chosen, white[0]) + share * _seen(other, white[1])
        torch.testing.assert_close(red[both], wanted[both], rtol=0, atol=0.9)


def test_cut_outs_show_the_goods_on_white_and_nothing_from_beyond_the_picture() -> None:
    side, count = 64, 24
    # Red pictures of every shape on black squares: black would be what lies beside the picture.
    pixels = np.zeros((count, 3, side, side), np.uint8)
    extents = np.ones((count, 2), np.float32)
    for place in range(count):
        extents[place, place % 2] = (16 + 2 * place) / side
        width, height = (round(share * side) for share in extents[place])
        left, top = (side - width) // 2, (side - height) // 2
        pixels[place, 0, top : top + height, left : left + width] = 255
    views = Views.of(TrainingPictures(TRAINED, pixels, extents), replace(RECIPE, cut_outs=8), torch.device("cpu"))
    # Those of products.
    chosen = torch.arange(len(views.on_white))
    assert len(chosen) == 12
    for number in range(8):
        drawn = views.cut_out(chosen, torch.full_like(chosen, number), side)
        assert drawn.shape == (12, 3, side, side) and drawn.min() >= 0 and drawn.max() <= 1
        corner = drawn[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corner > 0.99).all()
        red = 1 - drawn[:, 1]
        assert (red.mean((1, 2)) > 0.05).all()
        # Black shows only in the one pixel where the picture's edge is interpolated; shades are a quarter at least.
        assert ((drawn[:, 0] < 0.2).float().mean((1, 2)) < 0.06).all()


def alone(height: Tensor, aspect: Tensor, turn: Tensor, lean: Tensor, power: Tensor, *, ball: float = 0) -> CutOuts:
    """One flat cut-out of the middle of a picture, with nothing beside it."""
    middle, one = torch.zeros(1, 1, 2), torch.ones(1, 1)
    shapes = Shapes(middle, height, aspect, turn, lean, power, one, one, one * 0, one * ball, middle)
    return CutOuts(shapes, Groups(torch.full((1, 1, 3), -1), torch.zeros(1, 1, 4, 2), one))


def test_cut_outs_upright_are_the_middle_of_the_picture() -> None:
    image = rendered(6, (96, 96))
    views = Views.of(
        TrainingPictures(TRAINED[:1], on_square(image, 96).numpy(), np.ones((1, 2), np.float32)),
        replace(RECIPE, cut_outs=1),
        torch.device("cpu"),
    )
    one = torch.ones(1, 1)
    plain = alone(one * 0.5, one, one * 0, one * 0, one * 60)
    drawn = plain.drawn(views.pixels, views.extents, torch.tensor([0]), torch.tensor([0]), 48)
    wanted = tensor(image.crop((24, 24, 72, 72)))
    assert difference(drawn[..., 4:-4, 4:-4], wanted[..., 4:-4, 4:-4]) < 1e-3


def test_a_shape_that_leans_as_it_lies_shows_the_picture_upright() -> None:
    image = rendered(6, (96, 96))
    pixels, extents = on_square(image, 96), torch.ones(1, 2)
    one = torch.ones(1, 1)
    leaning = alone(one * 0.5, one * 1.5, one * 0.7, one * 0.7, one * 2)
    drawn = leaning.drawn(pixels, extents, torch.tensor([0]), torch.tensor([0]), 72)
    wanted = tensor(image.crop((12, 12, 84, 84)))
    assert difference(drawn[..., 24:48, 24:48], wanted[..., 24:48, 24:48]) < 1e-3
    # Its longer side goes down to the right, and the other way everything is white.
    assert float(drawn[0, :, 14, 58].amin()) == 1.0


def test_a_ball_is_as_bright_as_the_picture_in_its_middle_and_darker_at_its_rim() -> None:
    pixels, one = torch.full((1, 3, 96, 96), 200, dtype=torch.uint8), torch.ones(1, 1)
    first = torch.tensor([0])
    flat, ball = (
        alone(one * 0.5, one, one * 0, one * 0, one * 2, ball=wanted).drawn(pixels, torch.ones(1, 2), first, first, 64)
        for wanted in (0.0, 1.0)
    )
    assert float((flat - ball)[0, :, 32, 32].abs().max()) < 0.01
    assert float((flat - ball)[0, :, 32, 4].min()) > 0.2
    assert float(ball[0, :, 0, 0].min()) == 1.0


def test_small_ones_lie_in_a_group() -> None:
    pixels, one = torch.zeros((1, 3, 96, 96), dtype=torch.uint8), torch.ones(1, 1)
    first = torch.tensor([0])
    single = alone(one * 0.5, one, one * 0, one * 0, one * 2)
    places = torch.tensor([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.0], [0.0, 0.0]])[None, None]
    pair = CutOuts(single.shapes, Groups(torch.tensor([[[0, -1, -1]]]), places, one * 0.4))
    drawn = pair.drawn(pixels, torch.ones(1, 2), first, first, 64)[0, 0]
    assert drawn[32, 16] == 0 and drawn[32, 48] == 0 and drawn[32, 32] == 1 and drawn[8, 16] == 1


def _white(box: Tensor) -> Tensor:
    """The share of a square view that a crop of these proportions leaves white."""
    size = box[:, 2:] - box[:, :2]
    return 1 - size.amin(1) / size.amax(1)


def _seen(number: Tensor, white: Tensor) -> Tensor:
    return number * (1 - white) + 25.5 * white


def test_the_first_clean_crop_is_the_whole_picture() -> None:
    pictures = TrainingPictures(TRAINED, np.zeros((24, 3, 32, 32), np.uint8), np.ones((24, 2), np.float32))
    crops = Views.of(pictures, replace(RECIPE, views=4), torch.device("cpu")).crops
    assert (crops[:, 0] == WHOLE).all()
    assert crops.min() >= 0 and crops.max() <= 1
    area = (crops[..., 2] - crops[..., 0]) * (crops[..., 3] - crops[..., 1])
    assert area.min() > 0.18
