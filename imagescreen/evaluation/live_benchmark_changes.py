"""How soon a committed change takes effect in every server process of a deployment.

A change counts as taken when the process answers a real request for matches accordingly.
"""

import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from imagescreen.evaluation.deployment import Deployment, Progress, Server, drawn_picture
from imagescreen.evaluation.http_load import multipart
from imagescreen.evaluation.reindex_benchmark import BenchmarkFailed

REFERENCES = 24
"""References that take part before the first change; added ones join them."""

AHEAD_S = 2.0
"""How far ahead a moment lies at which a reference begins or ceases to match by the clock."""

_TRY_AGAIN_S = 0.02
_DEADLINE_S = 120.0
_SCRIPT_SHARE = 0.1


class Change(StrEnum):
    ADD = "add"
    ADD_PICTURE = "add a picture"
    REMOVE_PICTURE = "remove a picture"
    SUSPEND = "suspend"
    ACTIVATE = "activate"
    RETIRE = "retire"
    SUSPENSION_ENDS = "suspension ends"
    VALIDITY_BEGINS = "validity begins"
    VALIDITY_ENDS = "validity ends"


@dataclass(slots=True)
class _Known:
    """A reference with its newest picture, and whether it matches."""

    reference_id: str
    picture_id: int
    picture: bytes
    matches: bool = True


@dataclass(slots=True)
class Delays:
    """Seconds from the commit's answer, or from the moment of expiry, until a process matched accordingly."""

    by_change: dict[Change, list[float]] = field(default_factory=lambda: defaultdict(list))
    switches: int = 0

    def all(self) -> list[float]:
        return [delay for delays in self.by_change.values() for delay in delays]


def measure_changes(
    deployment: Deployment, *, processes: int, rounds: int, pictures: int, seed: int, progress: Progress
) -> Delays:
    """Random changes, each through a random process or a script, seen from every process.

    With `pictures` the index holds so many synthetic ones besides, and two versions of it are activated in turn all
    the while, so that processes load a version of that size for most of the time.
    """
    if pictures:
        deployment.fill(pictures, progress)
    delays = Delays()
    with deployment.servers(processes, ready="/health/live", feed_poll_s="0.5") as servers:
        course = _Course(deployment, servers, random.Random(seed), delays)  # noqa: S311 - a benchmark
        course.begin(progress)
        versions = [deployment.build()]
        if pictures:
            versions.append(deployment.build())
        _wait_until_all_serve(servers, versions[-1])
        with _switching(deployment, servers, versions, delays):
            for number in range(rounds):
                course.one_change()
                progress("changing references", number + 1, rounds)
    return delays


class _Course:
    def __init__(self, deployment: Deployment, servers: Sequence[Server], dice: random.Random, delays: Delays) -> None:
        self._deployment = deployment
        self._servers = servers
        self._dice = dice
        self._delays = delays
        self._references: list[_Known] = []
        self._drawn = 0

    def begin(self, progress: Progress) -> None:
        for number in range(REFERENCES):
            self._add(self._servers[0])
            progress("adding references", number + 1, REFERENCES)

    def one_change(self) -> None:
        matching = [known for known in self._references if known.matches]
        silent = [known for known in self._references if not known.matches]
        possible = [Change.ADD]
        if len(matching) > 1:
            possible += [Change.ADD_PICTURE, Change.SUSPEND, Change.RETIRE, Change.SUSPENSION_ENDS]
            possible += [Change.VALIDITY_ENDS]
        if silent:
            possible += [Change.ACTIVATE, Change.VALIDITY_BEGINS]
        change = self._dice.choice(possible)
        server = self._dice.choice(self._servers)
        chosen = self._dice.choice(silent if change in (Change.ACTIVATE, Change.VALIDITY_BEGINS) else matching)
        match change:
            case Change.ADD:
                added, since = self._add(server)
                self._see(change, added, since, matches=True)
            case Change.ADD_PICTURE:
                self._replace_picture(server, chosen)
            case Change.SUSPENSION_ENDS | Change.VALIDITY_BEGINS | Change.VALIDITY_ENDS:
                self._turn_by_the_clock(change, server, chosen)
            case Change.SUSPEND if self._dice.random() < _SCRIPT_SHARE:
                self._deployment.run("references.py", "suspend", chosen.reference_id)
                self._see(change, chosen, time.time(), matches=False)
            case _:
                state = {Change.SUSPEND: "suspended", Change.RETIRE: "retired"}.get(change, "active")
                since = self._patch(server, chosen, state=state)
                self._see(change, chosen, since, matches=change is Change.ACTIVATE)

    def _replace_picture(self, server: Server, known: _Known) -> None:
        """A reference keeps its last picture, so one is added before one is removed."""
        path = f"/v1/references/{known.reference_id}/pictures"
        removed = _Known(known.reference_id, known.picture_id, known.picture)
        known.picture = self._draw()
        status, answer = server.call("POST", path, *multipart({}, {"a.jpg": known.picture}))
        since = time.time()
        if status not in (200, 201):
            raise BenchmarkFailed(f"a picture was not added ({status}): {answer}")
        known.picture_id = answer["pictures"][-1]["reference_picture_id"]
        self._see(Change.ADD_PICTURE, known, since, matches=True)
        since = self._call(server, "DELETE", f"{path}/{removed.picture_id}", b"")
        self._see(Change.REMOVE_PICTURE, removed, since, matches=False)

    def _turn_by_the_clock(self, change: Change, server: Server, known: _Known) -> None:
        """Counts from the moment at which the reference begins or ceases to match."""
        moment = time.time() + AHEAD_S
        told = datetime.fromtimestamp(moment, UTC).isoformat()
        if change is Change.SUSPENSION_ENDS:
            since = self._patch(server, known, state="suspended", suspended_until=told)
            self._see(Change.SUSPEND, known, since, matches=False)
        elif change is Change.VALIDITY_BEGINS:
            self._patch(server, known, state="active", valid_from=told)
        else:
            self._patch(server, known, valid_until=told)
        self._see(change, known, moment, matches=change is not Change.VALIDITY_ENDS)

    def _add(self, server: Server) -> tuple[_Known, float]:
        picture = self._draw()
        facts = json.dumps({"title": f"product {self._drawn}", "category": "counterfeit"}).encode()
        status, answer = server.call("POST", "/v1/references", *multipart({"reference": facts}, {"a.jpg": picture}))
        since = time.time()
        if status != 201:
            raise BenchmarkFailed(f"a reference was not added ({status}): {answer}")
        known = _Known(answer["reference_id"], answer["pictures"][0]["reference_picture_id"], picture)
        self._references.append(known)
        return known, since

    def _draw(self) -> bytes:
        self._drawn += 1
        return drawn_picture(self._drawn)

    def _patch(self, server: Server, known: _Known, **members: str) -> float:
        """Changes what is told, and takes back what an earlier change told of moments."""
        facts = {"suspended_until": None, "valid_from": None, "valid_until": None} | members
        return self._call(server, "PATCH", f"/v1/references/{known.reference_id}", json.dumps(facts).encode())

    def _call(self, server: Server, method: str, path: str, body: bytes) -> float:
        """Returns the moment at which the change was acknowledged, in seconds since the epoch."""
        status, answer = server.call(method, path, body)
        if status not in (200, 204):
            raise BenchmarkFailed(f"a change was not taken ({status}): {answer}")
        return time.time()

    def _see(self, change: Change, known: _Known, since: float, *, matches: bool) -> None:
        """Asks every process, again and again, until it matches the reference's picture, or does so no more."""
        known.matches = matches
        with ThreadPoolExecutor(len(self._servers)) as pool:
            for delay in pool.map(lambda server: _delay(server, known, since), self._servers):
                self._delays.by_change[change].append(delay)


def _delay(server: Server, known: _Known, since: float) -> float:
    deadline = time.time() + _DEADLINE_S
    while time.time() < deadline:
        if (known.picture_id in server.matched_pictures(known.picture)) is known.matches:
            return max(0.0, time.time() - since)
        time.sleep(_TRY_AGAIN_S)
    raise BenchmarkFailed(f"a process did not take a change within {_DEADLINE_S:g} s")


def _wait_until_all_serve(servers: Sequence[Server], version: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while any(server.get("/v1/index")["version"] != version for server in servers):
        if time.monotonic() > deadline:
            raise BenchmarkFailed("a process did not switch to the version that was built")
        time.sleep(0.2)


@contextmanager
def _switching(
    deployment: Deployment, servers: Sequence[Server], versions: Sequence[str], delays: Delays
) -> Iterator[None]:
    """Activates one version after the other, as soon as every process serves the last one."""
    if len(versions) < 2:
        yield
        return
    stop = threading.Event()

    def run() -> None:
        number = 0
        while not stop.is_set():
            version = versions[number % len(versions)]
            deployment.activate(version)
            while not stop.wait(0.2) and any(_version(server) != version for server in servers):
                pass
            number += 1
            delays.switches = number

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _version(server: Server) -> str | None:
    told: str | None = server.get("/v1/index")["version"]
    return told
