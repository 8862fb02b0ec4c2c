"""Calibration packages that do not count: one process at a time adds some, and what it leaves behind is removed."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from imagescreen.database.calibration_set import remove_packages
from imagescreen.database.calibration_succession import packages_left_over
from imagescreen.errors import Conflict
from imagescreen.jobs.workbench import Store

PACKAGES_A_COMMIT = 100
"""Servers write between two commits: a set may have tens of thousands of packages."""

_LOCK = ".calibrating"


@contextmanager
def calibrating(store: Store) -> Iterator[None]:
    """Only one process of all calibrates: whoever holds the lock knows that packages which do not count are its own.

    Raises Conflict while another one does.
    """
    store.versions_dir.mkdir(parents=True, exist_ok=True)
    with (store.versions_dir / _LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("another calibration is at work: run the command again when it has ended") from None
        yield


def remove_leftovers(store: Store) -> None:
    """Removes every package that does not count, some at a time. For whoever is `calibrating`."""
    while True:
        with store.database.write() as session:
            left_over = packages_left_over(session, limit=PACKAGES_A_COMMIT)
            remove_packages(session, left_over)
        if len(left_over) < PACKAGES_A_COMMIT:
            return


def remove_leftovers_unless_calibrating(store: Store) -> None:
    """The same for a build; what a calibration adds meanwhile is left to it."""
    with store.database.read() as session:
        if not packages_left_over(session, limit=1):
            return
    try:
        with calibrating(store):
            remove_leftovers(store)
    except Conflict:
        return
