"""What the stage before the last sees, beside what the student has learned to say: its part of the vectors is not
learned but whitened, as the training pictures spread in it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from imagescreen.evaluation.training.whitening import whitening

_WHITENED = 0.8
_TRUNK, _BODY = "visual.trunk.", "visual.trunk.body."
_PROJECTION, _LAST = "visual.head.proj.weight", "visual.trunk.last.weight"
_MIDDLE = "visual.trunk.middle."
_SHARE = "visual.trunk.share"
_TEXT_SIDE = "text_projection"


def with_middle(tensors: Mapping[str, Tensor], seen: Tensor, share: float) -> dict[str, Tensor]:
    """The towers' `tensors` as those of the trunk with two levels. `seen` (n, c) is what the stage before the last sees
    of the training pictures, `share` how long that part of a vector is, where the other's is 1. Words say nothing about
    it: their part of that is 0.

    Raises BrokenModel as `whitening` does.
    """
    matrix = whitening(seen, _WHITENED)
    # Any length will do, as each part is made of unit length; about 1 is far from what float16 cannot hold.
    matrix = matrix / ((seen - seen.mean(0)) @ matrix).norm(dim=1).mean()
    text = tensors[_TEXT_SIDE]
    renamed = {
        name.replace(_TRUNK, _BODY, 1): tensor
        for name, tensor in tensors.items()
        if name not in (_PROJECTION, _TEXT_SIDE)
    }
    return renamed | {
        _LAST: tensors[_PROJECTION],
        f"{_MIDDLE}weight": matrix.T.contiguous(),
        f"{_MIDDLE}bias": -(seen.mean(0) @ matrix),
        _SHARE: torch.tensor(share),
        _TEXT_SIDE: functional.pad(text, (0, seen.shape[1])),
    }


def without_middle(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `with_middle` began with, also when with_goods came after it. Raises KeyError for any other tensors."""
    projection = tensors[_LAST]
    renamed = {name.replace(_BODY, _TRUNK, 1): tensor for name, tensor in tensors.items() if name.startswith(_BODY)}
    others = {name: tensor for name, tensor in tensors.items() if not name.startswith(_TRUNK)}
    return others | renamed | {_PROJECTION: projection, _TEXT_SIDE: tensors[_TEXT_SIDE][:, : len(projection)]}
