"""Stored picture files, named by the sha256 of their content."""

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imagescreen.errors import BrokenInstallation, NotFound

_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ".writing-"
_TIDIED = ".tidied"


class PictureFiles:
    """A folder of immutable files. A file is durable before anything names it: `put` returns after fsync."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, sha256: str, data: bytes) -> None:
        path = self._path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock(fcntl.LOCK_SH):
            try:
                # Young again: a purge that comes next must not take it for an orphan, and the build after that must
                # look into the folder once more.
                os.utime(path)
                os.utime(path.parent)
            except FileNotFoundError:
                self._write(path, data)
            # Also for a file that is there: whoever put it may not have come this far yet, or never.
            _fsync_folder(path.parent)
            _fsync_folder(self._folder)

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def get(self, sha256: str) -> bytes:
        """Raises NotFound when the bytes were not kept (any more)."""
        try:
            return self._path(sha256).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the bytes of picture {sha256} are not stored") from None

    def remove(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)

    def remove_if_older(self, sha256: str, age: timedelta) -> bool:
        """Whether the file was still that old, and so was removed: nobody has put it again since it was listed."""
        path = self._path(sha256)
        with self._lock(fcntl.LOCK_EX):
            if not _is_older(path, age):
                return False
            path.unlink()
            return True

    def older_than(self, age: timedelta, *, since: datetime | None = None) -> Iterator[str]:
        """The sha256 of every file that was put at least that long ago, and after `since` (None: ever)."""
        for folder in self._changed_folders(since):
            for entry in os.scandir(folder):
                if _SHA256.fullmatch(entry.name) and _is_older(Path(entry.path), age) and _is_after(entry, since):
                    yield entry.name

    def remove_unfinished(self, age: timedelta, *, since: datetime | None = None) -> int:
        """Removes what writers killed after `since` (None: ever) left behind, and says how many files there were."""
        left = [
            path
            for folder in self._changed_folders(since)
            for path in folder.glob(f"{_UNFINISHED}*")
            if _is_older(path, age)
        ]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def tidied_until(self) -> datetime | None:
        """Until when everything that was put has been looked at; None: never."""
        try:
            return datetime.fromtimestamp((self._folder / _TIDIED).stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    def note_tidied(self, until: datetime) -> None:
        if self._folder.is_dir():
            marker = self._folder / _TIDIED
            marker.touch()
            os.utime(marker, (until.timestamp(),) * 2)

    def _changed_folders(self, since: datetime | None) -> Iterator[Path]:
        for folder in self._folder.glob("??"):
            if since is None or folder.stat().st_mtime >= since.timestamp():
                yield folder

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        """Shared for putting, exclusive for removing, among all processes on this folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("ab") as file:
            fcntl.flock(file, kind)
            yield

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


def _is_older(path: Path, age: timedelta) -> bool:
    try:
        return path.stat().st_mtime < time.time() - age.total_seconds()
    except FileNotFoundError:
        return False


def _is_after(entry: os.DirEntry[str], since: datetime | None) -> bool:
    try:
        return since is None or entry.stat().st_mtime >= since.timestamp()
    except FileNotFoundError:
        return False
