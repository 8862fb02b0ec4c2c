"""How well the right reference is found: metrics over ranked ids, in numpy."""

from typing import cast

import numpy as np
import numpy.typing as npt

from imagescreen.errors import WrongUse

Ids = npt.NDArray[np.int64]


def first_ranks(ranked: Ids, relevant: Ids) -> Ids:
    """(n,) int64: the place of the right id, counted from 1; k + 1 where it is not among the k given.

    `ranked` is (n, k), best first, `relevant` (n,). Raises WrongUse.
    """
    if ranked.ndim != 2 or relevant.shape != ranked.shape[:1]:
        raise WrongUse(f"ranked ids of shape {ranked.shape} need right ids of shape (n,), not {relevant.shape}")
    if ranked.size == 0:
        raise WrongUse("there is nothing to measure: no queries, or no ranked ids")
    hit = ranked == relevant[:, None]
    return cast(Ids, np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, ranked.shape[1] + 1))


def recall_at(k: int, ranked: Ids, relevant: Ids) -> float:
    """The share of queries whose right id is among the first `k`, from 0 to 1.

    With one right id a query this is the recall at k of Jegou et al., "Product quantization for nearest neighbor
    search" (2011). `ranked` is (n, at least k), best first, `relevant` (n,). Raises WrongUse.
    """
    if not 1 <= k <= ranked.shape[-1]:
        raise WrongUse(f"recall at {k} needs at least {k} ranked ids a query (and k from 1), not {ranked.shape[-1]}")
    return float((first_ranks(ranked, relevant) <= k).mean())


def mean_reciprocal_rank(ranked: Ids, relevant: Ids) -> float:
    """The mean of 1 / place of the right id, 0 where it is not among those given (Voorhees, TREC-8, 1999).

    `ranked` is (n, k), best first, `relevant` (n,). Raises WrongUse.
    """
    ranks = first_ranks(ranked, relevant)
    return float(np.where(ranks <= ranked.shape[1], 1.0 / ranks, 0.0).mean())
