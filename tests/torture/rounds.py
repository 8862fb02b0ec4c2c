"""Rounds of torture: everything at work at once, something is killed, and then every promise is checked."""

import os
import random
import re
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import httpx

from imagescreen.jobs.tidy import ORPHAN_AGE
from tests.conftest import environment
from tests.torture import moments
from tests.torture.checks import check_disk, check_service, leftovers
from tests.torture.clients import Client
from tests.torture.deeds import AddReference, all_references
from tests.torture.forks import Forks, Started
from tests.torture.moments import Moment
from tests.torture.world import Offer, Picture, World, demand, picture

CLIENTS = 2
LASTING = 12
"""References that nobody changes, so that there is always something to match."""

ROUNDS_UNTIL_TIDY = 10
READY_S = 120.0
ENDED_S = 120.0
"""Only end a hang: both take seconds."""

_CURRENT = re.compile(r"index version (\S+) is current")


class Victim(StrEnum):
    SERVER = "server"
    ADD = "add_references"
    REINDEX = "reindex"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Round:
    """What happened in a round; `hit` is false when the victim had ended before the moment came."""

    victim: Victim
    moment: Moment
    hit: bool
    told: str


class Torture:
    """One home with its processes. Use as `with torture(home, seed) as rounds: rounds.play(1)`."""

    def __init__(self, home: Path, seed: int, forks: Forks) -> None:
        self.home = home
        self.tally: Counter[Victim] = Counter()
        self._seed = seed
        self._forks = forks
        self._dice = random.Random(f"{seed}")
        self._drawn = 0
        self._world = World(CLIENTS)
        self._clients = [
            Client(number, self._world, random.Random(f"{seed}: client {number}"), self._draw)
            for number in range(CLIENTS)
        ]
        self._server: Started | None = None
        self._url = ""
        self._typical_s = {Victim.ADD: 2.0, Victim.REINDEX: 2.0}
        (home / "in").mkdir(parents=True)

    def begin(self) -> None:
        """Something to match, and an index version."""
        self._ready()
        with httpx.Client(base_url=self._url, timeout=60) as api:
            for number in range(LASTING):
                deed = AddReference(f"lasting {number}", (self._draw(),))
                deed.acknowledged(self._world, deed.send(api))
        for reference in self._world.references.values():
            reference.owner = CLIENTS
        self._finished(self._start(Victim.REINDEX), Victim.REINDEX)

    def play(self, number: int) -> Round:
        """Raises Violation."""
        dice = random.Random(f"{self._seed}: round {number}")
        victim = dice.choice(list(Victim))
        server = self._ready()
        scripts = {
            script: self._start(script)
            for script in (Victim.ADD, Victim.REINDEX)
            if victim in (script, Victim.EVERYTHING) or dice.random() < 0.3
        }
        victims = [server] if victim is Victim.SERVER else []
        victims = [server, *scripts.values()] if victim is Victim.EVERYTHING else victims
        victims = victims or [scripts[victim]]
        moment = self._moment(dice, victim, victims)
        for client in self._clients:
            client.start(self._url)
        moment.wait(lambda: any(process.poll() is not None for process in victims))
        for process in victims:
            process.kill()
        for client in self._clients:
            client.stop()
        hit = [_ended(process) for process in victims].count(-9) == len(victims)
        for name, script in scripts.items():
            if script not in victims or script.poll() != -9:
                self._finished(script, name)
        if hit:
            self.tally[victim] += 1
        return Round(victim, moment, hit, self._check(dice))

    def tidy(self) -> None:
        """What killed processes left is cleaned up by the next build, once it is old enough to be nobody's."""
        self._ready()
        _hours_pass(self.home / "data" / "pictures")
        self._finished(self._start(Victim.REINDEX), Victim.REINDEX)
        left = [str(path.relative_to(self.home)) for path in leftovers(self.home)]
        demand(not left, f"a build left {len(left)} files that killed processes had left: {left[:5]}")

    def close(self) -> None:
        if self._server is not None:
            self._server.kill()

    def _moment(self, dice: random.Random, victim: Victim, victims: Sequence[Started]) -> Moment:
        home = self.home
        builds = [
            lambda: moments.building(dice, home, ("", "index.faiss", "manifest.json")),
            lambda: moments.published(dice, home),
        ]
        offered = [part.sha256 for offer in self._world.offered.values() for part in offer.pictures]
        choices: dict[Victim, list[Callable[[], Moment]]] = {
            Victim.SERVER: [
                lambda: moments.at_random(dice, 0.8),
                lambda: moments.picture_written(dice, victims[0].pid),
                lambda: moments.wal_grown(dice, home),
            ],
            Victim.ADD: [
                lambda: moments.at_random(dice, self._typical_s[Victim.ADD]),
                lambda: moments.picture_written(dice, victims[0].pid),
                lambda: moments.picture_stored(dice, home, dice.choice(offered)),
            ],
            Victim.REINDEX: [lambda: moments.at_random(dice, self._typical_s[Victim.REINDEX]), *builds],
            Victim.EVERYTHING: [
                lambda: moments.at_random(dice, min(self._typical_s.values())),
                lambda: moments.picture_stored(dice, home, dice.choice(offered)),
                *builds,
            ],
        }
        return dice.choice(choices[victim])()

    def _draw(self) -> Picture:
        self._drawn += 1
        return picture(self._drawn)

    def _ready(self) -> Started:
        """The server, started again when it was killed, once it is ready (or has nothing to be ready with)."""
        if self._server is not None and self._server.poll() is None:
            return self._server
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        self._server = self._forks.start(
            "serve.py", "--port", str(port), environment=self._environment(), log=self.home / "server.log"
        )
        deadline = time.monotonic() + READY_S
        path = "/health/ready" if self._world.versions else "/health/live"
        while not _answers(f"{self._url}{path}"):
            demand(self._server.poll() is None, f"the server does not start:\n{self._server.said()[-2000:]}")
            demand(time.monotonic() < deadline, f"the server does not get ready:\n{self._server.said()[-2000:]}")
            time.sleep(0.02)
        return self._server

    def _environment(self) -> dict[str, str]:
        return environment(self.home, keep_pictures="all", faiss_threads="1", feed_poll_s="0.1", ready_check_s="0.1")

    def _start(self, script: Victim) -> Started:
        arguments: list[str | Path] = []
        if script is Victim.ADD:
            self._offer()
            arguments = [self.home / "in", "--category", "counterfeit"]
        return self._forks.start(
            f"{script}.py",
            *arguments,
            environment=self._environment(),
            log=self.home / f"{script}-{time.time_ns()}.log",
        )

    def _offer(self) -> None:
        """New references in the folder of the add script, beside those of a run that was killed."""
        for _ in range(self._dice.choice((1, 3, 8))):
            offer = Offer(f"offer {self._drawn}", tuple(self._draw() for _ in range(self._dice.choice((1, 1, 2, 3)))))
            folder = self.home / "in" / offer.title
            folder.mkdir()
            for number, part in enumerate(offer.pictures):
                (folder / f"{number}.jpg").write_bytes(part.data)
            self._world.offered[offer.title] = offer

    def _finished(self, script: Started, name: Victim) -> None:
        """A script that was left in peace does what it is asked to."""
        begun = time.monotonic()
        code = _ended(script)
        demand(code == 0, f"{name} ended with {code}:\n{script.said()[-2000:]}")
        if name is Victim.REINDEX:
            built = _CURRENT.search(script.said())
            demand(built is not None, f"{name} names no version:\n{script.said()[-2000:]}")
            self._world.versions.update(built.groups() if built else ())
        else:
            self._take_in_offers()
            demand(not self._world.offered, f"{name} ended well, but did not add {sorted(self._world.offered)}")
        script.log.unlink()
        self._typical_s[name] = max(0.5, time.monotonic() - begun)

    def _take_in_offers(self) -> None:
        """What the add script was told to add is there whole, or not at all."""
        if not self._world.offered:
            return
        self._ready()
        with httpx.Client(base_url=self._url, timeout=60) as api:
            for item in all_references(api):
                offer = self._world.offered.pop(item["title"], None)
                if offer is not None:
                    self._world.add(item, {part.sha256: part for part in offer.pictures})
                    shutil.rmtree(self.home / "in" / offer.title)

    def _check(self, dice: random.Random) -> str:
        self._ready()
        self._take_in_offers()
        doubts = [client for client in self._clients if client.doubt is not None]
        happened = 0
        with httpx.Client(base_url=self._url, timeout=60) as api:
            for client in doubts:
                assert client.doubt is not None
                happened += client.doubt.settle(self._world, api)
                client.doubt = None
        versions = check_disk(self.home, self._world)
        matched = check_service(self._url, self._world, dice)
        world = self._world
        return (
            f"{world.acknowledged} acknowledged, {len(doubts)} in doubt ({happened} there), {matched} of "
            f"{len(world.references)} references matched, {len(world.screenings)} screenings, {versions} versions sound"
        )


@contextmanager
def torture(home: Path, seed: int) -> Iterator[Torture]:
    """A new home, ready for the first round."""
    with Forks() as forks:
        rounds = Torture(home, seed, forks)
        try:
            rounds.begin()
            yield rounds
        finally:
            rounds.close()


def _hours_pass(folder: Path) -> None:
    """Everything in a folder becomes older, as if nothing had happened for longer than a writer may take."""
    for path in (folder, *folder.rglob("*")):
        known = path.stat()
        age_s = 2 * ORPHAN_AGE.total_seconds()
        os.utime(path, (known.st_atime - age_s, known.st_mtime - age_s))


def _ended(process: Started) -> int:
    deadline = time.monotonic() + ENDED_S
    while (code := process.poll()) is None:
        demand(time.monotonic() < deadline, f"a process does not end:\n{process.said()[-2000:]}")
        time.sleep(0.005)
    return code


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
