"""Picture sides beside timm's own, registered with it: open_clip builds them by name like any other.

The name stands for the code in a model's fingerprint, so what gives other vectors gets another name.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from imagescreen.embedding.libraries import import_torchvision

# timm imports it too, and does not find it whole everywhere.
import_torchvision()

import timm  # noqa: E402
from timm.models import register_model  # noqa: E402

_STAGE = 3
"""Of a ResNet's four the one before the last, by its number in timm's `feature_info`, where 0 is the stem."""
_POWER = 3
_LEAST = 1e-6

TWO_LEVELS = "_two_levels"
"""What the names of these architectures end in, after the name of timm's."""
GOODS = "_and_goods"
"""And after it, where a third part tells known goods apart."""
GOODS_COMPONENTS = 32


def generalized_mean(maps: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c) float32: between the mean over places and the largest value (Radenović, Tolias and Chum,
    "Fine-tuning CNN image retrieval with no human annotation", 2018). Values below zero count as zero.
    """
    return maps.float().clamp(min=_LEAST).pow(_POWER).mean((2, 3)).pow(1 / _POWER)


def both_levels(body: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Of a ResNet of timm's: the last stage's maps, (n, c, h, w), and what the stage before it sees, (n, c) float32."""
    last, (before,) = body.forward_intermediates(images, indices=[_STAGE])
    return last, generalized_mean(before)


class TwoLevels(nn.Module):
    """A ResNet that gives what its last stage sees and what the stage before it does: the last one knows best what it
    was taught, the one before is less bound to it and so better at what nothing was taught about.

    With `goods` components there is a third part: of what the last stage says, that in which known goods differ, of a
    length of its own. A photograph of another kind than those that were learned from, as a catalogue's, has more in all
    other directions, which would drown it. It is there as far as the first part lies in those directions at all, so
    that little is said of what is no goods.

    `dimension` is of all together; the stage before the last takes as many components as it has channels. Raises
    ValueError when none are left for the last one.
    """

    share: Tensor
    goods_share: Tensor
    goods_from: Tensor
    goods_to: Tensor

    def __init__(self, body: Any, dimension: int, goods: int = 0) -> None:
        super().__init__()
        self.body = body
        self.num_features = dimension
        channels: int = body.feature_info[_STAGE]["num_chs"]
        learned = dimension - channels - goods
        if learned <= 0:
            raise ValueError(f"vectors of these parts have more than {channels + goods} components, not {dimension}")
        self.last = nn.Linear(body.num_features, learned, bias=False)
        self.middle = nn.Linear(channels, channels)
        # How long the other parts are, where the first is 1; with the weights, because it is part of the model.
        self.register_buffer("share", torch.tensor(1.0))
        self.goods = nn.Linear(learned, goods, bias=False) if goods else None
        if goods:
            self.register_buffer("goods_share", torch.tensor(1.0))
            # From which length on of the first part in these directions the third is there, and from which on whole.
            self.register_buffer("goods_from", torch.tensor(0.0))
            self.register_buffer("goods_to", torch.tensor(1.0))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, dimension): parts of the lengths 1, `share` and, where goods are seen, `goods_share`."""
        last, before = both_levels(self.body, images)
        seen = self.last(self.body.forward_head(last, pre_logits=True))
        learned = functional.normalize(seen.float())
        beside = functional.normalize(self.middle(before.to(seen.dtype)).float())
        parts = [learned, self.share.float() * beside]
        if self.goods is not None:
            within = learned @ self.goods.weight.float().T
            low, high = self.goods_from.float(), self.goods_to.float()
            there = ((within.norm(dim=1, keepdim=True) - low) / (high - low)).clamp(0, 1)
            parts.append(self.goods_share.float() * there * functional.normalize(within))
        return torch.cat(parts, 1).to(seen.dtype)


def middle_channels(trunk: str) -> int:
    """How many components the second level of that timm architecture has; 0 where it is not registered with two."""
    if not timm.is_model(trunk + TWO_LEVELS):
        return 0
    body: Any = timm.create_model(trunk, num_classes=0)
    channels: int = body.feature_info[_STAGE]["num_chs"]
    return channels


# open_clip gives the dimension as the number of classes where its config has no projection. What else timm passes on is
# about weights to fetch, of which there are none.
@register_model
def resnet10t_two_levels(num_classes: int = 0, **_: object) -> TwoLevels:
    return _of_parts("resnet10t", num_classes)


@register_model
def resnet10t_two_levels_and_goods(num_classes: int = 0, **_: object) -> TwoLevels:
    return _of_parts("resnet10t", num_classes, GOODS_COMPONENTS)


@register_model
def resnet18_two_levels(num_classes: int = 0, **_: object) -> TwoLevels:
    return _of_parts("resnet18", num_classes)


@register_model
def resnet18_two_levels_and_goods(num_classes: int = 0, **_: object) -> TwoLevels:
    return _of_parts("resnet18", num_classes, GOODS_COMPONENTS)


@register_model
def resnet18d_two_levels(num_classes: int = 0, **_: object) -> TwoLevels:
    return _of_parts("resnet18d", num_classes)


@register_model
def resnet18d_two_levels_and_goods(num_classes: int = 0, **_: object) -> TwoLevels:
    return _of_parts("resnet18d", num_classes, GOODS_COMPONENTS)


def _of_parts(name: str, dimension: int, goods: int = 0) -> TwoLevels:
    return TwoLevels(timm.create_model(name, num_classes=0, global_pool="avg"), dimension, goods)
