"""What ordinary pictures resemble: from stored vectors to a version's thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagescreen.calibration.thresholds import Thresholds, flagged_by, measure_thresholds
from imagescreen.errors import InvalidContent
from imagescreen.jobs.progress import Progress
from imagescreen.screening.policy import Wishes

SAME_PICTURE = 0.999
"""A calibration picture this similar to a reference shows the known item itself and measures nothing."""

_BLOCK_VALUES = 1_000_000
"""Similarities held at once: 4 MB, which stay in the processor's cache until their maxima are taken."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`flagged_share`, `held_share`: what the thresholds do to the ordinary pictures over all categories together.

    `uncalibrated` says why there are no thresholds; every package goes to review then.
    """

    thresholds: Thresholds | None = None
    uncalibrated: str | None = None
    flagged_share: float = 0.0
    held_share: float = 0.0


def measure(
    ordinary: NDArray[np.float32],
    vectors: NDArray[np.float32],
    labels: NDArray[np.int32],
    categories: Sequence[str],
    *,
    fingerprint: str,
    wishes: Wishes,
    progress: Progress,
) -> Measured:
    """`ordinary` (m, d) against the pictures `vectors` (n, d), whose rows in `categories` are `labels` (n,); -1 for a
    picture of no known item. `vectors` may be a file mapped into memory: it is read once, in order.
    """
    if not len(ordinary):
        return Measured(uncalibrated="there are no calibration pictures: run scripts/calibrate.py")
    best = _best_by_category(ordinary, vectors, labels, categories, progress)
    if best:
        ordinary_ones = np.max(np.stack(list(best.values())), axis=0) < SAME_PICTURE
        best = {category: values[ordinary_ones] for category, values in best.items()}
    try:
        thresholds = measure_thresholds(
            best, fingerprint=fingerprint, rates=wishes.rates, category_rates=wishes.category_rates
        )
    except InvalidContent as error:
        return Measured(uncalibrated=error.detail)
    return Measured(thresholds, None, *flagged_by(best, thresholds))


def _best_by_category(
    ordinary: NDArray[np.float32],
    vectors: NDArray[np.float32],
    labels: NDArray[np.int32],
    categories: Sequence[str],
    progress: Progress,
) -> dict[str, NDArray[np.float32]]:
    """For each category that has pictures: (m,) best similarity of each ordinary picture to them."""
    best = np.full((len(categories), len(ordinary)), -1.0, np.float32)
    step = max(64, _BLOCK_VALUES // len(ordinary))
    for start in range(0, len(vectors), step):
        block_labels = labels[start : start + step]
        order = np.argsort(block_labels, kind="stable")
        ascending = block_labels[order]
        firsts = np.flatnonzero(np.diff(ascending, prepend=np.int32(-2)))
        similarities = vectors[start : start + step][order] @ ordinary.T
        highest = np.maximum.reduceat(similarities, firsts, axis=0)
        known = ascending[firsts] >= 0
        rows = ascending[firsts][known]
        best[rows] = np.maximum(best[rows], highest[known])
        progress("measuring thresholds", min(start + step, len(vectors)), len(vectors))
    present = set(np.unique(labels).tolist())
    return {category: best[row] for row, category in enumerate(categories) if row in present}
