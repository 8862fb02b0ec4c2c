"""How a job tells how far it is; scripts draw a bar, tests and the server ignore it."""

import time

from imagescreen.matching.progress import Progress, silent

__all__ = ["Progress", "StageTimes", "silent"]


class StageTimes:
    """A `Progress` that passes on what it is told, and knows how long each stage took.

    Stages follow one another, so a stage takes from the last word of the one before until its own last word.
    """

    def __init__(self, progress: Progress = silent) -> None:
        self._progress = progress
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        moment = time.perf_counter()
        self.seconds[what] = self.seconds.get(what, 0.0) + moment - self._last
        self._last = moment
        self._progress(what, done, total)
