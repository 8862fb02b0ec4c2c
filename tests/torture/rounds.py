"""Rounds of torture: everything at work at once, something is killed, and then every promise is checked."""

import fcntl
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import httpx

from imagescreen.jobs.folding import LOCK_FILE
from imagescreen.jobs.tidy import ORPHAN_AGE
from tests.torture import moments
from tests.torture.checks import check_disk, check_service, leftovers
from tests.torture.clients import Client
from tests.torture.deeds import AddReference, all_references
from tests.torture.deployment import Deployment, Script, eventually, kill, runs
from tests.torture.forks import Forks, Started
from tests.torture.moments import Moment
from tests.torture.world import Offer, Picture, World, demand, picture

CLIENTS = 2
LASTING = 12
"""References that nobody changes, so that there is always something to match."""

WORKERS = 2
LOOKS_AT_WORKERS = 4
"""Any of the workers may answer a connection; so often, hardly one is left out."""

ROUNDS_UNTIL_TIDY = 10
TIDY_S = 30.0
FOLD_BEGINS_S = 30.0


class Victim(StrEnum):
    SERVER = "server"
    WORKER = "worker"
    FOLD = "fold"
    ADD = "add_references"
    REINDEX = "reindex"
    INDEX = "index"
    EVERYTHING = "everything"


QUICK = tuple(victim for victim in Victim if victim is not Victim.WORKER)
ALL = (*QUICK, *QUICK, *QUICK, Victim.WORKER)
"""Worker processes import everything for themselves, which takes longer than several other rounds."""

_SCRIPTS = {Victim.ADD: Script.ADD, Victim.REINDEX: Script.REINDEX, Victim.INDEX: Script.INDEX}


@dataclass(frozen=True, slots=True)
class Round:
    """What happened in a round; `hit` is false when the victim had ended before the moment came."""

    victim: Victim
    moment: str
    hit: bool
    told: str


class Torture:
    """One home with its processes. Use as `with torture(home, seed) as rounds: rounds.play(1)`."""

    def __init__(self, home: Path, seed: int, forks: Forks, victims: Sequence[Victim]) -> None:
        self.tally: Counter[Victim] = Counter()
        self._home = home
        self._seed = seed
        self._victims = victims
        self._dice = random.Random(f"{seed}")
        self._drawn = 0
        self._world = World(CLIENTS)
        self._clients = [
            Client(number, self._world, random.Random(f"{seed}: client {number}"), self._draw)
            for number in range(CLIENTS)
        ]
        self._deployment = Deployment(home, forks)

    def begin(self) -> None:
        """Something to match, and an index version."""
        self._deployment.ready()
        with httpx.Client(base_url=self._deployment.url, timeout=60) as api:
            for number in range(LASTING):
                deed = AddReference(f"lasting {number}", (self._draw(),))
                deed.acknowledged(self._world, deed.send(api))
        for reference in self._world.references.values():
            reference.owner = CLIENTS
        self._build()

    def play(self, number: int) -> Round:
        """Raises Violation."""
        dice = random.Random(f"{self._seed}: round {number}")
        victim = self._victim(number)
        server = self._deployment.ready(WORKERS if victim is Victim.WORKER else 1)
        scripts = {
            script: self._start(script, dice)
            for script in Script
            if script is _SCRIPTS.get(victim)
            or (victim is Victim.EVERYTHING and script is not Script.INDEX)
            or (script is not Script.INDEX and dice.random() < 0.2)
        }
        for client in self._clients:
            client.start(self._deployment.url)
        if victim is Victim.WORKER:
            told, hit = self._kill_worker(server, dice)
        elif victim is Victim.FOLD:
            told, hit = self._kill_fold(server, dice)
        elif victim is Victim.EVERYTHING:
            told, hit = self._kill_all([server, *scripts.values()], dice)
        else:
            script = _SCRIPTS.get(victim)
            told, hit = self._kill_one(victim, server if script is None else scripts[script], dice)
        for client in self._clients:
            client.stop()
        for script, process in scripts.items():
            if process.poll() != -signal.SIGKILL:
                self._finished(script, process)
        self.tally[victim] += hit
        return Round(victim, told, hit, self._check(victim, dice))

    def tidy(self) -> None:
        """What killed processes left is cleaned up by the next build, once it is old enough to be nobody's."""
        self._deployment.ready()
        with self._no_folding():
            _hours_pass(self._home / "data" / "pictures")
        self._build()
        # The server may be building as well.
        eventually(
            lambda: not leftovers(self._home),
            lambda: f"a build left what killed processes had left: {leftovers(self._home)[:5]}",
            TIDY_S,
        )

    def close(self) -> None:
        self._deployment.close()

    def _victim(self, number: int) -> Victim:
        """All of `victims` in turn, in another order each time."""
        turn, position = divmod(number - 1, len(self._victims))
        return random.Random(f"{self._seed}: turn {turn}").sample(self._victims, len(self._victims))[position]

    def _kill_one(self, victim: Victim, process: Started, dice: random.Random) -> tuple[str, bool]:
        moment = dice.choice(self._moments(victim, process.pid, dice))()
        moment.wait(lambda: process.poll() is not None)
        process.kill()
        return str(moment), self._deployment.ended(process) == -signal.SIGKILL

    def _kill_all(self, processes: Sequence[Started], dice: random.Random) -> tuple[str, bool]:
        moment = dice.choice(self._moments(Victim.EVERYTHING, processes[0].pid, dice))()
        moment.wait(lambda: any(process.poll() is not None for process in processes))
        for process in processes:
            process.kill_group()
        return str(moment), all(self._deployment.ended(process) == -signal.SIGKILL for process in processes)

    def _kill_worker(self, server: Started, dice: random.Random) -> tuple[str, bool]:
        """The others go on, and it comes back."""
        worker = dice.choice(server.children("spawn_main"))
        moment = dice.choice(self._moments(Victim.WORKER, worker, dice))()
        moment.wait(lambda: not runs(worker))
        hit = runs(worker)
        kill(worker, signal.SIGKILL)
        eventually(
            lambda: sum(child != worker for child in server.children("spawn_main")) == WORKERS,
            lambda: "a worker that was killed does not come back",
        )
        return str(moment), hit

    def _kill_fold(self, server: Started, dice: random.Random) -> tuple[str, bool]:
        """The build that the server starts when enough has changed."""
        appeared = moments.child(server, "imagescreen.jobs.fold", FOLD_BEGINS_S)
        if appeared is None:
            return "its begin", False
        moment = dice.choice(self._moments(Victim.FOLD, appeared, dice))()
        moment.wait(lambda: not runs(appeared))
        hit = runs(appeared)
        kill(appeared, signal.SIGKILL)
        return str(moment), hit

    def _moments(self, victim: Victim, pid: int, dice: random.Random) -> list[Callable[[], Moment]]:
        home = self._home
        typical = self._deployment.typical_s
        offered = [part.sha256 for offer in self._world.offered.values() for part in offer.pictures]

        def written() -> Moment:
            return moments.picture_written(dice, pid)

        def stored() -> Moment:
            return moments.picture_stored(dice, home, dice.choice(offered))

        builds: list[Callable[[], Moment]] = [
            lambda: moments.building(dice, home, ("", "index.faiss", "manifest.json")),
            lambda: moments.published(dice, home),
        ]
        match victim:
            case Victim.ADD:
                return [lambda: moments.at_random(dice, typical[Script.ADD]), written, stored]
            case Victim.REINDEX | Victim.FOLD:
                return [lambda: moments.at_random(dice, typical[Script.REINDEX]), *builds]
            case Victim.INDEX:
                return [lambda: moments.at_random(dice, typical[Script.INDEX])]
            case Victim.EVERYTHING:
                return [lambda: moments.at_random(dice, min(typical.values())), stored, *builds]
            case Victim.SERVER:
                return [lambda: moments.at_random(dice, 0.8), written, lambda: moments.wal_grown(dice, home)]
            case Victim.WORKER:
                return [lambda: moments.at_random(dice, 0.8), lambda: moments.wal_grown(dice, home)]

    def _draw(self) -> Picture:
        self._drawn += 1
        return picture(self._drawn)

    def _start(self, script: Script, dice: random.Random) -> Started:
        if script is Script.ADD:
            self._offer(dice)
            return self._deployment.start(script, self._deployment.incoming, "--category", "counterfeit")
        if script is Script.INDEX:
            activate = ("activate", dice.choice(self._deployment.versions()))
            return self._deployment.start(script, *dice.choice((activate, ("prune", "--keep", "1"))))
        return self._deployment.start(script)

    def _offer(self, dice: random.Random) -> None:
        """New references in the folder of the add script, beside those of a run that was killed."""
        for _ in range(dice.choice((1, 3, 8))):
            offer = Offer(f"offer {self._drawn}", tuple(self._draw() for _ in range(dice.choice((1, 1, 2, 3)))))
            folder = self._deployment.incoming / offer.title
            folder.mkdir()
            for number, part in enumerate(offer.pictures):
                (folder / f"{number}.jpg").write_bytes(part.data)
            self._world.offered[offer.title] = offer

    @contextmanager
    def _no_folding(self) -> Iterator[None]:
        """While no server builds: a build that is under way notes by the clock until when it has looked for leftovers,
        and files that only now became older than that would be passed by for ever, as real ones never are.
        """
        with (self._deployment.versions_dir / LOCK_FILE).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _build(self) -> None:
        self._finished(Script.REINDEX, self._deployment.start(Script.REINDEX))
        self._deployment.built = True

    def _finished(self, script: Script, process: Started) -> None:
        version = self._deployment.finished(script, process)
        if version is not None:
            self._world.activated[version] += 1
        if script is Script.ADD:
            self._take_in_offers()
            demand(not self._world.offered, f"{script} ended well, but did not add {sorted(self._world.offered)}")

    def _take_in_offers(self) -> None:
        """What the add script was told to add is there whole, or not at all."""
        if not self._world.offered:
            return
        self._deployment.ready()
        with httpx.Client(base_url=self._deployment.url, timeout=60) as api:
            for item in all_references(api):
                offer = self._world.offered.pop(item["title"], None)
                if offer is not None:
                    self._world.add(item, {part.sha256: part for part in offer.pictures})
                    shutil.rmtree(self._deployment.incoming / offer.title)

    def _check(self, victim: Victim, dice: random.Random) -> str:
        workers = WORKERS if victim is Victim.WORKER else 1
        self._deployment.ready(workers)
        doubts = [client for client in self._clients if client.doubt is not None]
        happened = 0
        with httpx.Client(base_url=self._deployment.url, timeout=60) as api:
            for client in doubts:
                assert client.doubt is not None
                happened += client.doubt.settle(self._world, api)
                client.doubt = None
        self._take_in_offers()
        versions = check_disk(self._home, self._world)
        for _ in range(1 if workers == 1 else LOOKS_AT_WORKERS):
            matched = check_service(self._deployment.url, self._world, dice)
        world = self._world
        world.touched.clear()
        return (
            f"{world.acknowledged} acknowledged, {len(doubts)} in doubt ({happened} there), {matched} of "
            f"{len(world.references)} references matched, {len(world.screenings)} screenings, {versions} versions sound"
        )


@contextmanager
def torture(home: Path, seed: int, victims: Sequence[Victim] = ALL) -> Iterator[Torture]:
    """A new home, ready for the first round."""
    with Forks() as forks:
        rounds = Torture(home, seed, forks, victims)
        try:
            rounds.begin()
            yield rounds
        finally:
            rounds.close()


def _hours_pass(folder: Path) -> None:
    """Everything in a folder becomes older, as if nothing had happened for longer than a writer may take."""
    age_s = 2 * ORPHAN_AGE.total_seconds()
    for path in (folder, *folder.rglob("*")):
        known = path.stat()
        os.utime(path, (known.st_atime - age_s, known.st_mtime - age_s))
