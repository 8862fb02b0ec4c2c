"""More requests than the service can take, for minutes: what is refused, what is lost, and how it is afterwards."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from imagescreen.evaluation.http_load import LoadResult, Request, percentile, run_load, run_open_load

FACTOR = 4
"""Times the rate that the service reaches just before, with 16 requests at once."""

CLIENTS = 16
CONNECTIONS = 480
"""More than the service accepts at a time, so that every further request is sent when it is due."""

RECOVERY_S = 5.0
_SAMPLE_S = 1.0

Make = Callable[[int], Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """`memory_mib` is (seconds since the overload began, MiB of the service); `recorded` are the accepted packages of
    the overload that are in the database afterwards. `after_rate`: answers a second, from RECOVERY_S after the end on.
    """

    before: LoadResult
    during: LoadResult
    seconds: float
    recorded: int
    memory_before_mib: float
    memory_mib: list[tuple[float, float]]
    after_rate: float

    @property
    def offered_rate(self) -> float:
        return FACTOR * self.before.rate

    @property
    def refused(self) -> int:
        return self.during.statuses.get(503, 0)

    @property
    def lost(self) -> int:
        """Requests that were neither refused nor answered well, and good answers without a record."""
        return len(self.during.answers) - self.refused - min(self.during.good, self.recorded)

    def refusal_ms(self, percent: float) -> float:
        return percentile([answer.elapsed_ms for answer in self.during.answers if answer.status == 503], percent)

    @property
    def late(self) -> int:
        """Requests for which there was no free connection within 50 ms: more than the service accepts at a time."""
        return sum(answer.sent - answer.due > 0.05 for answer in self.during.answers)

    def memory_in(self, first: float, last: float) -> float:
        """The highest memory within these shares of the overload, MiB."""
        inside = [mib for at, mib in self.memory_mib if first * self.seconds <= at <= last * self.seconds]
        return max(inside, default=float("nan"))


def measure_overload(
    url: str,
    make: Callable[[str], Make],
    *,
    recorded: Callable[[str], int],
    resident_mib: Callable[[], float],
    seconds: float,
    after_s: float = 30.0,
) -> Overload:
    """Offers FACTOR times what the service can take for `seconds`, then as many clients as before for `after_s`.

    `make` gives the requests of a named part of this, `recorded` tells how many packages of a part are in the database.
    """
    before = run_load(url, make("before"), clients=CLIENTS, seconds=min(20.0, seconds))
    memory_before = resident_mib()
    memory: list[tuple[float, float]] = []
    ended = threading.Event()
    started = time.monotonic()

    def watch() -> None:
        while not ended.wait(_SAMPLE_S):
            memory.append((time.monotonic() - started, resident_mib()))

    with ThreadPoolExecutor(2) as pool:
        pool.submit(watch)
        try:
            offered = pool.submit(
                run_open_load,
                url,
                make("during"),
                rate=FACTOR * before.rate,
                seconds=seconds,
                connections=CONNECTIONS,
            )
            time.sleep(seconds)
            over_at = time.monotonic()
            # What was accepted before is still being worked on, and counts.
            after = run_load(url, make("after"), clients=CLIENTS, seconds=after_s)
            during = offered.result()
        finally:
            ended.set()
    first, last = over_at + min(RECOVERY_S, after_s / 2), over_at + after_s
    answered = sum(a.good and first <= a.ended <= last for a in (*during.answers, *after.answers))
    return Overload(
        before=before,
        during=during,
        seconds=seconds,
        recorded=recorded("during"),
        memory_before_mib=memory_before,
        memory_mib=memory,
        after_rate=answered / (last - first),
    )
