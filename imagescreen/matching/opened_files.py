"""Whether the files behind an open index version are still those that were checked."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Self


class FilesNow(Enum):
    """`GONE`: not under their names any more; the maps hold what they held. `CHANGED`: the maps hold something else."""

    UNCHANGED = auto()
    GONE = auto()
    CHANGED = auto()


@dataclass(frozen=True, slots=True)
class OpenedFiles:
    """What tells a file and its last change, by path: inode, size in bytes, time of the change in ns."""

    states: Mapping[Path, tuple[int, int, int]]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Self:
        """As they are now: taken before they are checked, so that no change comes between.

        What is not there is left out: the check tells it.
        """
        return cls({path: _state(path) for path in paths if path.exists()})

    def now(self) -> FilesNow:
        """A file written in place is noticed by its size or the time of the change; a few microseconds for each."""
        found = FilesNow.UNCHANGED
        for path, state in self.states.items():
            try:
                present = _state(path)
            except OSError:
                found = FilesNow.GONE
                continue
            if present[0] != state[0]:
                found = FilesNow.GONE
            elif present != state:
                return FilesNow.CHANGED
        return found


def _state(path: Path) -> tuple[int, int, int]:
    state = os.lstat(path)
    return state.st_ino, state.st_size, state.st_mtime_ns
