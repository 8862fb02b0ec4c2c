"""Folds what changed since the current version into a new one, when it has become much: a build of its own accord.

A thread of every server process watches; one process of all starts the build, as a process of its own at the lowest
priority on one thread, so that scoring does not notice it.
"""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from imagescreen.database.index_versions import current_version
from imagescreen.database.session import Database
from imagescreen.references.follower import Follower
from imagescreen.settings import ENV_PREFIX, Settings

LOOK_S = 2.0
FIRST_RETRY_S = 30.0
LAST_RETRY_S = 3600.0
"""After a failure it is tried again after the first, then after twice as long each time, up to the last."""

LOCK_FILE = ".folding"
"""In the folder of the versions; who folds holds it."""

_END_S = 10.0


class Folding:
    """Watches how much changed since the version that is served, once started.

    `problem` is one sentence while the last build failed, and None otherwise.
    """

    def __init__(self, settings: Settings, database: Database, follower: Follower) -> None:
        self._settings = settings
        self._database = database
        self._follower = follower
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger("imagescreen.folding")
        self._failures = 0
        self._not_before = 0.0
        self.problem: str | None = None

    def start(self) -> None:
        """Does nothing when the setting `fold_changes` is 0."""
        if self._settings.fold_changes:
            self._thread = threading.Thread(target=self._run, name="folding", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread and a build that it started; what was half built, the next build removes."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                if self._is_due():
                    self._fold()
            except Exception as error:
                # The thread must outlive whatever happened, a database that is away for one.
                self._note_failure(f"the index could not be folded ({type(error).__name__})", error)

    def _is_due(self) -> bool:
        changes = self._follower.serving.current().snapshot.changes_since_version
        return changes > self._settings.fold_changes and time.monotonic() >= self._not_before

    def _fold(self) -> None:
        with self._only_one() as lock:
            if lock is None or not self._serves_current():
                return
            self._log.info("folding", changes=self._follower.serving.current().snapshot.changes_since_version)
            problem = self._build(lock)
        if self._stop.is_set():
            return
        if problem is None:
            self._failures = 0
            self.problem = None
            # The switch begins now; until it is done, `_serves_current` keeps this process from building again.
            self._follower.catch_up()
        else:
            self._note_failure(f"changes could not be folded into a new index version: {problem}", None)

    def _build(self, lock: int) -> str | None:
        """None when it is done, else what went wrong. The child holds the lock as well, so that it keeps others from
        building should this process be killed.
        """
        with subprocess.Popen(
            [sys.executable, "-m", "imagescreen.jobs.fold"],
            env=os.environ | _environment(self._settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=(lock,),
        ) as child:
            ender = threading.Thread(target=self._end_with_server, args=(child,), name="folding-end", daemon=True)
            ender.start()
            assert child.stderr is not None
            told = child.stderr.read().strip()
        ender.join()
        if child.returncode == 0:
            return None
        return told.splitlines()[-1] if told else f"the build ended with {child.returncode}"

    def _end_with_server(self, child: subprocess.Popen[str]) -> None:
        while child.poll() is None:
            if self._stop.wait(0.2):
                child.terminate()
                try:
                    child.wait(_END_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                return

    def _serves_current(self) -> bool:
        """Another process may have built already what this one has not switched to yet."""
        with self._database.read() as session:
            current = current_version(session)
        return current is not None and current.version == self._follower.serving.current().snapshot.version

    def _note_failure(self, problem: str, error: Exception | None) -> None:
        self._failures += 1
        delay_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (self._failures - 1))
        self._not_before = time.monotonic() + delay_s
        self.problem = problem
        self._log.error("not_folded", problem=problem, retry_s=delay_s, exc_info=error)

    @contextmanager
    def _only_one(self) -> Iterator[int | None]:
        """An open file that holds the lock among all processes, or None when another one has it."""
        folder = self._settings.index_dir / "versions"
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield lock
        finally:
            os.close(lock)


def _environment(settings: Settings) -> dict[str, str]:
    """The settings of this process for a child of it, whatever they were read from."""
    told = {f"{ENV_PREFIX}{name.upper()}": getattr(settings, name) for name in Settings.model_fields}
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return threads | {
        name: str(value.absolute()) if isinstance(value, Path) else str(value)
        for name, value in told.items()
        if value is not None
    }
