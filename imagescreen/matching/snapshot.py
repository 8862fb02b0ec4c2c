"""What one screening searches from start to end: an index version with the changes since, in memory."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex, InvalidContent, UnsoundVector
from imagescreen.matching.changes import PictureChange
from imagescreen.matching.manifest import VersionManifest
from imagescreen.matching.picture_set import Keys, PictureSet, keys_of, locate
from imagescreen.matching.search import Neighbour, Searchable, nearest_references
from imagescreen.matching.soundness import check_vectors
from imagescreen.matching.versions import IndexVersion


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IndexSnapshot:
    """Immutable: `with_changes` makes a new one, and whoever searches the old one is not disturbed.

    `base` is the index version, `delta` the pictures that came or changed since, and `superseded` the ids (ascending)
    of the pictures in `base` that must not be taken from there any more.
    """

    manifest: VersionManifest | None
    fingerprint: str
    dimension: int
    sequence: int
    base: PictureSet
    delta: PictureSet
    superseded: NDArray[np.int64]
    picture_count: int = field(init=False)
    reference_count: int = field(init=False)

    def __post_init__(self) -> None:
        pictures = len(self.base) - len(self.superseded) + len(self.delta)
        object.__setattr__(self, "picture_count", pictures)
        object.__setattr__(self, "reference_count", _count_references(self.base, self.delta, self.superseded))

    @classmethod
    def empty(cls, fingerprint: str, dimension: int) -> Self:
        """Nothing to match yet: no version, and the change feed from its start."""
        return cls(
            manifest=None,
            fingerprint=fingerprint,
            dimension=dimension,
            sequence=0,
            base=_no_pictures(dimension),
            delta=_no_pictures(dimension),
            superseded=np.empty(0, np.int64),
        )

    @classmethod
    def of_version(cls, version: IndexVersion) -> Self:
        """An index version as it is on disk."""
        return cls(
            manifest=version.manifest,
            fingerprint=version.manifest.fingerprint,
            dimension=version.manifest.dimension,
            sequence=version.manifest.sequence,
            base=version.pictures,
            delta=_no_pictures(version.manifest.dimension),
            superseded=np.empty(0, np.int64),
        )

    @property
    def version(self) -> str | None:
        return self.manifest.version if self.manifest else None

    @property
    def changes_since_version(self) -> int:
        """Pictures that came, changed or went since the version was built."""
        return len(self.delta) + len(self.superseded)

    def with_changes(self, changes: Iterable[PictureChange], sequence: int) -> Self:
        """The state after `changes`, which reach up to the feed entry `sequence`.

        Of several changes to one picture the last one holds, and telling the same ones again changes nothing. Costs in
        proportion to what has changed since the version, not to the version.

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

        rows, in_base = locate(self.base.picture_ids, told_ids)
        as_in_base = _same(self.base, shown, vectors)
        restored = {change.picture_id for change, same in zip(shown, as_in_base, strict=True) if same}
        gone = [int(i) for i in self.base.picture_ids[rows[in_base]] if int(i) not in restored]
        superseded = np.union1d(np.setdiff1d(self.superseded, told_ids, assume_unique=True), np.array(gone, np.int64))

        kept = self.delta.without(told_ids)
        added = [change for change, same in zip(shown, as_in_base, strict=True) if not same]
        delta = self.delta
        if added or len(kept) < len(self.delta):
            delta = _merged(self.delta, kept, added, vectors[~as_in_base])
        return replace(self, sequence=sequence, delta=delta, superseded=superseded)

    def search(self, queries: NDArray[np.float32], *, count: int, at_least: float = math.inf) -> list[list[Neighbour]]:
        """The references that `queries` (n, d) float32, unit length, resemble: one list a query, best first.

        Each list has the `count` nearest references (fewer when there are fewer) and besides every reference with a
        similarity of `at_least` or more. A reference is there once, with its most similar picture; of equal ones the
        lower picture id comes first. Exact, and the same whatever other queries are asked at the same time.

        Raises UnsoundVector for queries that are not so, InvalidContent for a negative count or a NaN limit.
        """
        check_vectors(queries, self.dimension, name=lambda row: f"query {row}", error=UnsoundVector)
        if count < 0 or math.isnan(at_least):
            raise InvalidContent(
                f"a search takes a count of 0 or more and a number as its limit, not {count}, {at_least}"
            )
        parts = (
            Searchable(self.base, self.superseded),
            Searchable(self.delta, np.empty(0, np.int64)),
        )
        # Looking for more references than there are would go through every picture.
        return nearest_references(parts, queries, count=min(count, self.reference_count), at_least=at_least)


def _no_pictures(dimension: int) -> PictureSet:
    return PictureSet.of(np.empty((0, dimension), np.float32), np.empty(0, np.int64), keys_of(()))


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
    same[same] = (base.keys(rows) == keys[same]) & (base.vectors(rows) == vectors[same]).all(axis=1)
    return same


def _merged(
    delta: PictureSet, kept: NDArray[np.intp], added: list[PictureChange], vectors: NDArray[np.float32]
) -> PictureSet:
    ids = np.concatenate([delta.picture_ids[kept], _ids_of(added)])
    order = np.argsort(ids)
    keys: Keys = np.concatenate([delta.keys(kept), keys_of(change.reference_id for change in added)])
    return PictureSet.of(np.concatenate([delta.vectors(kept), vectors])[order], ids[order], keys[order])


def _count_references(base: PictureSet, delta: PictureSet, superseded: NDArray[np.int64]) -> int:
    """Distinct references with a picture that can match, in time proportional to `delta` and `superseded`."""
    rows, _ = locate(base.picture_ids, superseded)
    thinned, lost = np.unique(base.reference_rows[rows], return_counts=True)
    emptied = thinned[lost == base.pictures_per_reference[thinned]]
    rows, in_base = locate(base.references, delta.references)
    still_in_base = in_base.copy()
    still_in_base[in_base] = ~np.isin(rows[in_base], emptied)
    return len(base.references) - len(emptied) + int(np.count_nonzero(~still_in_base))
