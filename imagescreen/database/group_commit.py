"""Writers that come at the same time share one transaction, and so one wait for the disk."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from imagescreen.database.session import Database
from imagescreen.errors import Unavailable

T = TypeVar("T")
MAX_GROUP = 64
"""Writes in one transaction: it stays short, so that writers in other processes are not kept waiting."""


class GroupCommit:
    """One thread that writes for all: what comes while it waits for the disk goes into its next transaction together.

    A write that fails takes back what it did itself and disturbs no other. Where the database itself fails, the whole
    group fails.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[tuple[Callable[[Connection], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="group-commit", daemon=True)
        self._worker.start()

    def write(self, change: Callable[[Connection], T]) -> T:
        """The result of `change`, once it is committed and durable. Raises what it raised, or Unavailable.

        `change` may be called again, in another transaction, after the first one was taken back.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise Unavailable("the database is closed")
            self._queue.append((change, future))
            self._changed.notify()
        return future.result()

    def close(self) -> None:
        """Writes what was accepted, and takes no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._worker.join()

    def _work(self) -> None:
        while group := self._next_group():
            self._write_group(group)

    def _next_group(self) -> list[tuple[Callable[[Connection], Any], Future[Any]]]:
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            return [self._queue.popleft() for _ in range(min(MAX_GROUP, len(self._queue)))]

    def _write_group(self, group: list[tuple[Callable[[Connection], Any], Future[Any]]]) -> None:
        """All in one transaction; only when one of several fails it is done again, with a savepoint for each.

        A savepoint costs as much as the insert that it protects.
        """
        try:
            with self._database.write_connection() as connection:
                results = _done_together(connection, group)
        except _OneFailed:
            self._write_each(group)
        except BaseException as problem:
            _fail(group, problem)
        else:
            for (_, future), result in zip(group, results, strict=True):
                future.set_result(result)

    def _write_each(self, group: list[tuple[Callable[[Connection], Any], Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        try:
            with self._database.write_connection() as connection:
                for change, future in group:
                    try:
                        with connection.begin_nested():
                            result = change(connection)
                    except OperationalError:
                        # SQLite ends the whole transaction by itself when the disk is full or cannot be read, and a
                        # commit afterwards says nothing: what seemed done before is gone.
                        raise
                    except Exception as problem:
                        failed.append((future, problem))
                    else:
                        done.append((future, result))
        except BaseException as problem:
            # The transaction did not end well: nobody's write is there.
            _fail(group, problem)
            return
        for future, result in done:
            future.set_result(result)
        for future, reason in failed:
            future.set_exception(reason)


class _OneFailed(Exception):
    """One of several writes failed, so that none of them may be committed as they are."""


def _done_together(connection: Connection, group: list[tuple[Callable[[Connection], Any], Future[Any]]]) -> list[Any]:
    try:
        return [change(connection) for change, _ in group]
    except OperationalError:
        raise
    except Exception:
        if len(group) == 1:
            raise
        raise _OneFailed from None


def _fail(group: list[tuple[Callable[[Connection], Any], Future[Any]]], problem: BaseException) -> None:
    for _, future in group:
        future.set_exception(problem)
