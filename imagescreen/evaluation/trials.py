"""One trial: references, packages that show one of them, ordinary packages, background; and what each scores."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from imagescreen.errors import WrongUse
from imagescreen.evaluation.normalising import background_means, normalised

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Trial:
    """Places in one array of vectors: (r,) references, packages of any number of pictures, (b,) background."""

    references: Ids
    positive: Sequence[Ids]
    ordinary: Sequence[Ids]
    background: Ids


@dataclass(frozen=True, slots=True)
class Scored:
    """What p packages that show a known item and o ordinary ones score: the maximum over a package's pictures.

    `right` (p,) is against references of the package's own label, `best` (p,) against any; `right_first` (p,) says
    whether the best is a right one; `ordinary` (o,) against any. The pairs, (p, 2) and (o, 2), are the places of the
    picture and of the reference that gave the score.
    """

    right: Scores
    best: Scores
    right_first: npt.NDArray[np.bool_]
    ordinary: Scores
    right_pair: Ids
    best_pair: Ids
    ordinary_pair: Ids


def score_trial(vectors: Scores, labels: Ids, trial: Trial, *, beta: float, top_k: int) -> Scored:
    """`vectors` (n, d) of unit length with `labels` (n,); a `beta` of 0 leaves the raw similarity.

    Raises WrongUse when the background has fewer than `top_k` pictures.
    """
    if not len(trial.references) or not trial.positive or not trial.ordinary:
        raise WrongUse("a trial needs references, packages that show one of them, and ordinary packages")
    positive, of_package = _flat(trial.positive)
    best, best_reference, right, right_reference = _nearest(vectors, labels, positive, trial.references)
    ordinary, of_ordinary = _flat(trial.ordinary)
    other, other_reference, _, _ = _nearest(vectors, labels, ordinary, trial.references)
    if beta:
        background = vectors[trial.background]
        term = background_means(vectors[positive], background, top_k)
        best, right = normalised(best, term, beta), normalised(right, term, beta)
        other = normalised(other, background_means(vectors[ordinary], background, top_k), beta)
    top, top_right, top_other = (
        _first_of_best(best, of_package),
        _first_of_best(right, of_package),
        _first_of_best(other, of_ordinary),
    )
    return Scored(
        right=right[top_right],
        best=best[top],
        right_first=labels[best_reference[top]] == labels[positive[top]],
        ordinary=other[top_other],
        right_pair=np.stack([positive[top_right], right_reference[top_right]], axis=1),
        best_pair=np.stack([positive[top], best_reference[top]], axis=1),
        ordinary_pair=np.stack([ordinary[top_other], other_reference[top_other]], axis=1),
    )


def nearest_scores(
    vectors: Scores, references: Ids, pictures: Ids, background: Ids, *, beta: float, top_k: int
) -> Scores:
    """(m,): the score of each of the `pictures` against the reference that it resembles most."""
    best, _, _, _ = _nearest(vectors, np.zeros(len(vectors), np.int64), pictures, references)
    return normalised(best, background_means(vectors[pictures], vectors[background], top_k), beta)


def pooled(parts: Sequence[Scored]) -> Scored:
    """Several trials' packages as those of one."""
    names = [field.name for field in fields(Scored)]
    return Scored(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def packages_of(pictures: Ids, size: int) -> list[Ids]:
    """Whole packages of `size` pictures each, in the order given; what is left over makes none."""
    return [pictures[start : start + size] for start in range(0, len(pictures) - size + 1, size)]


def _flat(packages: Sequence[Ids]) -> tuple[Ids, Ids]:
    """All pictures, (m,), and the number of the package of each, (m,)."""
    return np.concatenate(packages), np.repeat(np.arange(len(packages)), [len(package) for package in packages])


def _nearest(vectors: Scores, labels: Ids, pictures: Ids, references: Ids) -> tuple[Scores, Ids, Scores, Ids]:
    """For each picture the best similarity and whose it is, among all references and among those of its label."""
    known = vectors[references]
    best, right = np.empty(len(pictures), np.float32), np.empty(len(pictures), np.float32)
    best_at, right_at = np.empty(len(pictures), np.int64), np.empty(len(pictures), np.int64)
    for start in range(0, len(pictures), _BLOCK):
        block = slice(start, start + _BLOCK)
        similarities = vectors[pictures[block]] @ known.T
        rows = np.arange(len(similarities))
        at = similarities.argmax(axis=1)
        best[block], best_at[block] = similarities[rows, at], references[at]
        own = labels[pictures[block], None] == labels[references]
        at = np.where(own, similarities, -np.inf).argmax(axis=1)
        right[block], right_at[block] = np.where(own.any(axis=1), similarities[rows, at], -np.inf), references[at]
    return best, best_at, right, right_at


def _first_of_best(scores: Scores, groups: Ids) -> Ids:
    """The place of the highest score in each of the groups, which are numbered from 0 and none of which is empty."""
    order = np.lexsort((-scores, groups))
    return order[np.unique(groups[order], return_index=True)[1]]
