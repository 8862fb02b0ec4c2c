"""A closed-loop load generator: so many clients, each sends its next request when it has the last answer."""

import http.client
import math
import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

TIMEOUT_S = 120.0
"""Only ends a hang."""

UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`statuses` counts answers by status, 0 is a broken connection; latencies are of good (2xx) answers, in ms.

    `generator_cpu_s` is the processor time of the generator itself.
    """

    clients: int
    wall_s: float
    statuses: Mapping[int, int]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    generator_cpu_s: float

    @property
    def good(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.wall_s


class _Clients:
    def __init__(self, url: str, make: Callable[[int], Request], until: float, requests: int) -> None:
        self._address = urlsplit(url)
        self._make = make
        self._until = until
        self._numbers = iter(range(requests))
        self.latencies_ms: list[float] = []
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=TIMEOUT_S)
        try:
            for number in self._numbers:
                self._one(connection, self._make(number))
                if time.monotonic() >= self._until:
                    break
        finally:
            connection.close()

    def _one(self, connection: http.client.HTTPConnection, request: Request) -> None:
        started = time.perf_counter()
        try:
            connection.request("POST", request.path, request.body, {"Content-Type": request.content_type})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()
            status = 0
        self.statuses[status] += 1
        if 200 <= status < 300:
            self.latencies_ms.append(1000 * (time.perf_counter() - started))


def run_load(
    url: str,
    make: Callable[[int], Request],
    *,
    clients: int,
    seconds: float = math.inf,
    requests: int = UNLIMITED,
) -> LoadResult:
    """Sends `make(0)`, `make(1)`, … from `clients` connections for `seconds`, at most `requests` of them.

    What is under way at the end is finished.
    """
    shared = _Clients(url, make, time.monotonic() + seconds, requests)
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    threads = [threading.Thread(target=shared.run, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    latencies = np.array(shared.latencies_ms or [np.nan])
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99))
    return LoadResult(
        clients=clients,
        wall_s=wall_s,
        statuses=dict(shared.statuses),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        max_ms=float(latencies.max()),
        generator_cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def multipart(fields: Mapping[str, bytes], pictures: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A form of JSON fields and JPEG files named `pictures`: the body and its content type."""
    boundary = b"imagescreen-benchmark-boundary"
    body = bytearray()
    for name, value in fields.items():
        body += _part(boundary, f'name="{name}"', "application/json", value)
    for name, data in pictures.items():
        body += _part(boundary, f'name="pictures"; filename="{name}"', "image/jpeg", data)
    body += b"--%b--\r\n" % boundary
    return bytes(body), f"multipart/form-data; boundary={boundary.decode()}"


def _part(boundary: bytes, named: str, content_type: str, content: bytes) -> bytes:
    head = f"Content-Disposition: form-data; {named}\r\nContent-Type: {content_type}\r\n\r\n"
    return b"--%b\r\n%b%b\r\n" % (boundary, head.encode(), content)
