"""What one screening searches from start to end: an index version with the changes since, in memory."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex, InvalidContent, UnsoundVector
from imagescreen.matching.changes import PictureChange
from imagescreen.matching.manifest import VersionManifest
from imagescreen.matching.opened_files import OpenedFiles
from imagescreen.matching.picture_set import Keys, PictureSet, keys_of, locate
from imagescreen.matching.search import Neighbour, Searchable, nearest_references
from imagescreen.matching.soundness import check_vectors
from imagescreen.matching.versions import IndexVersion

_SMALLER = 8
"""A set of recent pictures is at least this many times larger than the next one, or the two are merged."""


_COPIED_AT_ONCE = 2048

Part = TypeVar("Part", bound=Searchable)


@dataclass(frozen=True, slots=True, eq=False)
class Recent(Searchable):
    """Pictures that came or changed since the version. `base_rows` (r,): where its references stand among those of the
    version, -1 for nowhere.
    """

    base_rows: NDArray[np.int64]

    @classmethod
    def of(cls, pictures: PictureSet, base: PictureSet) -> Self:
        rows, there = locate(base.references, pictures.references)
        return cls(pictures, _no_rows(), np.where(there, rows, -1))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IndexSnapshot:
    """Immutable: `with_changes` makes a new one, and whoever searches the old one is not disturbed.

    `base` is the index version without what was superseded since, `recent` the pictures that came or changed since:
    few sets, each much smaller than the one before, so that a change costs in proportion to what it tells. `files` are
    those behind the version; None without one.
    """

    manifest: VersionManifest | None
    fingerprint: str
    dimension: int
    sequence: int
    base: Searchable
    recent: tuple[Recent, ...] = ()
    files: OpenedFiles | None = None
    picture_count: int = field(init=False)
    reference_count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "picture_count", len(self.base) + sum(map(len, self.recent)))
        object.__setattr__(self, "reference_count", _count_references(self.base, self.recent))

    @classmethod
    def empty(cls, fingerprint: str, dimension: int) -> Self:
        """Nothing to match yet: no version, and the change feed from its start."""
        return cls(
            manifest=None,
            fingerprint=fingerprint,
            dimension=dimension,
            sequence=0,
            base=Searchable(
                PictureSet.of(np.empty((0, dimension), np.float32), np.empty(0, np.int64), keys_of(())), _no_rows()
            ),
        )

    @classmethod
    def of_version(cls, version: IndexVersion) -> Self:
        """An index version as it is on disk."""
        return cls(
            manifest=version.manifest,
            fingerprint=version.manifest.fingerprint,
            dimension=version.manifest.dimension,
            sequence=version.manifest.sequence,
            base=Searchable(version.pictures, _no_rows()),
            files=version.files,
        )

    @property
    def version(self) -> str | None:
        return self.manifest.version if self.manifest else None

    @property
    def changes_since_version(self) -> int:
        """Pictures that came or changed since the version, and those of the version that were superseded."""
        return sum(map(len, self.recent)) + len(self.base.superseded)

    def with_changes(self, changes: Iterable[PictureChange], sequence: int) -> Self:
        """The state after `changes`, which reach up to the feed entry `sequence`.

        Of several changes to one picture the last one holds, and telling the same ones again changes nothing. Costs in
        proportion to what is told, and now and then to what has changed since the version; never to the version.

        Raises BrokenIndex for a vector that is not (d,) float32 of unit length, an id below 1, or a feed that goes
        back.
        """
        if sequence < self.sequence:
            raise BrokenIndex(f"the change feed went back from entry {self.sequence} to entry {sequence}")
        latest = {change.picture_id: change for change in changes}
        told = [latest[picture_id] for picture_id in sorted(latest)]
        if told and told[0].picture_id < 1:
            raise BrokenIndex(f"picture ids start at 1, but a change names picture {told[0].picture_id}")
        told_ids = _ids_of(told)
        shown = [change for change in told if change.vector is not None]
        vectors = _stacked(shown, self.dimension)

        as_in_base = _same(self.base.pictures, shown, vectors)
        restored = np.isin(told_ids, _ids_of([c for c, same in zip(shown, as_in_base, strict=True) if same]))
        base = _superseding(_restoring(self.base, told_ids[restored]), told_ids[~restored])
        recent = [_superseding(part, told_ids) for part in self.recent]
        added = [change for change, same in zip(shown, as_in_base, strict=True) if not same]
        if added:
            keys = keys_of(change.reference_id for change in added)
            pictures = PictureSet.of(vectors[~as_in_base], _ids_of(added), keys)
            recent.append(Recent.of(pictures, base.pictures))
        return replace(self, sequence=sequence, base=base, recent=_tidied(recent, base.pictures))

    def search(
        self, queries: NDArray[np.float32], *, count: int, at_least: float | NDArray[np.float64] = math.inf
    ) -> list[list[Neighbour]]:
        """The references that `queries` (n, d) float32, unit length, resemble: one list a query, best first.

        Each list has the `count` nearest references (fewer when there are fewer) and besides every reference with a
        similarity of `at_least` or more, one limit for all queries or (n,), one for each. A reference is there once,
        with its most similar picture; of equal ones the lower picture id comes first. Similarities are exact, and the
        same whatever other queries are asked at the same time. Nothing is missed, but for a version of inverted lists
        what lies in lists that are not looked at; its manifest tells the recall that was measured.

        Raises UnsoundVector for queries that are not so, InvalidContent for a negative count, a NaN limit or another
        number of limits than of queries.
        """
        check_vectors(queries, self.dimension, name=lambda row: f"query {row}", error=UnsoundVector)
        limits = np.asarray(at_least, np.float64)
        if count < 0 or np.isnan(limits).any():
            raise InvalidContent(
                f"a search takes a count of 0 or more and a number as its limit, not {count}, {at_least}"
            )
        if limits.shape not in ((), (len(queries),)):
            raise InvalidContent(f"a search of {len(queries)} queries takes one limit or as many, not {limits.shape}")
        parts = (self.base, *self.recent)
        # Looking for more references than there are would go through every picture.
        return nearest_references(
            parts,
            queries,
            count=min(count, self.reference_count),
            at_least=np.broadcast_to(limits, (len(queries),)),
        )


def _no_rows() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


def _ids_of(changes: list[PictureChange]) -> NDArray[np.int64]:
    return np.fromiter((change.picture_id for change in changes), np.int64, len(changes))


def _stacked(changes: list[PictureChange], dimension: int) -> NDArray[np.float32]:
    """The vectors (n, d) of changes that have one, checked."""
    vectors = np.empty((len(changes), dimension), np.float32)
    for row, change in enumerate(changes):
        vector = change.vector
        if vector is None or vector.shape != (dimension,) or vector.dtype != np.float32:
            raise BrokenIndex(f"the vector of picture {change.picture_id} must be ({dimension},) float32")
        vectors[row] = vector
    check_vectors(vectors, dimension, name=lambda row: f"picture {changes[row].picture_id}", error=BrokenIndex)
    return vectors


def _same(base: PictureSet, changes: list[PictureChange], vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the changes say what `base` holds already."""
    ids = _ids_of(changes)
    rows, same = locate(base.picture_ids, ids)
    rows = rows[same]
    keys = keys_of(change.reference_id for change in changes)
    same[same] = (base.keys(rows) == keys[same]) & (base.vectors[rows] == vectors[same]).all(axis=1)
    return same


def _rows_of(part: Searchable, picture_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of those of the pictures that are there, superseded or not."""
    rows, present = locate(part.pictures.picture_ids, picture_ids)
    return rows[present]


def _superseding(part: Part, picture_ids: NDArray[np.int64]) -> Part:
    rows = _rows_of(part, picture_ids)
    return replace(part, superseded=np.union1d(part.superseded, rows)) if len(rows) else part


def _restoring(part: Searchable, picture_ids: NDArray[np.int64]) -> Searchable:
    rows = _rows_of(part, picture_ids)
    return replace(part, superseded=np.setdiff1d(part.superseded, rows, assume_unique=True)) if len(rows) else part


def _tidied(recent: list[Recent], base: PictureSet) -> tuple[Recent, ...]:
    """Sets that have become small are merged into the one before, and those that are mostly superseded are thinned.

    Each picture is copied a few times in its life, and a search looks through few sets.
    """
    tidy: list[Recent] = []
    for part in recent:
        if not len(part):
            continue
        tidy.append(_merged([part], base) if len(part) < len(part.superseded) else part)
        while len(tidy) > 1 and len(tidy[-2]) < _SMALLER * len(tidy[-1]):
            tidy[-2:] = [_merged(tidy[-2:], base)]
    return tuple(tidy)


def _merged(parts: list[Recent], base: PictureSet) -> Recent:
    """One set of what counts in `parts`."""
    rows = [np.delete(np.arange(len(part.pictures)), part.superseded) for part in parts]
    ids = np.concatenate([part.pictures.picture_ids[r] for part, r in zip(parts, rows, strict=True)])
    keys: Keys = np.concatenate([part.pictures.keys(r) for part, r in zip(parts, rows, strict=True)])
    order = np.argsort(ids)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    vectors = np.empty((len(ids), parts[0].pictures.vectors.shape[1]), np.float32)
    start = 0
    for part, r in zip(parts, rows, strict=True):
        # A few at a time: numpy keeps other threads waiting while it copies.
        for block in np.array_split(np.arange(len(r)), len(r) // _COPIED_AT_ONCE + 1):
            vectors[places[start + block]] = part.pictures.vectors[r[block]]
        start += len(r)
    return Recent.of(PictureSet.of(vectors, ids[order], keys[order]), base)


def _count_references(base: Searchable, recent: tuple[Recent, ...]) -> int:
    """Distinct references with a picture that can match."""
    emptied = _emptied(base)
    count = len(base.pictures.references) - len(emptied)
    for place, part in enumerate(recent):
        new = part.base_rows < 0
        if len(emptied):
            new |= np.isin(part.base_rows, emptied)
        new[_emptied(part)] = False
        for larger in recent[:place]:
            candidates = np.flatnonzero(new)
            rows, there = locate(larger.pictures.references, part.pictures.references[candidates])
            there &= ~np.isin(rows, _emptied(larger))
            new[candidates[there]] = False
        count += int(np.count_nonzero(new))
    return count


def _emptied(part: Searchable) -> NDArray[np.int32]:
    """The rows of the references of which no picture counts any more."""
    thinned, lost = np.unique(part.pictures.reference_rows[part.superseded], return_counts=True)
    emptied: NDArray[np.int32] = thinned[lost == part.pictures.pictures_per_reference[thinned]]
    return emptied
