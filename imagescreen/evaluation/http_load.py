"""Load over HTTP: clients that send when they have the last answer, or requests that are sent when they are due."""

import gc
import http.client
import math
import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

TIMEOUT_S = 120.0
"""Only ends a hang."""

UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of `body` are sent one after the other, without being put together."""

    path: str
    body: Sequence[bytes]
    content_type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0 is a broken connection; moments are of `time.monotonic`."""

    status: int
    due: float
    sent: float
    ended: float

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def elapsed_ms(self) -> float:
        return 1000 * (self.ended - self.sent)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`generator_cpu_s` is the processor time of the generator itself. Latencies are of good (2xx) answers."""

    clients: int
    wall_s: float
    answers: Sequence[Answer]
    generator_cpu_s: float

    @property
    def statuses(self) -> Mapping[int, int]:
        return Counter(answer.status for answer in self.answers)

    @property
    def good(self) -> int:
        return sum(answer.good for answer in self.answers)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.wall_s

    @property
    def p50_ms(self) -> float:
        return self.latency_ms(50)

    @property
    def p95_ms(self) -> float:
        return self.latency_ms(95)

    @property
    def p99_ms(self) -> float:
        return self.latency_ms(99)

    def latency_ms(self, percent: float) -> float:
        return percentile([answer.elapsed_ms for answer in self.answers if answer.good], percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """NaN when there are none."""
    return float(np.percentile(values, percent)) if values else math.nan


@contextmanager
def without_search_for_garbage() -> Iterator[None]:
    """In a process that has loaded torch it stops every client for a third of a second and more, which would be
    measured as the service's latency.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def run_load(
    url: str,
    make: Callable[[int], Request],
    *,
    clients: int,
    seconds: float = math.inf,
    requests: int = UNLIMITED,
) -> LoadResult:
    """Sends `make(0)`, `make(1)`, … from `clients` connections for `seconds`, at most `requests` of them.

    Each client sends its next request when it has the last answer; one that is refused waits as long as it is told to.
    What is under way at the end is finished.
    """
    until = time.monotonic() + seconds

    def serve(client: "_Client", number: int) -> float:
        client.send(make(number), due=time.monotonic())
        if client.retry_after_s:
            time.sleep(max(0.0, min(client.retry_after_s, until - time.monotonic())))
        return until

    return _run(url, serve, clients=clients, requests=requests)


def run_open_load(
    url: str, make: Callable[[int], Request], *, rate: float, seconds: float, connections: int
) -> LoadResult:
    """Sends `rate` requests a second for `seconds`, each when it is due, however slow the answers are.

    That needs a free connection: an answer's `due` and `sent` tell how late it was.
    """
    started = time.monotonic()

    def serve(client: "_Client", number: int) -> float:
        due = started + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        client.send(make(number), due=due)
        return math.inf

    return _run(url, serve, clients=connections, requests=int(rate * seconds))


class _Client:
    """One connection, opened again when it breaks."""

    def __init__(self, url: str, answers: list[Answer]) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
        self._answers = answers
        self.retry_after_s = 0.0

    def send(self, request: Request, *, due: float) -> None:
        size = sum(len(part) for part in request.body)
        headers = {"Content-Type": request.content_type, "Content-Length": str(size)}
        sent = time.monotonic()
        self.retry_after_s = 0.0
        kept = self._connection.sock is not None
        try:
            status = self._exchange(request, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            # A server closes a connection that was idle for some seconds; whoever has kept it opens another one.
            stale = kept and isinstance(error, (http.client.RemoteDisconnected, ConnectionError))
            status = self._again(request, headers) if stale else 0
        self._answers.append(Answer(status, due, sent, time.monotonic()))

    def _exchange(self, request: Request, headers: Mapping[str, str]) -> int:
        self._connection.request("POST", request.path, request.body, headers)
        answer = self._connection.getresponse()
        answer.read()
        self.retry_after_s = float(answer.headers.get("Retry-After") or 0)
        return answer.status

    def _again(self, request: Request, headers: Mapping[str, str]) -> int:
        try:
            return self._exchange(request, headers)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0

    def close(self) -> None:
        self._connection.close()


def _run(url: str, serve: Callable[[_Client, int], float], *, clients: int, requests: int) -> LoadResult:
    """`serve` sends one request and tells the moment at which its client is done."""
    numbers = iter(range(requests))
    answers: list[Answer] = []

    def work() -> None:
        client = _Client(url, answers)
        try:
            for number in numbers:
                if time.monotonic() >= serve(client, number):
                    break
        finally:
            client.close()

    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return LoadResult(clients, wall_s, answers, spent)


def multipart(fields: Mapping[str, bytes], pictures: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A form of JSON fields and JPEG files named `pictures`: the body and its content type."""
    parts, content_type = form(fields, pictures)
    return b"".join(parts), content_type


def form(fields: Mapping[str, bytes], pictures: Mapping[str, bytes]) -> tuple[list[bytes], str]:
    """As `multipart`, with the body in parts, so that no picture is copied."""
    boundary = b"imagescreen-benchmark-boundary"
    parts: list[bytes] = []
    for name, value in fields.items():
        parts += _part(boundary, f'name="{name}"', "application/json", value)
    for name, data in pictures.items():
        parts += _part(boundary, f'name="pictures"; filename="{name}"', "image/jpeg", data)
    return [*parts, b"--%b--\r\n" % boundary], f"multipart/form-data; boundary={boundary.decode()}"


def _part(boundary: bytes, named: str, content_type: str, content: bytes) -> list[bytes]:
    head = f"Content-Disposition: form-data; {named}\r\nContent-Type: {content_type}\r\n\r\n"
    return [b"--%b\r\n%b" % (boundary, head.encode()), content, b"\r\n"]
