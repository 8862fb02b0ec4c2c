"""Folders that appear whole or not at all."""

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from imagescreen.errors import BrokenIndex
from imagescreen.matching.manifest import FileRecord
from imagescreen.matching.progress import Progress, silent

_HIDDEN = ".building-"
_LOCK = ".lock"
WAITING = "waiting for another build"


@contextmanager
def building(parent: Path, progress: Progress = silent) -> Iterator[Path]:
    """A new hidden folder in `parent` to build in, gone at the end unless `publish` has renamed it.

    One build at a time in one parent: another one waits, and says so. What builds and deletions that died have left is
    deleted.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with _alone(parent, progress):
        folder = _hidden(parent)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(parent: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of `parent`, which goes with the process that holds it: hidden folders are leftovers then, or are
    being deleted.
    """
    lock = os.open(parent / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(lock, progress)
        for leftover in parent.glob(f"{_HIDDEN}*"):
            _remove(leftover)
        yield
    finally:
        os.close(lock)


def _take(lock: int, progress: Progress) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress(WAITING, 0, 1)
        fcntl.flock(lock, fcntl.LOCK_EX)
        progress(WAITING, 1, 1)


def _hidden(parent: Path) -> Path:
    return parent / f"{_HIDDEN}{secrets.token_hex(8)}"


def delete(folder: Path) -> None:
    """Delete a folder of `folder.parent` so that nobody sees half of it. A build under way there is not waited for: it
    may take long, and whoever deletes may hold a lock that others want.
    """
    hidden = _hidden(folder.parent)
    folder.rename(hidden)
    sync(folder.parent)
    _remove(hidden)


def _remove(folder: Path) -> None:
    """Whether or not another process removes it at the same time."""

    def unless_gone(_function: object, _path: object, raised: tuple[object, BaseException, object]) -> None:
        if not isinstance(raised[1], FileNotFoundError):
            raise raised[1]

    shutil.rmtree(folder, onerror=unless_gone)


def publish(folder: Path, final: Path) -> None:
    """Rename a folder into its place for good: a power cut leaves it there whole or not at all."""
    for path in folder.iterdir():
        sync(path)
    sync(folder)
    folder.rename(final)
    sync(final.parent)
    sync(final.parent.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def record_of(path: Path) -> FileRecord:
    with path.open("rb") as file:
        return FileRecord(hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size)


def check_files(folder: Path, files: Mapping[str, FileRecord], besides: str) -> None:
    """Check that `folder` holds exactly `files`, each with its content, and the file `besides`.

    Raises BrokenIndex that names the first one that is missing, unexpected or changed.
    """
    present = {path.name for path in folder.iterdir()} - {besides}
    for name in sorted(files.keys() - present):
        raise BrokenIndex(f"{name} is missing")
    for name in sorted(present - files.keys()):
        raise BrokenIndex(f"{name} does not belong to it")
    for name, record in files.items():
        state = (folder / name).lstat()
        if not stat.S_ISREG(state.st_mode):
            raise BrokenIndex(f"{name} is not an ordinary file")
        if state.st_size != record.size_bytes:
            raise BrokenIndex(f"{name} has {state.st_size} bytes instead of {record.size_bytes}")
        if record_of(folder / name).sha256 != record.sha256:
            raise BrokenIndex(f"{name} was changed after the build")
