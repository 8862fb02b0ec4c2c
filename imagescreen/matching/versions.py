"""Index versions on disk: never written to again, and checked before every use."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching.folders import check_files, delete
from imagescreen.matching.manifest import MANIFEST_FILE, VersionManifest, is_version_name, read_manifest
from imagescreen.matching.opened_files import OpenedFiles
from imagescreen.matching.picture_set import KEY, Keys, PictureSet, locate
from imagescreen.matching.structure import INDEX_FILE, VECTORS_FILE, open_structure
from imagescreen.matching.vector_file import map_file

PICTURE_IDS_FILE = "picture_ids.npy"  # (n,) int64, ascending: the picture of each row
REFERENCES_FILE = "references.npy"  # (r, 16) uint8: the reference ids, ascending
REFERENCE_ROWS_FILE = "reference_rows.npy"  # (n,) int32: for each row, the row in the file above
ARRAY_FILES = frozenset({VECTORS_FILE, PICTURE_IDS_FILE, REFERENCES_FILE, REFERENCE_ROWS_FILE})
OWN_FILES = ARRAY_FILES | {INDEX_FILE}

MAX_CANARIES = 16
CANARY_SIMILARITY = 0.999
_CANARY_DEPTH = 64
_GREATEST_EFFORT = 1 << 30  # of lists of which a search looks at some, all
_UNFIT = "its pictures and its references do not fit together"
Element = TypeVar("Element", np.uint8, np.int32, np.int64)
Attachment: TypeAlias = bytes | memoryview
_ATTACHMENT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, eq=False)
class IndexVersion:
    """An index version that was found sound; `attachments` are the further files that came with it, by name, mapped.

    `files` are those behind all of it, to look at again while it is in use.
    """

    manifest: VersionManifest
    attachments: Mapping[str, memoryview]
    pictures: PictureSet
    files: OpenedFiles


@dataclass(frozen=True, slots=True)
class BrokenVersion:
    """A folder among the versions whose manifest cannot be used, and why."""

    version: str
    problem: str


def open_version(versions_dir: Path, version: str) -> IndexVersion:
    """Open an index version after checking all of it: the hash of every file, that there is no other file, that ids
    and references fit together, and that the canaries find themselves.

    Raises BrokenIndex with one sentence that says what is wrong.
    """
    if not is_version_name(version):
        raise BrokenIndex(f"{version!r} is not the name of an index version")
    return read_version(versions_dir / version, version)


def delete_version(versions_dir: Path, version: str) -> None:
    """Delete an index version. Whoever has it open keeps it until it lets go.

    Raises BrokenIndex when it is not there or cannot be deleted.
    """
    if not is_version_name(version) or not (versions_dir / version).is_dir():
        raise BrokenIndex(f"there is no index version {version!r}")
    try:
        delete(versions_dir / version)
    except OSError as error:
        raise BrokenIndex(f"index version {version} could not be deleted: {error.strerror}") from None


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


def check_attachments(attachments: Mapping[str, Attachment]) -> None:
    for name in attachments:
        if not _ATTACHMENT.fullmatch(name) or name in OWN_FILES or name == MANIFEST_FILE:
            raise BrokenIndex(f"an index version cannot hold an attachment named {name!r}")


def read_version(folder: Path, version: str) -> IndexVersion:
    manifest = read_manifest(folder, version)
    try:
        files = OpenedFiles.of(folder / name for name in manifest.files)
        if ARRAY_FILES - manifest.files.keys():
            raise BrokenIndex("its manifest does not name every file of an index")
        check_files(folder, manifest.files, besides=MANIFEST_FILE)
        pictures = _read_pictures(folder, manifest)
        _check_canaries(pictures, manifest.canaries)
        attachments = {name: map_file(folder / name) for name in sorted(manifest.files.keys() - OWN_FILES)}
    except BrokenIndex as error:
        raise BrokenIndex(f"index version {version} is not sound: {error.detail}") from None
    except OSError as error:
        raise BrokenIndex(f"index version {version} could not be read: {error.strerror}") from None
    return IndexVersion(manifest, attachments, pictures, files)


def _read_pictures(folder: Path, manifest: VersionManifest) -> PictureSet:
    picture_ids = _map_array(folder / PICTURE_IDS_FILE, np.int64, (manifest.pictures,))
    if (np.diff(picture_ids, prepend=0) <= 0).any():
        raise BrokenIndex("its picture ids do not ascend from 1")
    references = _map_array(folder / REFERENCES_FILE, np.uint8, (manifest.references, KEY.itemsize))
    rows = _map_array(folder / REFERENCE_ROWS_FILE, np.int32, (manifest.pictures,))
    keys: Keys = references.reshape(-1).view(KEY)
    if (keys[1:] <= keys[:-1]).any() or (len(rows) and not 0 <= rows.min() <= rows.max() < len(keys)):
        raise BrokenIndex(_UNFIT)
    structure = open_structure(manifest.index_type, manifest.parameters, folder, manifest.pictures, manifest.dimension)
    pictures = PictureSet(structure, picture_ids, keys, rows)
    if not pictures.pictures_per_reference.all():
        raise BrokenIndex(_UNFIT)
    return pictures


def _map_array(path: Path, dtype: type[Element], shape: tuple[int, ...]) -> NDArray[Element]:
    """Read-only; see `map_vectors` for what a map means."""
    try:
        array = np.load(path, mmap_mode="r" if math.prod(shape) else None, allow_pickle=False)
    except (ValueError, EOFError):
        raise BrokenIndex(f"{path.name} is not an array") from None
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        raise BrokenIndex(f"{path.name} is not of the shape that the manifest names")
    # A memmap is slower at every look than the plain array over the same map.
    return np.asarray(array)


def spread(pictures: int) -> NDArray[np.intp]:
    """Rows of the canaries, spread evenly from the first picture to the last."""
    return np.unique(np.linspace(0, pictures - 1, min(MAX_CANARIES, pictures)).round().astype(np.intp))


def _check_canaries(pictures: PictureSet, canaries: tuple[int, ...]) -> None:
    rows, present = locate(pictures.picture_ids, np.array(canaries, np.int64))
    if not present.all() or (len(pictures) and not canaries):
        raise BrokenIndex("its canaries are not among its pictures")
    if not len(pictures):
        return
    vectors = pictures.vectors[rows]
    for effort in (1, _GREATEST_EFFORT):
        similarities, found, _ = pictures.structure.nearest(vectors, _CANARY_DEPTH, effort)
        close = similarities >= CANARY_SIMILARITY - pictures.structure.error
        # A picture with more copies than the search is deep need not be among those found.
        lost = ~((found == rows[:, np.newaxis]) & close).any(axis=1) & (close.sum(axis=1) < _CANARY_DEPTH)
        rows, vectors = rows[lost], vectors[lost]
        if not len(rows):
            return
    raise BrokenIndex(f"picture {pictures.picture_ids[rows[0]]} does not find itself")
