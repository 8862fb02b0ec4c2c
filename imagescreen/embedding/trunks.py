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

    `dimension` is of both together; the stage before the last takes as many components as it has channels.
    Raises ValueError when that leaves none.
    """

    share: Tensor

    def __init__(self, body: Any, dimension: int) -> None:
        super().__init__()
        self.body = body
        self.num_features = dimension
        channels: int = body.feature_info[_STAGE]["num_chs"]
        if dimension <= channels:
            raise ValueError(f"vectors of two levels have more than {channels} components, not {dimension}")
        self.last = nn.Linear(body.num_features, dimension - channels, bias=False)
        self.middle = nn.Linear(channels, channels)
        # How long the second part is, where the first is 1; with the weights, because it is part of the model.
        self.register_buffer("share", torch.tensor(1.0))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, dimension), of one length but not of unit length."""
        last, before = both_levels(self.body, images)
        seen = self.last(self.body.forward_head(last, pre_logits=True))
        beside = self.middle(before.to(seen.dtype))
        both = functional.normalize(seen.float()), self.share.float() * functional.normalize(beside.float())
        return torch.cat(both, 1).to(seen.dtype)


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
    return _two_levels("resnet10t", num_classes)


@register_model
def resnet18_two_levels(num_classes: int = 0, **_: object) -> TwoLevels:
    return _two_levels("resnet18", num_classes)


@register_model
def resnet18d_two_levels(num_classes: int = 0, **_: object) -> TwoLevels:
    return _two_levels("resnet18d", num_classes)


def _two_levels(name: str, dimension: int) -> TwoLevels:
    return TwoLevels(timm.create_model(name, num_classes=0, global_pool="avg"), dimension)
