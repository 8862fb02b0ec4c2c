"""The normalised score of measurements: that of the service, with any beta and k."""

from typing import cast

import numpy as np
import numpy.typing as npt

from imagescreen.calibration.normalisation import NormalisationWish, Normaliser
from imagescreen.errors import WrongUse

Scores = npt.NDArray[np.float32]

BETA = NormalisationWish().beta
TOP_K = NormalisationWish().k


def background_means(pictures: Scores, background: Scores, top_k: int) -> Scores:
    """(n,) float32: each picture's mean similarity to the `top_k` background pictures that it resembles most.

    `pictures` (n, d), `background` (b, d), both of unit length. Raises WrongUse for fewer than `top_k` of background.
    """
    if not 1 <= top_k <= len(background):
        raise WrongUse(f"{len(background)} background pictures are too few: at least {top_k} are needed")
    return Normaliser(background, 1.0, top_k).terms(pictures).astype(np.float32)


def normalised(similarities: Scores, background_mean: Scores, beta: float) -> Scores:
    """Similarity minus `beta` times the query's background mean; the same term for all references of one picture."""
    return cast(Scores, similarities - np.float32(beta) * background_mean)
