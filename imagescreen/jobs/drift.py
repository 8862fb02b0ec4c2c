"""Watches what references that come between builds do to the promised rates: a light thread of every server process.

Thresholds stay those of the version, but references that were added since can lift the highest scores of ordinary
packages over them. Only the new pictures are compared with the packages' vectors, a map of the version's file; and with
the background, since one that is there too would lower the scores of whatever resembles it.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TypeAlias
from uuid import UUID

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import select

from imagescreen.calibration.ordinary import OrdinaryPackages, highest_of_packages
from imagescreen.calibration.scale import Scale
from imagescreen.calibration.thresholds import Scores, Thresholds, above_any
from imagescreen.database.session import Database
from imagescreen.database.tables import ReferenceRow
from imagescreen.jobs.measure import SAME_PICTURE, words_of_packages
from imagescreen.matching import IndexSnapshot, WordMatcher
from imagescreen.matching.picture_set import reference_id_of
from imagescreen.references.facts import ReferenceKind
from imagescreen.references.loading import lower_priority_of_thread
from imagescreen.serving.state import Serving

_CategoriesOf: TypeAlias = Callable[[list[UUID]], Mapping[UUID, str]]

LOOK_S = 2.0
TOLERANCE = 0.1
"""Part of a promised rate by which the expected one may move before it is told."""

_PICTURES_AT_ONCE = 256
_IDS_AT_ONCE = 500


class RateDrift(msgspec.Struct, frozen=True):
    """Shares of ordinary packages: as promised, as measured by the build, and as expected with what was added since.

    `moved`: by more than a tenth of what was promised.
    """

    promised: float
    at_build: float
    expected: float
    moved: bool


class Drift(msgspec.Struct, frozen=True):
    """What `added_pictures` of known items since the version, and words, do to the rates; `hold` is null where nothing
    is held.

    `in_background`: how many of them the background nearly has, which the next build leaves out of it.
    What was withdrawn is not taken off before the next build, so that the expected rates are at most too high.
    """

    added_pictures: int
    in_background: int
    review: RateDrift
    hold: RateDrift | None

    def sentence(self) -> str | None:
        """What to do, when a rate has moved or what came is in the background."""
        told: list[str] = []
        for name, rate in (("review", self.review), ("hold", self.hold)):
            if rate is not None and rate.moved:
                told.append(
                    f"of ordinary packages {rate.expected:.2%} are expected to go to {name}, where {rate.at_build:.2%} "
                    f"were measured and {rate.promised:.2%} promised"
                )
        if self.in_background:
            told.append(
                f"the background nearly has {self.in_background} of the pictures that were added, so that what "
                "resembles them scores too low"
            )
        return f"{'; '.join(told)}: run scripts/reindex.py" if told else None


class DriftWatch:
    """`state` is what the last look found; None before calibration, and before the first look."""

    def __init__(self, database: Database, serving: Serving, *, near_duplicate: float) -> None:
        """`near_duplicate`: similarity from which on the background nearly has a picture."""
        self._database = database
        self._serving = serving
        self._near_duplicate = near_duplicate
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger("imagescreen.drift")
        self._watched: _Watched | None = None
        self.state: Drift | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Takes what is served now into account."""
        served = self._serving.current()
        scale = served.scale
        if scale.thresholds is None or scale.ordinary is None:
            self._watched = self.state = None
            return
        if self._watched is None or self._watched.scale is not scale:
            self._watched = _Watched(scale, scale.thresholds, scale.ordinary, self._near_duplicate)
        # Both are looked at, so not with `or`.
        if self._watched.take(served.snapshot, self._categories, self._stop) | self._watched.take_words(served.words):
            before, self.state = self.state, self._watched.drift()
            told = self.state.sentence()
            if told is not None and (before is None or before.sentence() is None):
                self._log.warning("rates_moved", what=told)

    def _run(self) -> None:
        lower_priority_of_thread()
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:
                # The thread must outlive whatever happened, a database that is away for one.
                self._log.warning("drift_not_measured", exc_info=error)
            self._stop.wait(LOOK_S)

    def _categories(self, reference_ids: list[UUID]) -> Mapping[UUID, str]:
        """Those of the known items among them."""
        found: dict[UUID, str] = {}
        with self._database.read_connection() as connection:
            for start in range(0, len(reference_ids), _IDS_AT_ONCE):
                rows = connection.execute(
                    select(ReferenceRow.id, ReferenceRow.category).where(
                        ReferenceRow.id.in_(reference_ids[start : start + _IDS_AT_ONCE]),
                        ReferenceRow.kind == ReferenceKind.KNOWN_ITEM.value,
                        ReferenceRow.category.is_not(None),
                    )
                )
                found.update({row[0]: row[1] for row in rows})
        return found


class _Watched:
    """The highest scores of one version's ordinary packages, with what came since."""

    def __init__(self, scale: Scale, thresholds: Thresholds, ordinary: OrdinaryPackages, near_duplicate: float) -> None:
        self.scale = scale
        self._near_duplicate = near_duplicate
        self._thresholds = thresholds
        self._ordinary = ordinary
        self._highest: dict[str, Scores] = {name: scores.copy() for name, scores in ordinary.highest.items()}
        self._known_items = np.zeros(len(ordinary), np.bool_)
        self._seen = np.empty(0, np.int64)
        self._snapshot: IndexSnapshot | None = None
        self._words: WordMatcher | None = None
        self._by_words = ordinary.words
        self._added = 0
        self._in_background = 0

    def take(self, snapshot: IndexSnapshot, categories_of: _CategoriesOf, stop: threading.Event) -> bool:
        """Whether there was anything to look at; a picture is looked at once."""
        if snapshot is self._snapshot:
            return False
        for part in snapshot.recent:
            counts = ~np.isin(part.pictures.picture_ids, self._seen)
            counts[part.superseded] = False
            rows = np.flatnonzero(counts)
            keys = [reference_id_of(key) for key in part.pictures.keys(rows).tolist()]
            categories = categories_of(list(set(keys)))
            for start in range(0, len(rows), _PICTURES_AT_ONCE):
                if stop.is_set():
                    return False
                block = rows[start : start + _PICTURES_AT_ONCE]
                named = [categories.get(key) for key in keys[start : start + _PICTURES_AT_ONCE]]
                self._add(part.pictures.vectors[block], named)
            self._seen = np.union1d(self._seen, part.pictures.picture_ids[rows])
        self._snapshot = snapshot
        return True

    def take_words(self, words: WordMatcher) -> bool:
        """Whether they are others than before. All of them are looked at, so what was withdrawn is taken off."""
        if words is self._words:
            return False
        self._words = words
        self._by_words = words_of_packages(words, self._ordinary.vectors, self._ordinary.starts, self.scale)
        return True

    def drift(self) -> Drift:
        thresholds = self._thresholds
        return Drift(
            self._added,
            self._in_background,
            self._rate("review", thresholds.rates.review),
            self._rate("hold", thresholds.rates.hold) if thresholds.total.hold.measured is not None else None,
        )

    def _add(self, vectors: NDArray[np.float32], categories: list[str | None]) -> None:
        known = [row for row, category in enumerate(categories) if category is not None]
        if not known:
            return
        similarities = vectors[known] @ self._ordinary.vectors.T
        starts = self._ordinary.starts
        self._known_items |= np.logical_or.reduceat(similarities.max(axis=0) >= SAME_PICTURE, starts)
        named = [categories[row] for row in known]
        for category in {name for name in named if name is not None}:
            rows = [row for row, name in enumerate(named) if name == category]
            scores = highest_of_packages(similarities[rows].max(axis=0) - self._ordinary.terms, starts)
            before = self._highest.get(category)
            self._highest[category] = scores if before is None else np.maximum(before, scores)
        self._added += len(known)
        if self.scale.normaliser is not None:
            nearest = self.scale.normaliser.highest(vectors[known])
            self._in_background += int(np.count_nonzero(nearest >= self._near_duplicate))

    def _rate(self, name: str, promised: float) -> RateDrift:
        at_build = float(np.mean(above_any(self._ordinary.highest, self._ordinary.words, self._thresholds, name)))
        above = above_any(self._highest, self._by_words, self._thresholds, name)[~self._known_items]
        expected = float(np.mean(above)) if len(above) else 0.0
        return RateDrift(promised, at_build, expected, abs(expected - at_build) > TOLERANCE * promised)
