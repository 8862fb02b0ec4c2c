"""Intervals of measured figures by resampling what was measured on."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from imagescreen.calibration.intervals import Interval

Rows = npt.NDArray[np.int64]


def intervals(
    statistics: Callable[[Rows, Rows], npt.NDArray[np.float64]],
    *,
    positives: int,
    ordinary: int,
    rounds: int,
    seed: int,
) -> list[Interval]:
    """The 95 % percentile interval (Efron, 1979) of each of the m figures that `statistics` gives.

    `statistics` gets which of the `positives` labelled queries and of the `ordinary` ones are drawn, with replacement,
    as many as there are, and returns (m,). All figures see the same draws, so differences among them are paired.
    """
    random = np.random.default_rng(seed)
    drawn = np.stack(
        [
            statistics(random.integers(0, positives, positives), random.integers(0, ordinary, ordinary))
            for _ in range(rounds)
        ]
    )
    return [Interval(float(low), float(high)) for low, high in np.percentile(drawn, [2.5, 97.5], axis=0).T]
