"""Stored picture files, named by the sha256 of their content."""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from imagescreen.errors import BrokenInstallation, NotFound

_SHA256 = re.compile(r"[0-9a-f]{64}")


class PictureFiles:
    """A folder of immutable files. A file is durable before anything names it: `put` returns after fsync."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, sha256: str, data: bytes) -> None:
        path = self._path(sha256)
        if path.exists():
            # Young again: a purge that runs at this moment must not take it for an orphan.
            path.touch()
            return
        made = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _fsync_folder(path.parent)
        if made:
            _fsync_folder(path.parent.parent)

    def get(self, sha256: str) -> bytes:
        """Raises NotFound when the bytes were not kept (any more)."""
        try:
            return self._path(sha256).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the bytes of picture {sha256} are not stored") from None

    def remove(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)

    def older_than(self, age: timedelta) -> Iterator[str]:
        """The sha256 of every file that was written at least that long ago."""
        before = time.time() - age.total_seconds()
        for path in self._folder.glob("??/*"):
            if _SHA256.fullmatch(path.name) and path.stat().st_mtime < before:
                yield path.name

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise BrokenInstallation(f"{sha256!r} is no sha256")
        return self._folder / sha256[:2] / sha256


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
