"""What ordinary packages score, kept with the thresholds, so that every score can be told how rare it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imagescreen.calibration.thresholds import Scores
from imagescreen.errors import BrokenIndex


@dataclass(frozen=True, slots=True, eq=False)
class OrdinaryPackages:
    """The n packages behind thresholds, with m pictures together.

    `vectors` (m, d) float32 and what normalisation subtracts from their similarities, `terms` (m,) float32; `starts`
    (n,) int64, ascending: the row at which each package begins. `highest` is for each category (n,) float32, the
    highest score of each package against its references; `words` (n,) float32 against references described in words,
    None when there were none. The arrays may be maps of files.
    """

    vectors: NDArray[np.float32]
    terms: NDArray[np.float32]
    starts: NDArray[np.int64]
    highest: Mapping[str, Scores]
    words: Scores | None = None
    _ascending: Mapping[str, NDArray[np.float64]] = field(init=False, repr=False)
    _anywhere: NDArray[np.float64] = field(init=False, repr=False)
    _words: NDArray[np.float64] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lengths = {len(self.starts), *(len(scores) for scores in self.highest.values())}
        if self.words is not None:
            lengths.add(len(self.words))
        steps = np.diff(self.starts, append=len(self.vectors))
        if len(lengths) != 1 or len(self.terms) != len(self.vectors) or not self.highest or (steps < 1).any():
            raise BrokenIndex("its ordinary packages do not fit together")
        ascending = {category: np.sort(scores).astype(np.float64) for category, scores in self.highest.items()}
        object.__setattr__(self, "_ascending", ascending)
        anywhere = np.sort(np.max(np.stack(list(self.highest.values())), axis=0)).astype(np.float64)
        object.__setattr__(self, "_anywhere", anywhere)
        words = None if self.words is None else np.sort(self.words).astype(np.float64)
        object.__setattr__(self, "_words", words)

    def __len__(self) -> int:
        return len(self.starts)

    def one_in(self, category: str | None, score: float) -> int:
        """N, where one in N ordinary packages scores so high or higher in this category, as far as n packages tell:
        the inverse of the conformal p-value (1 + those as high) / (n + 1). n + 1 at most; for a category that was not
        measured, the highest scores in any.
        """
        return _one_in(self._ascending.get(category or "", self._anywhere), score)

    def one_in_of_words(self, score: float) -> int | None:
        """The same for a score by words; None when none was measured."""
        return None if self._words is None else _one_in(self._words, score)


def _one_in(ascending: NDArray[np.float64], score: float) -> int:
    as_high = len(ascending) - int(np.searchsorted(ascending, score, side="left"))
    return (len(ascending) + 1) // (1 + as_high)


def highest_of_packages(scores: Scores, starts: NDArray[np.int64]) -> Scores:
    """(m,) scores of pictures -> (n,) the highest of each package; see `OrdinaryPackages`."""
    highest: Scores = np.maximum.reduceat(scores, starts) if len(starts) else np.empty(0, np.float32)
    return highest
