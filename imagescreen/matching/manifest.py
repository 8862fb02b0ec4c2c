"""What an index version says of itself, and the version's name."""

import errno
import hashlib
import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

import msgspec

from imagescreen.errors import BrokenIndex
from imagescreen.matching.index_type import IndexType

MANIFEST_FILE = "manifest.json"
_LARGEST_MANIFEST = 1 << 20
_VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str
    size_bytes: int


class VersionManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An index version: for which model, up to which feed entry, when, by what, and the hash of each file.

    `version` is the time of the build and the first 8 hexadecimal digits of the SHA-256 of everything else here, so
    that a manifest damaged or put under another name is noticed. `as_of` is the moment at which what depends on time
    (a reference's validity) was judged. `recall` is the share of the 10 nearest pictures that a search finds, measured
    with `recall_queries` queries against looking at everything. The pictures `canaries` must find themselves.
    """

    version: str
    model: str
    fingerprint: str
    dimension: int
    sequence: int
    as_of: Moment
    built_at: Moment
    built_by: str
    build_s: float
    index_type: IndexType
    parameters: dict[str, int | float | str]
    recall: float
    recall_queries: int
    pictures: int
    references: int
    canaries: tuple[int, ...]
    files: dict[str, FileRecord]

    def named(self) -> Self:
        """The same with the version name that follows from the rest."""
        content = hashlib.sha256(encoded(msgspec.structs.replace(self, version=""))).hexdigest()
        return msgspec.structs.replace(self, version=f"{self.built_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{content[:8]}")


def is_version_name(name: str) -> bool:
    return _VERSION.fullmatch(name) is not None


def encoded(manifest: VersionManifest) -> bytes:
    """The one way to write a manifest."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _read_small_file(path: Path) -> bytes:
    """Raises OSError for what is no ordinary file, which could keep its reader for ever, or is far too large."""
    # Without waiting for the other end of a pipe, and without following a link.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST_MANIFEST:
            raise OSError(errno.EINVAL, "not a manifest", str(path))
        return file.read()


def read_manifest(folder: Path, version: str) -> VersionManifest:
    """The manifest of `version` in `folder`; its files are not looked at.

    Raises BrokenIndex when it is missing or damaged, or belongs to another version.
    """
    try:
        content = _read_small_file(folder / MANIFEST_FILE)
    except OSError:
        raise BrokenIndex(f"index version {version} is not there, or has no readable {MANIFEST_FILE}") from None
    try:
        manifest = msgspec.json.decode(content, type=VersionManifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BrokenIndex(f"{MANIFEST_FILE} of index version {version} is not a manifest") from None
    if manifest.version != version:
        raise BrokenIndex(f"index version {version} holds the manifest of index version {manifest.version}")
    if encoded(manifest) != content or manifest.named().version != version:
        raise BrokenIndex(f"{MANIFEST_FILE} of index version {version} was changed after the build")
    return manifest
