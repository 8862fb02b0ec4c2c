"""A server and the scripts beside it, all working in one home."""

import os
import re
import socket
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import httpx

from tests.conftest import environment
from tests.torture.forks import Forks, Started
from tests.torture.world import demand

PATIENCE_S = 120.0
"""Only ends a hang: everything here takes seconds."""

FOLD_CHANGES = 15
"""The clients change so much in a few seconds, and then the server builds a version by itself."""

_CURRENT = re.compile(r"index version (\S+) (?:is current|was current)")


class Script(StrEnum):
    ADD = "add_references"
    REINDEX = "reindex"
    INDEX = "index"


class Deployment:
    """`built`: an index version was built, so that a server that does not get ready is one that broke."""

    def __init__(self, home: Path, forks: Forks) -> None:
        self.home = home
        self.built = False
        self.url = ""
        self.typical_s = dict.fromkeys(Script, 2.0)
        self.incoming = home / "in"
        self.incoming.mkdir(parents=True)
        self._forks = forks
        self._server: Started | None = None
        self._workers = 1

    @property
    def versions_dir(self) -> Path:
        return self.home / "index" / "versions"

    def versions(self) -> list[str]:
        """The index versions on the disk, by name."""
        return sorted(path.name for path in self.versions_dir.iterdir() if not path.name.startswith("."))

    def ready(self, workers: int = 1) -> Started:
        """The server, started again when it was killed or has another number of workers, once it is ready.

        Before anything is built it can only be alive.
        """
        if self._server is not None and self._server.poll() is None:
            if self._workers == workers:
                return self._server
            self._server.kill_group()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self._workers = f"http://127.0.0.1:{port}", workers
        arguments = ("--port", str(port), "--workers", str(workers))
        server = self._forks.start(
            "serve.py", *arguments, environment=self._environment(), log=self.home / "server.log"
        )
        self._server = server
        path = "/health/ready" if self.built else "/health/live"
        eventually(
            lambda: server.poll() is not None or _answers(f"{self.url}{path}"),
            lambda: f"the server does not get ready:\n{server.said()[-2000:]}",
        )
        demand(server.poll() is None, f"the server does not start:\n{server.said()[-2000:]}")
        return server

    def start(self, script: Script, *arguments: str | Path) -> Started:
        log = self.home / f"{script}-{time.time_ns()}.log"
        return self._forks.start(f"{script}.py", *arguments, environment=self._environment(), log=log)

    def finished(self, script: Script, process: Started) -> str | None:
        """Waits for a script that was left in peace: it must do what it is asked to.

        Returns the index version that it made current, if it did.
        """
        begun = time.monotonic()
        code = self.ended(process)
        said = process.said()
        # Another process may have pruned the version that this one was to activate.
        pruned = script is Script.INDEX and " is not there" in said
        demand(code == 0 or pruned, f"{script} ended with {code}:\n{said[-2000:]}")
        process.log.unlink()
        self.typical_s[script] = max(0.5, time.monotonic() - begun)
        current = _CURRENT.search(said)
        return current.group(1) if current else None

    def ended(self, process: Started) -> int:
        """Waits until a process has ended, and returns its exit code."""
        eventually(lambda: process.poll() is not None, lambda: f"a process does not end:\n{process.said()[-2000:]}")
        code = process.poll()
        assert code is not None
        return code

    def close(self) -> None:
        if self._server is not None:
            self._server.kill_group()

    def _environment(self) -> dict[str, str]:
        return environment(
            self.home,
            keep_pictures="all",
            faiss_threads="1",
            feed_poll_s="0.1",
            ready_check_s="0.1",
            fold_changes=str(FOLD_CHANGES),
        )


def runs(pid: int) -> bool:
    """Whether a process that somebody else started is there, and has not ended."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def eventually(condition: Callable[[], bool], otherwise: Callable[[], str], within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            demand(False, otherwise())
        time.sleep(0.01)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
