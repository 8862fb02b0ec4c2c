"""When to kill: after a random time, or as soon as something can be seen on the disk."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.torture.forks import Started

_LOOK_S = 0.0003
"""A build with a small catalogue is through in some ten milliseconds."""

PATIENCE_S = 20.0
"""A moment may never come, say for a worker that no client happens to talk to."""

LATER_S = 0.03
"""At most so long after something was seen."""


@dataclass(frozen=True, slots=True)
class Moment:
    """`come` tells whether what is waited for can be seen; the kill follows `later_s` after it."""

    name: str
    come: Callable[[], bool]
    later_s: float

    def wait(self, over: Callable[[], bool]) -> None:
        """Until the moment has come, or `over`, or one has waited long enough."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.come() and not over() and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        time.sleep(self.later_s)

    def __str__(self) -> str:
        return f"{self.name} + {self.later_s * 1000:.0f} ms"


def child(parent: Started, part: str, within_s: float) -> int | None:
    """The process with `part` in its command line that `parent` starts, as soon as it is there."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = parent.children(part)
        if found:
            return found[0]
        time.sleep(0.005)
    return None


def at_random(dice: random.Random, within_s: float) -> Moment:
    return Moment("start", lambda: True, dice.uniform(0, within_s))


def picture_written(dice: random.Random, pid: int) -> Moment:
    """The process has a picture file open that is not finished."""
    return Moment(".writing-* open", lambda: _has_open(pid, "/.writing-"), _soon(dice))


def picture_stored(dice: random.Random, home: Path, sha256: str) -> Moment:
    """A picture is stored, and the transaction that names it is about to come."""
    path = home / "data" / "pictures" / sha256[:2] / sha256
    return Moment("picture stored", path.exists, _soon(dice))


def building(dice: random.Random, home: Path, files: Sequence[str]) -> Moment:
    """A build that has come as far as one of `files`, or as its folder for the name "" ."""
    versions_dir = home / "index" / "versions"
    file = dice.choice(files)
    pattern = f".building-*/{file}" if file else ".building-*"
    return Moment(pattern, lambda: _any(versions_dir, pattern), _soon(dice))


def published(dice: random.Random, home: Path) -> Moment:
    """A new version has its place, and is about to be recorded and made current."""
    versions_dir = home / "index" / "versions"
    before = _names(versions_dir)
    return Moment("new version", lambda: not _names(versions_dir) <= before, _soon(dice))


def wal_grown(dice: random.Random, home: Path) -> Moment:
    """Something was written to the database."""
    wal = home / "data" / "imagescreen.sqlite3-wal"
    before = _size(wal)
    return Moment("WAL grown", lambda: _size(wal) > before, _soon(dice))


def _soon(dice: random.Random) -> float:
    return dice.choice((0.0, dice.uniform(0, LATER_S)))


def _has_open(pid: int, part: str) -> bool:
    try:
        return any(part in str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        # The process, or the file, is closed already.
        return False


def _any(folder: Path, pattern: str) -> bool:
    try:
        return next(folder.glob(pattern), None) is not None
    except FileNotFoundError:
        # What is being built may vanish during the look.
        return False


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
