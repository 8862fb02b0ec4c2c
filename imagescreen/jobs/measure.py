"""What ordinary pictures resemble: from stored vectors to a version's scale of scores, with its thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagescreen.calibration.normalisation import Normalisation, Normaliser
from imagescreen.calibration.ordinary import OrdinaryPackages, highest_of_packages
from imagescreen.calibration.scale import RAW_SCORES, Scale
from imagescreen.calibration.thresholds import Scores, Thresholds, WordScores, measure_thresholds
from imagescreen.database.background_set import background_version
from imagescreen.errors import InvalidContent
from imagescreen.jobs.progress import Progress
from imagescreen.matching import WordMatcher
from imagescreen.screening.policy import Wishes

SAME_PICTURE = 0.999
"""A calibration picture this similar to a reference shows the known item itself and measures nothing."""

_BLOCK_VALUES = 1_000_000
"""Similarities held at once: 4 MB, which stay in the processor's cache until their maxima are taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Ordinary:
    """What scores are made with in one embedding space of so many dimensions: the vectors (m, d) of ordinary packages
    and how many each package has, and the background's names, hashes and vectors (b, d). `lost`: packages whose
    pictures can no longer be embedded.
    """

    vectors: NDArray[np.float32]
    sizes: NDArray[np.int64]
    background: NDArray[np.float32]
    names: Sequence[str] = ()
    sha256s: Sequence[str] = ()
    lost: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """`uncalibrated` says why there are no thresholds; every package goes to review then.

    `left_out`: background pictures that have become near-duplicates of references, by name. `known_items`: ordinary
    packages left out because they show a known item, `in_background`: because they show a background picture, and
    `lost`: because their pictures can no longer be embedded. `unused_shares`: categories that the policy gives a share
    and that have no references. `without_words`: references described in words that were left out for lack of a vector.
    """

    scale: Scale = RAW_SCORES
    uncalibrated: str | None = None
    left_out: Sequence[str] = ()
    known_items: int = 0
    in_background: int = 0
    lost: int = 0
    unused_shares: Sequence[str] = ()
    without_words: int = 0

    @property
    def thresholds(self) -> Thresholds | None:
        return self.scale.thresholds


def measure(
    ordinary: Ordinary,
    vectors: NDArray[np.float32],
    labels: NDArray[np.int32],
    categories: Sequence[str],
    words: WordMatcher,
    *,
    fingerprint: str,
    wishes: Wishes,
    near_duplicate: float,
    progress: Progress,
) -> Measured:
    """Against the pictures `vectors` (n, d), whose rows in `categories` are `labels` (n,); -1 for a picture of no known
    item. `vectors` may be a file mapped into memory: it is read once, in order.

    Background pictures with a similarity of `near_duplicate` or more to any of them are left out. `words` are those of
    described references.
    """
    asked = np.concatenate([ordinary.vectors, ordinary.background])
    best = _best_by_label(asked, vectors, labels, len(categories), progress)
    present = np.unique(labels[labels >= 0]).tolist()
    kept = np.flatnonzero(best[:, len(ordinary.vectors) :].max(axis=0) < near_duplicate).tolist()
    left_out = [ordinary.names[row] for row in sorted(set(range(len(ordinary.background))) - set(kept))]
    scale = RAW_SCORES
    if len(kept):
        normaliser = Normaliser(ordinary.background[kept], wishes.normalisation.beta, wishes.normalisation.k)
        version = background_version(ordinary.sha256s[row] for row in kept)
        scale = Scale(
            Normalisation(version, len(kept), len(left_out), normaliser.beta, normaliser.k, fingerprint), normaliser
        )
    if not len(ordinary.sizes):
        why = "there are no calibration packages: run scripts/calibrate.py"
        return Measured(scale, why, left_out, lost=ordinary.lost, without_words=len(words.lacking))
    by_category = {categories[row]: best[row, : len(ordinary.vectors)] for row in present}
    return _calibrated(ordinary, scale, by_category, words, left_out, fingerprint=fingerprint, wishes=wishes)


def _calibrated(
    ordinary: Ordinary,
    scale: Scale,
    similarities: Mapping[str, NDArray[np.float32]],
    words: WordMatcher,
    left_out: Sequence[str],
    *,
    fingerprint: str,
    wishes: Wishes,
) -> Measured:
    """`similarities`: for each category with references, (m,) the best one to each ordinary picture."""
    starts = np.cumsum(ordinary.sizes) - ordinary.sizes
    nearest = np.max(np.stack([np.full(len(ordinary.vectors), -1, np.float32), *similarities.values()]), axis=0)
    known = _of_packages(nearest >= SAME_PICTURE, starts)
    in_background = np.zeros(len(starts), np.bool_)
    terms = scale.terms(ordinary.vectors).astype(np.float32)
    if scale.normaliser is not None:
        in_background = _of_packages(scale.normaliser.highest(ordinary.vectors) >= SAME_PICTURE, starts) & ~known
    counts = ~(known | in_background)
    rows = np.repeat(counts, ordinary.sizes)
    sizes = ordinary.sizes[counts]
    kept_starts = np.cumsum(sizes) - sizes
    highest = {
        category: highest_of_packages(own[rows] - terms[rows], kept_starts) for category, own in similarities.items()
    }
    unused = sorted(wishes.shares.keys() - similarities.keys())
    left = (left_out, int(known.sum()), int(in_background.sum()), ordinary.lost, unused, len(words.lacking))
    by_words = words_of_packages(words, ordinary.vectors[rows], kept_starts, scale)
    try:
        thresholds = measure_thresholds(
            highest,
            pictures=int(sizes.sum()),
            fingerprint=fingerprint,
            background=None if scale.normalisation is None else scale.normalisation.background,
            rates=wishes.rates,
            weights=wishes.shares,
            words=None if by_words is None else WordScores(by_words, len(words), wishes.words.shares()),
        )
    except InvalidContent as error:
        return Measured(scale, error.detail, *left)
    packages = OrdinaryPackages(ordinary.vectors[rows], terms[rows], kept_starts, highest, by_words)
    return Measured(Scale(scale.normalisation, scale.normaliser, thresholds, packages), None, *left)


def words_of_packages(
    words: WordMatcher, vectors: NDArray[np.float32], starts: NDArray[np.int64], scale: Scale
) -> Scores | None:
    """(n,) the highest score by words of each package, see `OrdinaryPackages`; None when nothing is described."""
    return highest_of_packages(words.highest(vectors, scale.centre), starts) if len(words) else None


def _of_packages(pictures: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(m,) -> (n,) whether any picture of the package is so."""
    return np.logical_or.reduceat(pictures, starts)


def _best_by_label(
    asked: NDArray[np.float32],
    vectors: NDArray[np.float32],
    labels: NDArray[np.int32],
    categories: int,
    progress: Progress,
) -> NDArray[np.float32]:
    """(categories + 1, q) best similarity of each of `asked` (q, d) to the pictures of each label, -1 where there is
    none; the last row is that of no category.
    """
    best = np.full((categories + 1, len(asked)), -1.0, np.float32)
    if not len(asked):
        return best
    step = max(64, _BLOCK_VALUES // len(asked))
    for start in range(0, len(vectors), step):
        block_labels = labels[start : start + step]
        order = np.argsort(block_labels, kind="stable")
        ascending = block_labels[order]
        firsts = np.flatnonzero(np.diff(ascending, prepend=np.int32(-2)))
        similarities = vectors[start : start + step][order] @ asked.T
        highest = np.maximum.reduceat(similarities, firsts, axis=0)
        # Label -1 is the last row.
        rows = ascending[firsts]
        best[rows] = np.maximum(best[rows], highest)
        progress("measuring thresholds", min(start + step, len(vectors)), len(vectors))
    return best
