"""Loads the next index version in a thread of low priority, while the process goes on with the one it has."""

import fcntl
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from imagescreen.database.index_versions import Activation
from imagescreen.errors import BrokenIndex, ImagescreenError
from imagescreen.references.following import Followed
from imagescreen.serving.state import BUILD_COMMAND

TURN_FILE = ".loading.lock"
MAX_TURN_WAIT_S = 120.0
"""A process that holds the turn for longer is stuck, and the others load all the same."""

CLOSE_S = 5.0
"""A version that is being loaded when the process ends is not waited for any longer; nothing depends on it."""

_MAX_DELAY_S = 0.3
_LOOK_S = 0.1
_NICE = 10


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a version is not served, and what to do about it."""

    why: str

    @classmethod
    def of(cls, version: str, error: Exception) -> Self:
        """An error of ours about anything but the version itself, its model say, names its own remedy."""
        known = isinstance(error, ImagescreenError)
        why = error.detail if isinstance(error, ImagescreenError) else f"it cannot be loaded ({type(error).__name__})"
        told = why if known and not isinstance(error, BrokenIndex) else f"{why}; build another with {BUILD_COMMAND}"
        return cls(f"index version {version} is current but was refused: {told}")


class BackgroundLoading:
    """One thread that loads what was asked for last.

    `load` takes seconds to minutes; `drop` takes what was loaded when it is not wanted any more.
    """

    def __init__(
        self, load: Callable[[Activation], Followed | Refused], drop: Callable[[Followed], None], stop: threading.Event
    ) -> None:
        self._load = load
        self._drop = drop
        self._stop = stop
        self._log = structlog.get_logger("imagescreen.follower")
        self._changed = threading.Condition()
        self._wanted: Activation | None = None
        self._result: Followed | Refused | None = None
        self._thread = threading.Thread(target=self._run, name="version-loader", daemon=True)
        self._thread.start()

    @property
    def loading(self) -> str | None:
        """The version that was asked for and not handed over yet."""
        wanted = self._wanted
        return None if wanted is None else wanted.version

    def ask(self, wanted: Activation) -> Followed | Refused | None:
        """What came of `wanted`, handed over once; None while it is being loaded, which begins with the first call."""
        with self._changed:
            if wanted != self._wanted:
                self._want(wanted)
            result = self._result
            if result is not None:
                self._wanted = self._result = None
            return result

    def forget(self) -> None:
        """Nothing is wanted any more."""
        with self._changed:
            self._want(None)

    def close(self) -> None:
        """After the event `stop` was set."""
        self.forget()
        self._thread.join(CLOSE_S)

    def _want(self, wanted: Activation | None) -> None:
        if isinstance(self._result, Followed):
            self._drop(self._result)
        self._wanted, self._result = wanted, None
        self._changed.notify()

    def _run(self) -> None:
        lower_priority_of_thread()
        while (wanted := self._next()) is not None:
            try:
                result = self._load(wanted)
            except Exception as error:
                # The thread must outlive whatever happened: nobody else would switch to any version again.
                self._log.error("index_version_refused", version=wanted.version, exc_info=error)
                result = Refused.of(wanted.version, error)
            self._hand_over(wanted, result)

    def _next(self) -> Activation | None:
        with self._changed:
            while not self._stop.is_set() and (self._wanted is None or self._result is not None):
                self._changed.wait()
            return None if self._stop.is_set() else self._wanted

    def _hand_over(self, wanted: Activation, result: Followed | Refused) -> None:
        with self._changed:
            if wanted == self._wanted:
                self._result = result
            elif isinstance(result, Followed):
                self._drop(result)


@contextmanager
def loading_turn(index_dir: Path, stop: threading.Event, wait_s: float) -> Iterator[None]:
    """One process at a time loads a version from a folder, so that the others serve at full speed meanwhile.

    The turn goes with the process that holds it. After `wait_s` seconds, when `stop` is set, or in a folder that cannot
    be written to, the block runs without it.
    """
    # So that processes that heard of a version at the same moment do not all stand in line at once.
    stop.wait(random.uniform(0, _MAX_DELAY_S))  # noqa: S311 - nothing secret
    try:
        descriptor = os.open(index_dir / TURN_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + wait_s
        while not _taken(descriptor) and time.monotonic() < deadline:
            if stop.wait(_LOOK_S):
                break
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems know no locks.
        return True
    return True


def lower_priority_of_thread() -> None:
    """Requests go first. Linux has a priority for each thread; elsewhere it is the process's, which stays as it is."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, max(_NICE, os.getpriority(os.PRIO_PROCESS, thread)))
