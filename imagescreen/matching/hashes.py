"""Hashes of reference pictures in, copies out: by the bytes of the file (sha256), and by PDQ within some bits.

Like the index, it is told of changes and knows no database. Unlike it, it is whole in memory: 140 bytes a picture.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from imagescreen.matching.pdq_search import BYTES, PdqSearch, pdq_search
from imagescreen.matching.picture_set import KEY, Keys, keys_of, reference_id_of

_LEAST_MERGED = 1024
_SMALLER = 8


@dataclass(frozen=True, slots=True)
class ReferenceHash:
    """What is known of one picture of a reference; `picture_id` is None for a hash that came without any picture.

    `sha256` and `pdq` have 32 bytes each; at least one is there.
    """

    reference_id: UUID
    picture_id: int | None
    sha256: bytes | None
    pdq: bytes | None


@dataclass(frozen=True, slots=True, eq=False)
class HashQuery:
    """A picture to look for: its sha256, and its PDQ hash in r rotations and mirrorings, (r, 32) uint8, if any."""

    sha256: bytes
    pdq: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class Copy:
    """A reference of which the query is a copy: in how many bits they differ, None when it is the very same file."""

    reference_id: UUID
    picture_id: int | None
    distance: int | None


@dataclass(frozen=True, slots=True, eq=False)
class _Hashes:
    """n hashes in the order of their references' keys, of which those in `withdrawn` (n,) do not count."""

    keys: Keys
    picture_ids: NDArray[np.int64]  # 0: none
    sha256s: NDArray[np.uint8]  # (n, 32)
    has_sha256: NDArray[np.bool_]
    pdqs: NDArray[np.uint8]  # (n, 32)
    has_pdq: NDArray[np.bool_]
    withdrawn: NDArray[np.bool_]
    sha256_starts: NDArray[np.uint64]  # (m,) ascending: the first 8 bytes of those that are there
    sha256_rows: NDArray[np.int64]  # (m,)
    pdq_search: PdqSearch
    pdq_rows: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        *,
        keys: Keys,
        picture_ids: NDArray[np.int64],
        sha256s: NDArray[np.uint8],
        has_sha256: NDArray[np.bool_],
        pdqs: NDArray[np.uint8],
        has_pdq: NDArray[np.bool_],
    ) -> Self:
        order = np.argsort(keys, kind="stable")
        keys, picture_ids = keys[order], picture_ids[order]
        sha256s, has_sha256, pdqs, has_pdq = sha256s[order], has_sha256[order], pdqs[order], has_pdq[order]
        rows = np.flatnonzero(has_sha256)
        starts = _starts(sha256s[rows])
        by_start = np.argsort(starts, kind="stable")
        pdq_rows = np.flatnonzero(has_pdq)
        return cls(
            keys,
            picture_ids,
            sha256s,
            has_sha256,
            pdqs,
            has_pdq,
            np.zeros(len(keys), np.bool_),
            starts[by_start],
            rows[by_start],
            pdq_search(pdqs[pdq_rows]),
            pdq_rows,
        )

    @classmethod
    def of_hashes(cls, hashes: Sequence[ReferenceHash]) -> Self:
        return cls.of(
            keys=keys_of(one.reference_id for one in hashes) if hashes else np.empty(0, KEY),
            picture_ids=np.array([one.picture_id or 0 for one in hashes], np.int64),
            sha256s=_stacked([one.sha256 for one in hashes]),
            has_sha256=np.array([one.sha256 is not None for one in hashes], np.bool_),
            pdqs=_stacked([one.pdq for one in hashes]),
            has_pdq=np.array([one.pdq is not None for one in hashes], np.bool_),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """What counts in all of them."""

        def column(name: str) -> Any:
            return np.concatenate([getattr(part, name)[~part.withdrawn] for part in parts])

        names = ("keys", "picture_ids", "sha256s", "has_sha256", "pdqs", "has_pdq")
        return cls.of(**{name: column(name) for name in names})

    def __len__(self) -> int:
        return len(self.keys)

    def without(self, keys: Keys) -> Self:
        """With the hashes of some references withdrawn."""
        starts, ends = np.searchsorted(self.keys, keys, "left"), np.searchsorted(self.keys, keys, "right")
        if not (ends > starts).any():
            return self
        withdrawn = self.withdrawn.copy()
        for start, end in zip(starts, ends, strict=True):
            withdrawn[start:end] = True
        members = {name: getattr(self, name) for name in self.__slots__} | {"withdrawn": withdrawn}
        return type(self)(**members)

    def same_file(self, sha256: bytes) -> list[int]:
        """The rows with these bytes."""
        wanted = np.frombuffer(sha256, np.uint8)
        start = _starts(wanted[np.newaxis])[0]
        first, last = (int(np.searchsorted(self.sha256_starts, start, side)) for side in ("left", "right"))
        rows = self.sha256_rows[first:last]
        return [int(row) for row in rows if not self.withdrawn[row] and (self.sha256s[row] == wanted).all()]

    def near(self, pdqs: NDArray[np.uint8], max_distance: int) -> list[tuple[int, int, int]]:
        """(query, row, distance) of all within `max_distance` bits of `pdqs` (q, 32)."""
        queries, places, distances = self.pdq_search.within(pdqs, max_distance)
        rows = self.pdq_rows[places]
        counts = ~self.withdrawn[rows]
        return list(zip(queries[counts].tolist(), rows[counts].tolist(), distances[counts].tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class HashSnapshot:
    """Immutable, so any number of threads may search it while the next one is made."""

    base: _Hashes
    recent: _Hashes

    @classmethod
    def empty(cls) -> Self:
        return cls.of([])

    @classmethod
    def of(cls, hashes: Sequence[ReferenceHash]) -> Self:
        return cls.of_parts([hashes])

    @classmethod
    def of_parts(cls, parts: Iterable[Sequence[ReferenceHash]]) -> Self:
        """As `of`, with one part at a time in memory."""
        none = _Hashes.of_hashes([])
        return cls(_Hashes.joined([none, *(_Hashes.of_hashes(part) for part in parts)]), none)

    def with_changes(self, reference_ids: Collection[UUID], hashes: Sequence[ReferenceHash]) -> Self:
        """`hashes` are all that the references `reference_ids` have now; theirs of before do not count any more.

        Costs in proportion to what is told and to what has changed since the last merge.
        """
        if not reference_ids:
            return self
        keys = keys_of(reference_ids)
        base = self.base.without(keys)
        recent = _Hashes.joined([self.recent.without(keys), _Hashes.of_hashes(hashes)])
        if len(recent) + int(base.withdrawn.sum()) > max(_LEAST_MERGED, len(base) // _SMALLER):
            return type(self)(_Hashes.joined([base, recent]), _Hashes.of_hashes([]))
        return type(self)(base, recent)

    @property
    def pdq_count(self) -> int:
        """PDQ hashes that are searched."""
        return sum(int((part.has_pdq & ~part.withdrawn).sum()) for part in (self.base, self.recent))

    @property
    def without_picture_count(self) -> int:
        """Hashes that came without a picture."""
        return sum(int(((part.picture_ids == 0) & ~part.withdrawn).sum()) for part in (self.base, self.recent))

    def copies(self, queries: Sequence[HashQuery], *, max_distance: int) -> list[list[Copy]]:
        """For each query the references of which it is a copy, the same file first, then by distance.

        A reference is there once, with its closest picture. Exact, for `max_distance` up to 31.
        """
        found: list[dict[UUID, Copy]] = [{} for _ in queries]
        hashed = [(place, query.pdq) for place, query in enumerate(queries) if query.pdq is not None]
        turned = [place for place, pdq in hashed for _ in pdq]
        stacked = np.ascontiguousarray(np.concatenate([pdq for _, pdq in hashed])) if hashed else None
        for part in (self.base, self.recent):
            for place, query in enumerate(queries):
                for row in part.same_file(query.sha256):
                    _note(found[place], part, row, None)
            if stacked is not None:
                for query_row, row, distance in part.near(stacked, max_distance):
                    _note(found[turned[query_row]], part, row, distance)
        return [sorted(one.values(), key=_closeness) for one in found]


def _note(found: dict[UUID, Copy], part: _Hashes, row: int, distance: int | None) -> None:
    reference_id = reference_id_of(bytes(part.keys[row]))
    copy = Copy(reference_id, int(part.picture_ids[row]) or None, distance)
    known = found.get(reference_id)
    if known is None or _closeness(copy) < _closeness(known):
        found[reference_id] = copy


def _closeness(copy: Copy) -> tuple[int, int, UUID]:
    return (-1 if copy.distance is None else copy.distance, copy.picture_id or 0, copy.reference_id)


def _stacked(hashes: Sequence[bytes | None]) -> NDArray[np.uint8]:
    joined = b"".join(bytes(BYTES) if one is None else one for one in hashes)
    return np.frombuffer(joined, np.uint8).reshape(-1, BYTES)


def _starts(sha256s: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(m,) the first 8 bytes of each as a number."""
    starts: NDArray[np.uint64] = np.ascontiguousarray(sha256s[:, :8]).view(np.uint64).reshape(-1)
    return starts
