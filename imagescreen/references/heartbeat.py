"""Tells the other processes, every two seconds, what this one serves."""

import threading
from collections.abc import Callable

import structlog

from imagescreen.database.processes import ProcessReport, remove_process, report_process
from imagescreen.database.session import Database

PAUSE_S = 2.0
_CLOSE_S = 5.0


class Heartbeat:
    """A thread of its own: waiting for the database's write lock must not keep the follower from looking."""

    def __init__(self, database: Database, report: Callable[[], ProcessReport]) -> None:
        self._database = database
        self._report = report
        self._stop = threading.Event()
        self._failing = False
        self._log = structlog.get_logger("imagescreen.heartbeat")
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and takes the report back. Where that fails, others drop it after a minute."""
        self._stop.set()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            return
        try:
            with self._database.write() as session:
                remove_process(session, self._report().id)
        except Exception as error:
            self._log.warning("report_not_removed", exc_info=error)

    def _run(self) -> None:
        while True:
            try:
                with self._database.write() as session:
                    report_process(session, self._report())
                self._failing = False
            except Exception as error:
                # Serving does not depend on it; the first failure in a row is enough in the log.
                if not self._failing:
                    self._log.warning("report_not_written", exc_info=error)
                self._failing = True
            if self._stop.wait(PAUSE_S):
                return
