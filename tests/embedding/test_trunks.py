"""The picture sides that are not timm's own, as open_clip builds them."""

from typing import Any

import pytest
import torch

from imagescreen.embedding.libraries import import_open_clip
from imagescreen.embedding.trunks import generalized_mean

VISION = {"timm_model_name": "resnet10t_two_levels", "timm_pool": "avg", "timm_proj": "", "image_size": 64}
TEXT = {"context_length": 8, "vocab_size": 100, "width": 16, "heads": 1, "layers": 1}


def build(dimension: int) -> Any:
    return import_open_clip().CLIP(dimension, VISION, TEXT).eval()


def test_open_clip_builds_it_by_name_and_it_gives_as_many_components_as_it_is_told() -> None:
    torch.manual_seed(0)
    model = build(320)
    model.visual.trunk.share.fill_(0.5)
    with torch.no_grad():
        vectors = model.encode_image(torch.rand(3, 3, 64, 64))
    assert vectors.shape == (3, 320)
    torch.testing.assert_close(vectors[:, :64].norm(dim=1), torch.ones(3))
    torch.testing.assert_close(vectors[:, 64:].norm(dim=1), torch.full((3,), 0.5))


def test_the_third_part_is_there_as_far_as_the_first_lies_where_goods_differ() -> None:
    torch.manual_seed(0)
    model = import_open_clip().CLIP(352, VISION | {"timm_model_name": "resnet10t_two_levels_and_goods"}, TEXT).eval()
    trunk, images = model.visual.trunk, torch.rand(3, 3, 64, 64)
    trunk.goods_share.fill_(2.0)
    with torch.no_grad():
        learned = model.encode_image(images)[:, :64]
        # Of the first picture all, of another direction nothing.
        trunk.goods.weight.zero_()
        trunk.goods.weight[0] = learned[0]
        vectors = model.encode_image(images)
    assert vectors.shape == (3, 352)
    goods = vectors[:, 64 + 256 :]
    torch.testing.assert_close(goods[0, 0], torch.tensor(2.0))
    within = (learned @ learned[0]).abs()
    torch.testing.assert_close(goods.norm(dim=1), 2 * within.clamp(max=1))
    with torch.no_grad():
        trunk.goods_from.fill_(0.99999)
        trunk.goods_to.fill_(0.999999)
        narrow = model.encode_image(torch.cat((images[:1], 1 - images[:1])))[:, 64 + 256 :]
    assert narrow[1].norm() < 1e-3 and narrow[0].norm() > 1


def test_fewer_components_than_its_second_part_has_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 256 components, not 256"):
        build(256)


def test_the_generalized_mean_lies_between_the_mean_and_the_largest_and_takes_no_sign_of_negative_values() -> None:
    maps = torch.tensor([[0.0, 1.0, 2.0, 3.0], [-5.0, 0.0, 0.0, 2.0]]).reshape(1, 2, 2, 2)
    found = generalized_mean(maps)[0]
    assert 1.5 < found[0] < 3 and found[0] == pytest.approx((36 / 4) ** (1 / 3), rel=1e-5)
    assert found[1] == pytest.approx((8 / 4) ** (1 / 3), rel=1e-5)
