"""Partial whitening: a space in which a few directions carry most of what tells pictures apart is evened out, so that
the many small ones, in which goods of one kind differ, count for more (Jégou and Chum, "Negative evidences and
co-occurences in image retrieval: the benefit of PCA and whitening", 2012).

A linear map of a model's vectors is folded into its last layer, so it costs nothing when the model is used.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from imagescreen.errors import BrokenModel

_PICTURE_SIDE = "visual.head.proj.weight"
_TEXT_SIDE = "text_projection"
# Of the mean variance: a direction in which nothing differs is not blown up.
_FLOOR = 1e-2


def whitening(vectors: Tensor, share: float) -> Tensor:
    """(d, d), symmetric, to be multiplied from the right: takes `vectors` (n, d) a `share` of the way to equal variance
    in all directions. 0 leaves them as they are, 1 whitens them.

    Raises BrokenModel for vectors that are not finite, or all the same.
    """
    if not bool(vectors.isfinite().all()) or not bool((vectors != vectors[0]).any()):
        raise BrokenModel("The model gives vectors that are not finite, or the same for all pictures: it is damaged.")
    centred = (vectors - vectors.mean(0)).double()
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(vectors))
    scale = (variances / variances.mean() + _FLOOR) ** (-share / 2)
    found: Tensor = (directions * scale) @ directions.T
    return found.float()


def whitened(tensors: Mapping[str, Tensor], matrix: Tensor) -> dict[str, Tensor]:
    """The towers' `tensors` with `matrix` (d, d) after the picture side, and its inverse after the text side, so that
    a picture's products with the words stay what they were before both are made of unit length.
    """
    picture, text = tensors[_PICTURE_SIDE], tensors[_TEXT_SIDE]
    back = torch.linalg.inv(matrix.double()).T
    return {
        **tensors,
        _PICTURE_SIDE: (matrix.T.double() @ picture.double()).to(picture.dtype),
        _TEXT_SIDE: (text.double() @ back).to(text.dtype),
    }
