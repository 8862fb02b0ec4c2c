"""Writers that come at the same time share one transaction, and so one wait for the disk."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from imagescreen.database.session import Database
from imagescreen.errors import Unavailable

T = TypeVar("T")
MAX_GROUP = 64
"""Writes in one transaction: it stays short, so that writers in other processes are not kept waiting."""


class GroupCommit(Generic[T]):
    """One thread that writes for all: what comes while it waits for the disk goes into its next transaction together.

    `write_all` inserts a group in as many statements as one of it needs. A write that fails is taken back and disturbs
    no other. Where the database itself fails, the whole group fails.
    """

    def __init__(self, database: Database, write_all: Callable[[Connection, Sequence[T]], None]) -> None:
        self._database = database
        self._write_all = write_all
        self._queue: deque[tuple[T, Future[None]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="group-commit", daemon=True)
        self._worker.start()

    def write(self, item: T) -> None:
        """Returns once `item` is committed and durable. Raises what writing it raised, or Unavailable."""
        future: Future[None] = Future()
        with self._changed:
            if self._closed:
                raise Unavailable("the database is closed")
            self._queue.append((item, future))
            self._changed.notify()
        future.result()

    def close(self) -> None:
        """Writes what was accepted, and takes no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._worker.join()

    def _work(self) -> None:
        while group := self._next_group():
            self._write_group(group)

    def _next_group(self) -> list[tuple[T, Future[None]]]:
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            return [self._queue.popleft() for _ in range(min(MAX_GROUP, len(self._queue)))]

    def _write_group(self, group: list[tuple[T, Future[None]]]) -> None:
        """All in one transaction; only when one of several fails it is done again, with a savepoint for each.

        A savepoint costs as much as the insert that it protects.
        """
        try:
            with self._database.write_connection() as connection:
                self._write_together(connection, [item for item, _ in group])
        except _OneFailed:
            self._write_each(group)
        except BaseException as problem:
            # Nobody's write is there.
            for _, future in group:
                future.set_exception(problem)
        else:
            for _, future in group:
                future.set_result(None)

    def _write_together(self, connection: Connection, items: Sequence[T]) -> None:
        try:
            self._write_all(connection, items)
        except OperationalError:
            raise
        except Exception:
            if len(items) == 1:
                raise
            raise _OneFailed from None

    def _write_each(self, group: list[tuple[T, Future[None]]]) -> None:
        done: list[Future[None]] = []
        failed: list[tuple[Future[None], BaseException]] = []
        try:
            with self._database.write_connection() as connection:
                for item, future in group:
                    try:
                        with connection.begin_nested():
                            self._write_all(connection, [item])
                    except OperationalError:
                        # SQLite ends the whole transaction by itself when the disk is full or cannot be read, and a
                        # commit afterwards says nothing: what seemed done before is gone.
                        raise
                    except Exception as problem:
                        failed.append((future, problem))
                    else:
                        done.append(future)
        except BaseException as problem:
            # The transaction did not end well: nobody's write is there.
            for _, future in group:
                future.set_exception(problem)
            return
        for future in done:
            future.set_result(None)
        for future, reason in failed:
            future.set_exception(reason)


class _OneFailed(Exception):
    """One of several writes failed, so that none of them may be committed as they are."""
