"""The part of a vector that tells known goods apart: the directions in which the training pictures of products differ
from product to product, as the student has learned to say it. Nothing is trained for it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from imagescreen.embedding.trunks import GOODS_COMPONENTS
from imagescreen.errors import BrokenModel

# Of unit vectors, how much of their length lies in these directions: the part begins with the first and is whole from
# the second on. Photographs of goods have more than that, and most of other things less.
_FROM, _TO = 0.25, 0.45
_TRUNK, _TEXT_SIDE = "visual.trunk.", "text_projection"


def product_directions(vectors: Tensor, classes: Tensor, products: Tensor) -> Tensor:
    """(GOODS_COMPONENTS, d), orthonormal: where the means of the products differ most. `vectors` (n, d) of unit length
    are the student's of the training pictures, `classes` (n,) the places of their names, and `products` (n,) bool.

    Raises BrokenModel for vectors that are not finite, or the same for all products.
    """
    of_goods, labels = vectors[products].double(), classes[products]
    means = torch.stack([of_goods[labels == label].mean(0) for label in torch.unique(labels)])
    means = means - means.mean(0)
    if not bool(means.isfinite().all()) or not bool(means.any()):
        raise BrokenModel("The model gives vectors that are not finite, or the same for all products: it is damaged.")
    directions: Tensor = torch.linalg.svd(means, full_matrices=False).Vh[:GOODS_COMPONENTS].float()
    return directions


def with_goods(tensors: Mapping[str, Tensor], directions: Tensor, share: float) -> dict[str, Tensor]:
    """The towers' `tensors`, of the trunk with two levels, as those of the one with goods too. `directions` (c, d) are
    those of product_directions, `share` how long that part of a vector is at most, where the first one's is 1. Words
    say nothing about it: their part of that is 0.
    """
    return {
        **tensors,
        f"{_TRUNK}goods.weight": directions.contiguous(),
        f"{_TRUNK}goods_share": torch.tensor(share),
        f"{_TRUNK}goods_from": torch.tensor(_FROM),
        f"{_TRUNK}goods_to": torch.tensor(_TO),
        _TEXT_SIDE: functional.pad(tensors[_TEXT_SIDE], (0, len(directions))),
    }
