"""An index version in the making: rows stream to the disk, and it appears whole or not at all."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching import structure
from imagescreen.matching.folders import building, publish, record_of
from imagescreen.matching.index_type import IndexType
from imagescreen.matching.manifest import MANIFEST_FILE, FileRecord, VersionManifest, encoded
from imagescreen.matching.picture_set import KEY, Keys, keys_of
from imagescreen.matching.progress import Progress, silent
from imagescreen.matching.soundness import check_vectors
from imagescreen.matching.structure import VECTORS_FILE
from imagescreen.matching.vector_file import VectorWriter
from imagescreen.matching.versions import (
    PICTURE_IDS_FILE,
    REFERENCE_ROWS_FILE,
    REFERENCES_FILE,
    Attachment,
    check_attachments,
    read_version,
    spread,
)


@contextmanager
def drafting(versions_dir: Path, *, dimension: int, progress: Progress = silent) -> Iterator["Draft"]:
    """A draft of an index version among `versions_dir`; what was not finished is gone at the end.

    One at a time in one folder: a second one waits, and tells `progress` so. Raises BrokenIndex when the disk does not
    take it.
    """
    if dimension < 1:
        raise BrokenIndex("an index version takes vectors (n, d) of at least one dimension")
    with building(versions_dir, progress) as folder, VectorWriter(folder / VECTORS_FILE, dimension) as writer:
        yield Draft(versions_dir, folder, writer, dimension)


class Draft:
    """Takes pictures in ascending order of their ids, and becomes an index version with `finish`."""

    def __init__(self, versions_dir: Path, folder: Path, writer: VectorWriter, dimension: int) -> None:
        self._started = time.perf_counter()
        self._versions_dir = versions_dir
        self._folder = folder
        self._writer = writer
        self._dimension = dimension
        self._picture_ids: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self._keys: list[Keys] = [np.empty(0, KEY)]

    def append(
        self, picture_ids: NDArray[np.int64], reference_ids: Sequence[UUID] | Keys, vectors: NDArray[np.float32]
    ) -> None:
        """Add vectors (n, d) float32 of unit length, of the pictures `picture_ids` (n,) int64 that show
        `reference_ids` (n). Ids ascend over all calls.

        Raises BrokenIndex for rows that cannot be indexed, naming the picture, and when the disk does not take them.
        """
        if picture_ids.shape != (len(vectors),) or picture_ids.dtype != np.int64 or len(reference_ids) != len(vectors):
            raise BrokenIndex(
                f"{len(vectors)} vectors need as many int64 picture ids and reference ids, "
                f"not {picture_ids.size} {picture_ids.dtype} and {len(reference_ids)}"
            )
        check_vectors(vectors, self._dimension, name=lambda row: f"picture {picture_ids[row]}", error=BrokenIndex)
        if not len(vectors):
            return
        self._check_order(picture_ids)
        try:
            self._writer.append(vectors)
        except OSError as error:
            raise _not_written(error) from None
        self._picture_ids.append(picture_ids.copy())
        self._keys.append(reference_ids if isinstance(reference_ids, np.ndarray) else keys_of(reference_ids))

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(n, d), everything appended so far, mapped from the disk: read-only."""
        try:
            return self._writer.mapped()
        except OSError as error:
            raise _not_written(error) from None

    @property
    def picture_ids(self) -> NDArray[np.int64]:
        """(n,) ascending, of everything appended so far."""
        self._picture_ids = [np.concatenate(self._picture_ids)]
        self._picture_ids[0].flags.writeable = False
        return self._picture_ids[0]

    @property
    def reference_keys(self) -> Keys:
        """(n,) the 16 bytes of each picture's reference id."""
        self._keys = [np.concatenate(self._keys)]
        self._keys[0].flags.writeable = False
        return self._keys[0]

    def finish(
        self,
        *,
        model: str,
        fingerprint: str,
        sequence: int,
        as_of: datetime,
        built_by: str,
        attachments: Mapping[str, Attachment],
        index_type: IndexType | None = None,
        progress: Progress = silent,
    ) -> VersionManifest:
        """Build the structure over what was appended, open the version again, and publish it when it is sound.

        `index_type`: None leaves it to the number of pictures. `progress` is told what is being done, how much of it
        is done, and how much there is. Raises BrokenIndex for an attachment that cannot be stored, and when the disk
        does not take it.
        """
        check_attachments(attachments)
        if as_of.tzinfo is None:
            raise BrokenIndex("the moment that an index version is valid for must have a time zone")
        ids = self.picture_ids
        try:
            files = {VECTORS_FILE: self._writer.close()}
            built = structure.build(
                index_type or structure.choose_type(len(ids)), self._folder, len(ids), self._dimension, progress
            )
            references = self._write_arrays()
            for name, content in attachments.items():
                (self._folder / name).write_bytes(content)
            manifest = VersionManifest(
                version="",
                model=model,
                fingerprint=fingerprint,
                dimension=self._dimension,
                sequence=sequence,
                as_of=as_of.astimezone(UTC),
                built_at=datetime.now(UTC),
                built_by=built_by,
                build_s=round(time.perf_counter() - self._started, 3),
                index_type=built.index_type,
                parameters=built.parameters,
                recall=built.recall,
                recall_queries=built.recall_queries,
                pictures=len(ids),
                references=references,
                canaries=tuple(ids[spread(len(ids))].tolist()),
                files=self._records(files),
            ).named()
            (self._folder / MANIFEST_FILE).write_bytes(encoded(manifest))
            progress("checking the version", 0, 1)
            read_version(self._folder, manifest.version)
            publish(self._folder, self._versions_dir / manifest.version)
            progress("checking the version", 1, 1)
        except OSError as error:
            raise _not_written(error) from None
        return manifest

    def _check_order(self, picture_ids: NDArray[np.int64]) -> None:
        last = self._picture_ids[-1][-1] if len(self._picture_ids[-1]) else 0
        wrong = np.flatnonzero(np.diff(picture_ids, prepend=last) <= 0)
        if not wrong.size:
            return
        picture_id = picture_ids[wrong[0]]
        before = picture_ids[wrong[0] - 1] if wrong[0] else last
        if picture_id < 1:
            raise BrokenIndex(f"picture ids start at 1, but there is a picture {picture_id}")
        if picture_id == before:
            raise BrokenIndex(f"picture {picture_id} is there more than once")
        raise BrokenIndex(f"pictures come in ascending order, but picture {picture_id} came after picture {before}")

    def _write_arrays(self) -> int:
        """Write which picture each row is and which reference it shows; returns the number of references."""
        references, reference_rows = np.unique(self.reference_keys, return_inverse=True)
        np.save(self._folder / PICTURE_IDS_FILE, self.picture_ids)
        np.save(self._folder / REFERENCES_FILE, references.view(np.uint8).reshape(-1, KEY.itemsize))
        np.save(self._folder / REFERENCE_ROWS_FILE, reference_rows.astype(np.int32))
        return len(references)

    def _records(self, known: Mapping[str, FileRecord]) -> dict[str, FileRecord]:
        paths = sorted(self._folder.iterdir())
        return {path.name: known[path.name] if path.name in known else record_of(path) for path in paths}


def write_version(
    versions_dir: Path,
    *,
    model: str,
    fingerprint: str,
    vectors: NDArray[np.float32],
    picture_ids: NDArray[np.int64],
    reference_ids: Sequence[UUID],
    sequence: int,
    as_of: datetime,
    built_by: str,
    attachments: Mapping[str, Attachment],
    index_type: IndexType | None = None,
) -> VersionManifest:
    """Write an index version of `vectors` (n, d) float32 that are in memory already, in any order; n may be 0.

    See `Draft.append` and `Draft.finish`.
    """
    if vectors.ndim != 2:
        raise BrokenIndex("an index version takes vectors (n, d) of at least one dimension")
    with drafting(versions_dir, dimension=vectors.shape[1]) as draft:
        if len(picture_ids) == len(vectors) == len(reference_ids):
            order = np.argsort(picture_ids, kind="stable")
            draft.append(picture_ids[order], keys_of(reference_ids)[order], vectors[order])
        else:
            draft.append(picture_ids, reference_ids, vectors)
        return draft.finish(
            model=model,
            fingerprint=fingerprint,
            sequence=sequence,
            as_of=as_of,
            built_by=built_by,
            attachments=attachments,
            index_type=index_type,
        )


def _not_written(error: OSError) -> BrokenIndex:
    return BrokenIndex(f"the index version could not be written: {error.strerror}")
