"""How long one caller waits for its answer."""

import math
import threading
import time
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from imagescreen.errors import CallerGone, Overloaded

T = TypeVar("T")


class Patience:
    """Lasts `seconds` from now, or until the caller goes away. One thread works for the caller; any may end its wait.

    What the caller waits for is cancelled when its patience ends, and so leaves the queue that it stands in.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._gone = False
        self._awaited: Future[Any] | None = None
        self._lock = threading.Lock()

    @property
    def left_s(self) -> float:
        return max(0.0, self._until - time.monotonic())

    def extend(self, seconds: float) -> None:
        """For a time that the caller itself took."""
        self._until += seconds

    def give_up(self) -> None:
        """The caller is gone: nobody wants the answer any more."""
        with self._lock:
            self._gone = True
            if self._awaited is not None:
                self._awaited.cancel()

    def check(self) -> None:
        """Raises CallerGone, or Overloaded when the time is over."""
        if self._gone:
            raise CallerGone("the caller went away before its answer was there")
        if time.monotonic() > self._until:
            raise self.over()

    def result_of(self, future: "Future[T]") -> T:
        """The future's result, or what it raised. Cancels it, and raises as `check`, when patience ends before."""
        with self._lock:
            self._awaited = future
        try:
            self.check()
            try:
                return future.result(None if self._until == math.inf else self.left_s)
            except TimeoutError:
                if not future.done():
                    raise self.over() from None
                # Done at the last moment, or it raised that itself.
                return future.result()
        except CancelledError:
            self.check()
            raise
        finally:
            with self._lock:
                self._awaited = None
            future.cancel()

    def over(self) -> Overloaded:
        """What to raise when the time is over, for whoever has measured it."""
        return Overloaded(f"the request waited longer than {self._seconds:g} s for its turn: try again in a moment")
