"""Vectors, versions and a plain model of what must be found, for the tests of this room."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from imagescreen.matching import IndexSnapshot, IndexType, Neighbour, VersionManifest, open_version, write_version

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Pictures = Mapping[int, tuple[UUID, NDArray[np.float32]]]


def unit_vectors(count: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return normalised(vectors)


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=-1, keepdims=True).astype(np.float32)
    return vectors / lengths


def near(vector: NDArray[np.float32], count: int, distance: float, seed: int = 0) -> NDArray[np.float32]:
    """Vectors (count, d) a little beside `vector`."""
    return normalised(vector + np.float32(distance) * unit_vectors(count, len(vector), seed))


def references(count: int) -> list[UUID]:
    return [UUID(int=(i + 1) << 64) for i in range(count)]


def write(
    folder: Path,
    vectors: NDArray[np.float32],
    picture_ids: Sequence[int] | None = None,
    reference_ids: Sequence[UUID] | None = None,
    *,
    sequence: int = 0,
    attachments: Mapping[str, bytes] | None = None,
    index_type: IndexType | None = None,
) -> VersionManifest:
    """A version of these vectors; by default pictures 1, 2, … of a reference each."""
    return write_version(
        folder,
        model="a-model",
        fingerprint="f1",
        vectors=vectors,
        picture_ids=np.array(range(1, len(vectors) + 1) if picture_ids is None else picture_ids, np.int64),
        reference_ids=references(len(vectors)) if reference_ids is None else reference_ids,
        sequence=sequence,
        as_of=NOON,
        built_by="the tests",
        attachments=attachments or {},
        index_type=index_type,
    )


def snapshot(
    folder: Path,
    vectors: NDArray[np.float32],
    picture_ids: Sequence[int] | None = None,
    reference_ids: Sequence[UUID] | None = None,
    index_type: IndexType | None = None,
) -> IndexSnapshot:
    manifest = write(folder, vectors, picture_ids, reference_ids, index_type=index_type)
    return IndexSnapshot.of_version(open_version(folder, manifest.version))


def expected(
    pictures: Pictures, query: NDArray[np.float32], *, count: int, at_least: float = math.inf
) -> list[Neighbour]:
    """What a search must answer, by looking at every picture."""
    ranked = sorted(
        (-min(1.0, float((vector.astype(np.float64) * query.astype(np.float64)).sum())), picture_id, reference_id)
        for picture_id, (reference_id, vector) in pictures.items()
    )
    best: dict[UUID, Neighbour] = {}
    for negative, picture_id, reference_id in ranked:
        best.setdefault(reference_id, Neighbour(picture_id, reference_id, -negative))
    return [n for place, n in enumerate(best.values()) if place < count or n.similarity >= at_least]
