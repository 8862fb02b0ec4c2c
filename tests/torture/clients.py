"""Clients that use the service without a pause, and remember which of their requests were never answered."""

import random
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import httpx

from tests.torture.deeds import AddPicture, AddReference, ChangeState, Deed, RemovePicture, Review, ScreenPackage, sent
from tests.torture.world import Picture, Reference, Violation, World, now

PAUSE_S = 0.1
"""At most so long between two requests: the scripts have a lower priority than the server, and must come through."""

SUSPENDED_S = 3.0
"""An end of suspension that comes while the rounds go on."""


class Client:
    """Does one thing after the other until it is told to stop, or gets no answer: then `doubt` says of what."""

    def __init__(self, number: int, world: World, dice: random.Random, draw: Callable[[], Picture]) -> None:
        self.number = number
        self.doubt: Deed | None = None
        self.violation: Exception | None = None
        self._world = world
        self._dice = dice
        self._draw = draw
        self._stop = threading.Event()

    def start(self, url: str) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(url,))
        self._thread.start()

    def stop(self) -> None:
        """Waits until the request under way has ended. Raises what the client could not account for."""
        self._stop.set()
        self._thread.join()
        if self.violation is not None:
            raise self.violation

    def _run(self, url: str) -> None:
        try:
            with httpx.Client(base_url=url, timeout=60) as api:
                while not self._stop.is_set():
                    deed = self._next()
                    try:
                        answer = deed.send(api)
                    except httpx.TransportError:
                        self.doubt = deed
                        return
                    deed.acknowledged(self._world, answer)
                    self._world.acknowledged += 1
                    self._stop.wait(self._dice.uniform(0, PAUSE_S))
        except Violation as violation:
            self.violation = violation
        except Exception as error:
            self.violation = Violation(f"client {self.number}: {type(error).__name__}: {error}")

    def _next(self) -> Deed:
        dice = self._dice
        mine = [reference for reference in list(self._world.references.values()) if reference.owner == self.number]
        chances: list[tuple[int, Callable[[], Deed | None]]] = [
            (4, self._add),
            (6, lambda: self._change(mine)),
            (2, lambda: self._add_picture(mine)),
            (2, lambda: self._remove_picture(mine)),
            (3, self._screen),
            (1, self._screen_again),
            (2, self._review),
        ]
        while True:
            (choose,) = dice.choices([choice for _, choice in chances], [weight for weight, _ in chances])
            deed = choose()
            if deed is not None:
                return deed

    def _add(self) -> Deed:
        pictures = tuple(self._draw() for _ in range(self._dice.choice((1, 1, 2, 3))))
        return AddReference(f"client {self.number}: {pictures[0].sha256[:12]}", pictures)

    def _change(self, mine: Sequence[Reference]) -> Deed | None:
        if not mine:
            return None
        reference = self._dice.choice(mine)
        if reference.state != "active":
            return ChangeState(reference, "active")
        state = self._dice.choice(("suspended", "suspended until", "retired"))
        if state == "suspended until":
            return ChangeState(reference, "suspended", now() + timedelta(seconds=SUSPENDED_S))
        return ChangeState(reference, state)

    def _add_picture(self, mine: Sequence[Reference]) -> Deed | None:
        return AddPicture(self._dice.choice(mine), self._draw()) if mine else None

    def _remove_picture(self, mine: Sequence[Reference]) -> Deed | None:
        several = [reference for reference in mine if len(reference.pictures) > 1]
        if not several:
            return None
        reference = self._dice.choice(several)
        return RemovePicture(reference, self._dice.choice(sorted(reference.pictures)))

    def _screen(self) -> Deed:
        known = self._dice.choice([r for r in list(self._world.references.values()) if r.pictures])
        pictures = [self._draw(), next(iter(known.pictures.values()))][: self._dice.choice((1, 2))]
        package = {"package_id": pictures[0].sha256[:16], "participant": f"client-{self.number}"}
        return ScreenPackage({"package": package, "pictures": sent(*pictures)}, self.number)

    def _screen_again(self) -> Deed | None:
        mine = [screening for screening in list(self._world.screenings.values()) if screening.owner == self.number]
        if not mine:
            return None
        screening = self._dice.choice(mine)
        return ScreenPackage(screening.body, self.number, screening.answer)

    def _review(self) -> Deed | None:
        mine = [screening for screening in list(self._world.screenings.values()) if screening.owner == self.number]
        if not mine:
            return None
        return Review(self._dice.choice(mine), f"{self._dice.random()}")
