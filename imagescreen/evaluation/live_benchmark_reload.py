"""What a switch to another index version costs a server: private memory, and the requests that come meanwhile."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagescreen.evaluation.deployment import Deployment, Progress, Server, drawn_picture
from imagescreen.evaluation.http_load import multipart
from imagescreen.evaluation.reindex_benchmark import BenchmarkFailed

PICTURES = 64
"""Different pictures that are asked for; each is embedded, because every request is another file."""

REQUESTS_A_SECOND = 10.0
QUIET_S = 2.0
"""Requests up to so long after a switch count as sent during it."""

_LOOK_S = 0.05
_DEADLINE_S = 600.0


@dataclass(frozen=True, slots=True)
class Reload:
    """One switch. Latencies in ms of all requests, memory in MiB.

    `quiet_ms` are those of a stretch as long as the switch, just before it; `during_ms` from the activation until
    shortly after the switch.
    """

    switch_s: float
    quiet_ms: NDArray[np.float64]
    during_ms: NDArray[np.float64]
    failed: int
    private_before_mib: float
    private_peak_mib: float
    private_after_mib: float
    index_mib: float

    @property
    def added_share(self) -> float:
        """Private memory added at the most, in parts of the index's size."""
        return (self.private_peak_mib - self.private_before_mib) / self.index_mib


def measure_reload(
    deployment: Deployment, *, pictures: int, rounds: int, quiet_s: float, progress: Progress
) -> list[Reload]:
    """Two versions of the same pictures, activated in turn while requests come at a steady rate."""
    deployment.fill(pictures, progress)
    versions = [deployment.build(), deployment.build()]
    reloads = []
    with deployment.servers(1) as (server,), _Requests(server) as requests:
        # The first switch finds nothing in memory that a former one left.
        for number in range(rounds + 1):
            reload = _one(deployment, server, requests, versions[number % 2], quiet_s)
            if number:
                reloads.append(reload)
            progress("switching", number, rounds)
    return reloads


class _Requests:
    """A client that sends a request every so often, however long the answers take."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._bodies = [multipart({}, {"a.jpg": drawn_picture(number)}) for number in range(PICTURES)]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._answers: list[tuple[float, float, int]] = []
        self._sender = threading.Thread(target=self._send_on, daemon=True)
        self._sent: list[threading.Thread] = []

    def __enter__(self) -> "_Requests":
        self._sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._sender.join()
        for thread in self._sent:
            thread.join()

    def between(self, start: float, end: float) -> list[tuple[float, int]]:
        """(latency in ms, status) of the requests sent in that time."""
        with self._lock:
            return [(latency, status) for sent, latency, status in self._answers if start <= sent < end]

    def _send_on(self) -> None:
        number = 0
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            thread = threading.Thread(target=self._send, args=(number, due), daemon=True)
            thread.start()
            self._sent = [each for each in self._sent if each.is_alive()] + [thread]
            number += 1
            due += 1 / REQUESTS_A_SECOND

    def _send(self, number: int, due: float) -> None:
        body, content_type = self._bodies[number % PICTURES]
        try:
            # Another file each time, so that no answer comes from a cache.
            status, _ = self._server.call("POST", "/v1/matches", _another(body, number), content_type)
        except OSError:
            status = 0
        with self._lock:
            # From when it was due: a sender that is late would hide a wait.
            self._answers.append((due, 1000 * (time.monotonic() - due), status))


def _another(body: bytes, number: int) -> bytes:
    """The same form with a JPEG comment in the picture."""
    start = body.index(b"\xff\xd8") + 2
    comment = b"%08d" % number
    return body[:start] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + body[start:]


def _one(deployment: Deployment, server: Server, requests: _Requests, version: str, quiet_s: float) -> Reload:
    time.sleep(quiet_s)
    before = _private_mib(server.process.pid)
    with _peak(server.process.pid) as peak:
        activated = time.monotonic()
        deployment.activate(version)
        while server.get("/v1/index")["version"] != version:
            if time.monotonic() > activated + _DEADLINE_S:
                raise BenchmarkFailed("the server did not switch")
            time.sleep(_LOOK_S)
        switched = time.monotonic()
        time.sleep(QUIET_S)
    quiet = requests.between(activated - quiet_s, activated)
    # Those that are still waiting count as well: they are the slow ones.
    time.sleep(1)
    during = requests.between(activated, switched + QUIET_S)
    return Reload(
        switch_s=switched - activated,
        quiet_ms=np.array([latency for latency, _ in quiet]),
        during_ms=np.array([latency for latency, _ in during]),
        failed=sum(status != 200 for _, status in [*quiet, *during]),
        private_before_mib=before,
        private_peak_mib=max(peak),
        private_after_mib=_private_mib(server.process.pid),
        index_mib=_size_mib(deployment.home / "index" / "versions" / version),
    )


@contextmanager
def _peak(pid: int) -> Iterator[list[float]]:
    """The private memory of a process, looked at again and again."""
    seen = [_private_mib(pid)]
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.02):
            seen.append(_private_mib(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _private_mib(pid: int) -> float:
    """Memory that no file stands behind; mapped files are shared by all processes and can be dropped at any time."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise BenchmarkFailed("the system does not tell the private memory of a process")


def _size_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 2**20
