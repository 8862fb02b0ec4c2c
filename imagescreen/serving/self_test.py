"""Whether this process can really screen: a built-in picture goes through the model and the index."""

import threading
import time
from dataclasses import dataclass

from imagescreen.errors import ImagescreenError
from imagescreen.serving.state import Serving

TIMEOUT_S = 30.0
"""A model that has not answered by then, with one batch before it at most, is taken for dead."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """`problems` is empty when all is well."""

    problems: tuple[str, ...]
    age_s: float


class SelfTester:
    """Runs at most every `interval_s`; in between the last result counts, with its age."""

    def __init__(self, serving: Serving, *, interval_s: float) -> None:
        self._serving = serving
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._problems: tuple[str, ...] = ()
        self._ran_at: float | None = None

    def result(self) -> SelfTest:
        with self._lock:
            if self._ran_at is None or time.monotonic() - self._ran_at >= self._interval_s:
                self._problems = self._run()
                self._ran_at = time.monotonic()
            return SelfTest(self._problems, time.monotonic() - self._ran_at)

    def _run(self) -> tuple[str, ...]:
        try:
            served = self._serving.require_index()
            encoder = served.batcher.encoder
            vectors = served.batcher.probe(encoder.test_input()).result(timeout=TIMEOUT_S)
            encoder.check_test_vector(vectors[0])
            if not served.snapshot.search(vectors, count=1)[0]:
                return ("the index finds nothing for the built-in picture",)
        except ImagescreenError as error:
            return (error.detail,)
        except TimeoutError:
            return (f"the model did not answer within {TIMEOUT_S:g} s",)
        except Exception as error:
            return (f"the self-test failed: {type(error).__name__}",)
        return ()
