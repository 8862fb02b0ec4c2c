"""The normalised score: similarity, less what ordinary goods would give the same picture."""

from typing import cast

import numpy as np
import numpy.typing as npt

from imagescreen.errors import WrongUse

Scores = npt.NDArray[np.float32]

BETA = 0.75
TOP_K = 3
_BLOCK = 1024


def background_means(pictures: Scores, background: Scores, top_k: int) -> Scores:
    """(n,) float32: each picture's mean similarity to the `top_k` background pictures that it resembles most.

    `pictures` (n, d), `background` (b, d), both of unit length. Raises WrongUse for fewer than `top_k` of background.
    """
    if not 1 <= top_k <= len(background):
        raise WrongUse(f"{len(background)} background pictures are too few: at least {top_k} are needed")
    means = np.empty(len(pictures), np.float32)
    for start in range(0, len(pictures), _BLOCK):
        similarities = pictures[start : start + _BLOCK] @ background.T
        nearest = np.partition(similarities, -top_k, axis=1)[:, -top_k:]
        means[start : start + _BLOCK] = nearest.mean(axis=1)
    return means


def normalised(similarities: Scores, background_mean: Scores, beta: float) -> Scores:
    """Similarity minus `beta` times the query's background mean; the same term for all references of one picture.

    Score normalisation as in Douze et al., "The 2021 Image Similarity Dataset and Challenge" (2021), section 5.
    """
    return cast(Scores, similarities - np.float32(beta) * background_mean)
