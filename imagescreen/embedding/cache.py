"""Vectors of pictures that were embedded before: listings repeat their photos."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeAlias

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from imagescreen.embedding.patience import Patience
from imagescreen.errors import PictureProblem

Outcome: TypeAlias = NDArray[np.float32] | PictureProblem
"""What became of one picture: its vector (d,), or why it has none."""

Key: TypeAlias = tuple[str, str]
"""Fingerprint of the embedding space, and sha256 of the picture's bytes."""


Stored: TypeAlias = Callable[[Sequence[Key]], Mapping[Key, NDArray[np.float32]]]
"""Vectors that are kept elsewhere, of those of some pictures that are there."""


class _Abandoned(Exception):
    """Whoever worked on a picture failed for a reason of its own: the next one in line tries again."""


def _follower(future: "Future[Outcome]") -> "Future[Outcome]":
    """A future of one's own with the same end: who gives it up disturbs nobody else."""
    own: Future[Outcome] = Future()

    def end(ended: "Future[Outcome]") -> None:
        if own.set_running_or_notify_cancel():
            error = ended.exception()
            if error is None:
                own.set_result(ended.result())
            else:
                own.set_exception(error)

    future.add_done_callback(end)
    return own


class VectorCache:
    """The vectors of the `max_pictures` pictures that were asked for last; safe to use from many threads.

    Each takes 4 d bytes and some 300 for the key. Callers that need the same picture at the same time share one
    computation. Problems are shared but not remembered: some pass, want of memory for one. What is not in memory is
    looked up with `stored`, if there is one, before it is computed.
    """

    def __init__(self, *, max_pictures: int, stored: Stored | None = None) -> None:
        self._stored = stored
        self._known: LRUCache[Key, NDArray[np.float32]] = LRUCache(max_pictures)
        self._under_way: dict[Key, Future[Outcome]] = {}
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0

    @property
    def hits(self) -> int:
        """Pictures answered without computing anything, since the start."""
        return self._hits

    @property
    def misses(self) -> int:
        return self._misses

    def outcomes(
        self,
        keys: Sequence[Key],
        compute: Callable[[Sequence[int]], Sequence[Outcome]],
        patience: Patience | None = None,
    ) -> list[Outcome]:
        """One outcome for each of `keys`; `compute` is called with the positions, in order, of those nobody knows yet.

        Raises what `compute` raises; then nothing is remembered, and others who waited for these pictures compute
        them themselves. Raises what ends `patience` while it waits for others; they are not disturbed.
        """
        patience = patience or Patience()
        found: dict[Key, Outcome] = {}
        while missing := [position for position, key in enumerate(keys) if key not in found]:
            found |= self._round(keys, missing, compute, patience)
        return [found[key] for key in keys]

    def _round(
        self,
        keys: Sequence[Key],
        missing: Sequence[int],
        compute: Callable[[Sequence[int]], Sequence[Outcome]],
        patience: Patience,
    ) -> dict[Key, Outcome]:
        found: dict[Key, Outcome] = {}
        ours: dict[Key, int] = {}
        others: dict[Key, Future[Outcome]] = {}
        with self._lock:
            for position in missing:
                key = keys[position]
                if key in self._known:
                    found[key] = self._known[key]
                elif key in self._under_way and key not in ours:
                    others[key] = self._under_way[key]
                elif key not in ours:
                    ours[key] = position
                    self._under_way[key] = Future()
            self._hits += len(found) + len(others)
            self._misses += len(ours)
        # One's own first: two callers that each wait for a picture of the other would wait for ever.
        if ours:
            found |= self._computed(ours, compute)
        for key, future in others.items():
            try:
                found[key] = patience.result_of(_follower(future))
            except _Abandoned:
                continue
        return found

    def _computed(
        self, ours: dict[Key, int], compute: Callable[[Sequence[int]], Sequence[Outcome]]
    ) -> dict[Key, Outcome]:
        try:
            fresh: dict[Key, Outcome] = dict(self._stored(list(ours))) if self._stored is not None else {}
            unknown = {key: position for key, position in ours.items() if key not in fresh}
            if unknown:
                fresh |= zip(unknown, compute(list(unknown.values())), strict=True)
        except BaseException:
            with self._lock:
                futures = [self._under_way.pop(key) for key in ours]
            for future in futures:
                future.set_exception(_Abandoned())
            raise
        with self._lock:
            self._known.update(
                {key: outcome for key, outcome in fresh.items() if not isinstance(outcome, PictureProblem)}
            )
            futures = [self._under_way.pop(key) for key in fresh]
        for future, outcome in zip(futures, fresh.values(), strict=True):
            future.set_result(outcome)
        return fresh
