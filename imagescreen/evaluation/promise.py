"""Whether conformal thresholds keep the rate of false flags that they promise: random splits, counted.

With n calibration scores and the threshold at their r-th smallest, the number of m further scores above it has the
beta-binomial distribution with parameters n + 1 - r and r, whatever the scores are, as long as no two are equal and all
are exchangeable (Vovk, "Conditional validity of inductive conformal predictors", 2012).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from imagescreen.calibration.thresholds import conformal_threshold, packages_needed
from imagescreen.errors import WrongUse

Scores = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float64]
_TAIL = 1e-12


@dataclass(frozen=True, slots=True)
class Cell:
    """One random split: `flagged` of `tested` ordinary packages above the threshold of `calibrated` others.

    95 % of such splits have between `low` and `high` flagged, both included.
    """

    calibrated: int
    tested: int
    flagged: int
    low: int
    high: int

    @property
    def inside(self) -> bool:
        return self.low <= self.flagged <= self.high


@dataclass(frozen=True, slots=True)
class Promise:
    """All splits of one kind of package; `chances` are of 0, 1, ... flagged over all of them together."""

    name: str
    rate: float
    cells: Sequence[Cell]
    chances: Probabilities

    @property
    def inside(self) -> int:
        return sum(cell.inside for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Pooled:
    """The share flagged over many splits, and between what it lies 95 times in 100."""

    rate: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        return self.low <= self.rate <= self.high


def pooled_rate(promises: Sequence[Promise]) -> Pooled:
    """Over all splits of all of them, which are drawn one by one, so that their counts are independent."""
    chances = np.ones(1)
    for promise in promises:
        chances = _sum_of(chances, promise.chances)
    cells = [cell for promise in promises for cell in promise.cells]
    tested = sum(cell.tested for cell in cells)
    low, high = central(chances)
    return Pooled(sum(cell.flagged for cell in cells) / tested, low / tested, high / tested)


def keep_promise(
    name: str, draw: Callable[[np.random.Generator], Scores], *, rate: float, splits: int, seed: int | Sequence[int]
) -> Promise:
    """Calibrates on one half and counts on the other, `splits` times.

    `draw` gives the (n,) scores of ordinary packages for one split, in random order. Raises WrongUse when half of them
    cannot support the rate.
    """
    random = np.random.default_rng(seed)
    cells = []
    total = np.ones(1)
    for _ in range(splits):
        scores = draw(random)
        calibration, test = scores[: len(scores) // 2], scores[len(scores) // 2 :]
        threshold = conformal_threshold(calibration, rate)
        if threshold is None:
            needed = 2 * packages_needed(rate)
            raise WrongUse(
                f"{len(scores)} ordinary packages are too few to split and promise 1 in {1 / rate:g}: "
                f"at least {needed} are needed, {needed - len(scores)} more"
            )
        above = len(calibration) + 1 - math.ceil((len(calibration) + 1) * (1 - rate) - 1e-9)
        chances = flagged_distribution(len(calibration), above, len(test))
        low, high = central(chances)
        cells.append(Cell(len(calibration), len(test), int((test > threshold).sum()), low, high))
        total = _sum_of(total, chances)
    return Promise(name, rate, tuple(cells), total)


def drawn_packages(scores: Scores, size: int, random: np.random.Generator) -> Scores:
    """The maxima of packages of `size` pictures each, drawn from all (n,) `scores` without putting any back."""
    count = len(scores) // size
    drawn = random.permutation(scores)[: count * size]
    return cast(Scores, drawn.reshape(count, size).max(axis=1))


def flagged_distribution(calibrated: int, above: int, tested: int) -> Probabilities:
    """(tested + 1,): the probability of 0, 1, ... flagged by a threshold with `above` - 1 calibration scores above it.

    Beta-binomial with parameters `above` and `calibrated` + 1 - `above`.
    """
    a, b = above, calibrated + 1 - above
    logs = [
        math.lgamma(tested + 1) - math.lgamma(k + 1) - math.lgamma(tested - k + 1)
        + math.lgamma(k + a) + math.lgamma(tested - k + b) - math.lgamma(tested + a + b)
        + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        for k in range(tested + 1)
    ]  # fmt: skip
    return cast(Probabilities, np.exp(np.array(logs)))


def _sum_of(chances: Probabilities, others: Probabilities) -> Probabilities:
    """The distribution of the sum of two independent counts, without the tail that no interval reaches."""
    total: Probabilities = np.convolve(_without_tail(chances), _without_tail(others))
    return cast(Probabilities, total / total.sum())


def _without_tail(chances: Probabilities) -> Probabilities:
    return chances[: int(np.searchsorted(np.cumsum(chances), 1 - _TAIL)) + 1]


def central(chances: Probabilities) -> tuple[int, int]:
    """The least and largest count of the central 95 % of a distribution over 0, 1, ...: at most 2.5 % on each side."""
    below = np.cumsum(chances)
    return int(np.searchsorted(below, 0.025)), int(np.searchsorted(below, 0.975))
