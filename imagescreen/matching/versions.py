"""Index versions on disk: written once, whole, and checked before every use."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching import structure
from imagescreen.matching.folders import building, check_files, publish, record_of
from imagescreen.matching.manifest import MANIFEST_FILE, VersionManifest, encoded, is_version_name, read_manifest
from imagescreen.matching.picture_set import KEY, PictureSet, keys_of, locate
from imagescreen.matching.soundness import check_vectors
from imagescreen.matching.structure import IndexType

INDEX_FILE = "index.faiss"
REFERENCES_FILE = "references.npy"  # (r, 16) uint8: the reference ids, ascending
REFERENCE_ROWS_FILE = "reference_rows.npy"  # (n,) int32: for each row of the index, the row in the file above
OWN_FILES = frozenset({INDEX_FILE, REFERENCES_FILE, REFERENCE_ROWS_FILE})

MAX_CANARIES = 16
CANARY_SIMILARITY = 0.999
_CANARY_DEPTH = 64
Element = TypeVar("Element", np.uint8, np.int32)
_ATTACHMENT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, eq=False)
class IndexVersion:
    """An index version that was found sound; `attachments` are the further files that came with it, by name."""

    manifest: VersionManifest
    attachments: Mapping[str, bytes]
    pictures: PictureSet


@dataclass(frozen=True, slots=True)
class BrokenVersion:
    """A folder among the versions whose manifest cannot be used, and why."""

    version: str
    problem: str


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
    attachments: Mapping[str, bytes],
) -> VersionManifest:
    """Write an index version of `vectors` (n, d) float32 of unit length, the pictures `picture_ids` (n,) int64 of the
    references `reference_ids` (n). n may be 0. Ascending picture ids save a copy of the vectors.

    The version appears under its name only after it was opened again and found sound; killing the process at any
    moment leaves no half version. A second build in the same folder waits for the first one.

    Raises BrokenIndex for vectors or ids that cannot be indexed, naming the picture, for an attachment that cannot be
    stored, and when the disk does not take it.
    """
    started = time.perf_counter()
    _check_rows(vectors, picture_ids, reference_ids)
    _check_attachments(attachments)
    if as_of.tzinfo is None:
        raise BrokenIndex("the moment that an index version is valid for must have a time zone")
    order = np.argsort(picture_ids, kind="stable")
    keys = keys_of(reference_ids)
    if not np.array_equal(order, np.arange(len(order))):
        vectors, picture_ids, keys = vectors[order], picture_ids[order], keys[order]
    try:
        with building(versions_dir) as folder:
            references = _write_files(folder, vectors, picture_ids, keys, attachments)
            manifest = VersionManifest(
                version="",
                model=model,
                fingerprint=fingerprint,
                dimension=vectors.shape[1],
                sequence=sequence,
                as_of=as_of.astimezone(UTC),
                built_at=datetime.now(UTC),
                built_by=built_by,
                build_s=round(time.perf_counter() - started, 3),
                index_type=IndexType.EXACT,
                parameters={},
                pictures=len(picture_ids),
                references=references,
                canaries=tuple(picture_ids[_spread(len(picture_ids))].tolist()),
                files={path.name: record_of(path) for path in sorted(folder.iterdir())},
            ).named()
            (folder / MANIFEST_FILE).write_bytes(encoded(manifest))
            _check_stored(_read_version(folder, manifest.version), vectors)
            publish(folder, versions_dir / manifest.version)
    except OSError as error:
        raise BrokenIndex(f"the index version could not be written: {error.strerror}") from None
    return manifest


def open_version(versions_dir: Path, version: str) -> IndexVersion:
    """Open an index version after checking all of it: the hash of every file, that there is no other file, that ids
    and references fit together, and that the canaries find themselves.

    Raises BrokenIndex with one sentence that says what is wrong.
    """
    if not is_version_name(version):
        raise BrokenIndex(f"{version!r} is not the name of an index version")
    return _read_version(versions_dir / version, version)


def list_versions(versions_dir: Path) -> list[VersionManifest | BrokenVersion]:
    """What is in the folder by its manifests, newest first, then the broken ones.

    `open_version` alone tells whether one is sound.
    """
    if not versions_dir.is_dir():
        return []
    found: list[VersionManifest] = []
    broken: list[BrokenVersion] = []
    for folder in sorted(versions_dir.iterdir()):
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            if not is_version_name(folder.name):
                raise BrokenIndex(f"{folder.name!r} is not the name of an index version")
            found.append(read_manifest(folder, folder.name))
        except BrokenIndex as error:
            broken.append(BrokenVersion(folder.name, error.detail))
    # By time of building: names tell only the second.
    return [*sorted(found, key=lambda manifest: manifest.built_at, reverse=True), *broken]


def _check_rows(vectors: NDArray[np.float32], picture_ids: NDArray[np.int64], reference_ids: Sequence[UUID]) -> None:
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise BrokenIndex("an index version takes vectors (n, d) of at least one dimension")
    if picture_ids.shape != (len(vectors),) or picture_ids.dtype != np.int64 or len(reference_ids) != len(vectors):
        raise BrokenIndex(
            f"{len(vectors)} vectors need as many int64 picture ids and reference ids, "
            f"not {picture_ids.size} {picture_ids.dtype} and {len(reference_ids)}"
        )
    check_vectors(vectors, vectors.shape[1], name=lambda row: f"picture {picture_ids[row]}", error=BrokenIndex)
    ids, times = np.unique(picture_ids, return_counts=True)
    if ids.size and ids[0] < 1:
        raise BrokenIndex(f"picture ids start at 1, but there is a picture {ids[0]}")
    if (times > 1).any():
        raise BrokenIndex(f"picture {ids[times > 1][0]} is there more than once")


def _check_attachments(attachments: Mapping[str, bytes]) -> None:
    for name in attachments:
        if not _ATTACHMENT.fullmatch(name) or name in OWN_FILES or name == MANIFEST_FILE:
            raise BrokenIndex(f"an index version cannot hold an attachment named {name!r}")


def _write_files(
    folder: Path,
    vectors: NDArray[np.float32],
    picture_ids: NDArray[np.int64],
    keys: NDArray[np.bytes_],
    attachments: Mapping[str, bytes],
) -> int:
    """Write all but the manifest, ids ascending; returns the number of references."""
    pictures = PictureSet.of(vectors, picture_ids, keys)
    structure.write(pictures.index, folder / INDEX_FILE)
    np.save(folder / REFERENCES_FILE, pictures.references.view(np.uint8).reshape(-1, KEY.itemsize))
    np.save(folder / REFERENCE_ROWS_FILE, pictures.reference_rows)
    for name, content in attachments.items():
        (folder / name).write_bytes(content)
    return len(pictures.references)


def _read_version(folder: Path, version: str) -> IndexVersion:
    manifest = read_manifest(folder, version)
    try:
        if OWN_FILES - manifest.files.keys():
            raise BrokenIndex("its manifest does not name every file of an index")
        check_files(folder, manifest.files, besides=MANIFEST_FILE)
        pictures = _read_pictures(folder, manifest)
        _check_canaries(pictures, manifest.canaries)
        attachments = {name: (folder / name).read_bytes() for name in sorted(manifest.files.keys() - OWN_FILES)}
    except BrokenIndex as error:
        raise BrokenIndex(f"index version {version} is not sound: {error.detail}") from None
    except OSError as error:
        raise BrokenIndex(f"index version {version} could not be read: {error.strerror}") from None
    return IndexVersion(manifest, attachments, pictures)


def _read_pictures(folder: Path, manifest: VersionManifest) -> PictureSet:
    index = structure.read(folder / INDEX_FILE, manifest.index_type, manifest.dimension)
    picture_ids = structure.stored_ids(index)
    if len(picture_ids) != manifest.pictures or index.ntotal != manifest.pictures:
        raise BrokenIndex(f"it holds {index.ntotal} pictures instead of {manifest.pictures}")
    if (np.diff(picture_ids, prepend=0) <= 0).any():
        raise BrokenIndex("its picture ids do not ascend from 1")
    references = _read_array(folder / REFERENCES_FILE, np.uint8, (manifest.references, KEY.itemsize))
    rows = _read_array(folder / REFERENCE_ROWS_FILE, np.int32, (manifest.pictures,))
    keys = np.frombuffer(references.tobytes(), KEY)
    if (keys[1:] <= keys[:-1]).any() or not np.array_equal(np.unique(rows), np.arange(manifest.references)):
        raise BrokenIndex("its pictures and its references do not fit together")
    return PictureSet.around(index, keys, rows)


def _read_array(path: Path, dtype: type[Element], shape: tuple[int, ...]) -> NDArray[Element]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise BrokenIndex(f"{path.name} is not an array") from None
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        raise BrokenIndex(f"{path.name} is not of the shape that the manifest names")
    return np.asarray(array, dtype)


def _spread(pictures: int) -> NDArray[np.intp]:
    """Rows of the canaries, spread evenly from the first picture to the last."""
    return np.unique(np.linspace(0, pictures - 1, min(MAX_CANARIES, pictures)).round().astype(np.intp))


def _check_canaries(pictures: PictureSet, canaries: tuple[int, ...]) -> None:
    rows, present = locate(pictures.picture_ids, np.array(canaries, np.int64))
    if not present.all() or (len(pictures) and not canaries):
        raise BrokenIndex("its canaries are not among its pictures")
    similarities, ids = structure.nearest(pictures.index, pictures.vectors(rows), _CANARY_DEPTH)
    for row, canary in enumerate(canaries):
        close = similarities[row] >= CANARY_SIMILARITY
        # A picture with more copies than the search is deep need not be among those found.
        if canary not in ids[row][close] and not (close.all() and len(close) == _CANARY_DEPTH):
            raise BrokenIndex(f"picture {canary} does not find itself")


def _check_stored(version: IndexVersion, vectors: NDArray[np.float32]) -> None:
    rows = _spread(len(vectors))
    if not np.array_equal(version.pictures.vectors(rows), vectors[rows]):
        raise BrokenIndex("the index file does not give back the vectors that went in")
