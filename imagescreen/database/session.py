"""The engine, and the two ways to use it: read, and write.

Everything here is synchronous; the HTTP side calls it in worker threads. So the server, the scripts and the jobs share
one set of queries.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Select, create_engine, event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler

from imagescreen.errors import BrokenInstallation, Unavailable

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another process's transaction; they last milliseconds, so this only ends a hang."""

_LOCKED_PAUSE_S = 0.02
_WRITES = "imagescreen_writes"
_NO_ROOM = ("database or disk is full", "disk I/O error", "No space left")


class Database:
    """One database, SQLite or PostgreSQL, for one process. Safe to use from many threads."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise BrokenInstallation(
                "the setting `database_url` is no SQLAlchemy URL, e.g. postgresql://user@host/name"
            ) from None
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise BrokenInstallation(f"database {parsed.get_backend_name()!r} is not supported: sqlite, postgresql")
        # Hidden: an error's parameters would bring sellers' names into the log.
        options: dict[str, Any] = {
            "hide_parameters": True,
            "pool_size": 16,
            "max_overflow": 64,
            "pool_timeout": BUSY_TIMEOUT_S,
        }
        if self.is_sqlite:
            if parsed.database in (None, "", ":memory:"):
                raise BrokenInstallation("the SQLite database must be a file: other processes follow its changes")
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
            options["connect_args"] = {"timeout": BUSY_TIMEOUT_S}
        elif parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+pg8000")
        if not self.is_sqlite:
            options["isolation_level"] = "REPEATABLE READ"
        try:
            self.engine: Engine = create_engine(parsed, **options)
        except NoSuchModuleError:
            raise BrokenInstallation(f"database driver {parsed.drivername!r} is not known") from None
        except ModuleNotFoundError:
            raise BrokenInstallation("PostgreSQL needs the extra `postgresql` (pip install '.[postgresql]')") from None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _configure_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            event.listen(self.engine, "begin", _begin_postgresql)
        driver = self.engine.dialect.loaded_dbapi
        self._driver_error: type[Exception] = driver.Error
        self._writing = self.engine.execution_options(**{_WRITES: True})
        # One writer at a time in this process: waiting for a lock of ours is fair and cheap, SQLite's own busy
        # handler sleeps and may starve a thread.
        self._write_lock = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the database from its first query on; nothing is written."""
        with self._translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def read_connection(self) -> Iterator[Connection]:
        """The same without an ORM session, for statements that are run for each request."""
        with self._translated(), self.engine.connect() as connection:
            yield connection

    def prepared(self, statement: Select[Any]) -> SQLCompiler:
        """The statement for `look_up`."""
        compiled = statement.compile(dialect=self.engine.dialect)
        assert isinstance(compiled, SQLCompiler)
        return compiled

    def look_up(self, statement: SQLCompiler, values: Mapping[str, str | int]) -> Sequence[Any] | None:
        """The first row of a prepared statement, None without one; for what every request asks.

        SQLAlchemy's own way takes several times as long, for a transaction and a result of its own. So `values` and
        columns are passed on as they are: only texts, numbers and bytes.
        """
        parameters = statement.construct_params(dict(values))
        with self._translated():
            try:
                connection = self.engine.raw_connection()
            except self._driver_error as error:
                raise DBAPIError(statement.string, None, error, hide_parameters=True) from error
            try:
                cursor = connection.cursor()
                cursor.execute(statement.string, [parameters[name] for name in statement.positiontup or ()])
                row: Sequence[Any] | None = cursor.fetchone()
                cursor.close()
            except self._driver_error as error:
                # It may be broken: the next one is opened anew.
                connection.invalidate(error)
                raise DBAPIError(statement.string, None, error, hide_parameters=True) from error
            finally:
                connection.close()
        return row

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed, and durable, when the block ends; rolled back when it raises."""
        with (
            self._translated(),
            self._write_lock,
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def write_connection(self) -> Iterator[Connection]:
        """The same without an ORM session, for migrations and groups of writes."""
        with self._translated(), self._write_lock, self._writing.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """A database that does not answer is a 503, with the driver's words in the log and not in the answer."""
        try:
            yield
        except DBAPIError as error:
            if any(words in str(error.orig) for words in _NO_ROOM):
                raise Unavailable("the database cannot be written: the disk is full or takes no more") from error
            if error.connection_invalidated or isinstance(error.orig, (OSError,)) or _is_operational(error):
                raise Unavailable("the database does not answer") from error
            if "not a database" in str(error.orig) or "malformed" in str(error.orig):
                raise BrokenInstallation("the database file is damaged, or is no SQLite database") from error
            raise
        except TimeoutError as error:
            raise Unavailable("the database does not answer") from error
        except SQLAlchemyError as error:
            if type(error).__name__ == "TimeoutError":
                raise Unavailable("too many database connections are in use") from error
            raise


def _is_operational(error: DBAPIError) -> bool:
    return type(error.orig).__name__ in ("OperationalError", "InterfaceError")


def _configure_sqlite(connection: Any, _record: object) -> None:
    # SQLAlchemy's "begin" event below opens every transaction itself; the driver must not.
    connection.isolation_level = None
    cursor = connection.cursor()
    _turn_to_wal(cursor)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _turn_to_wal(cursor: Any) -> None:
    """A new file is turned by the first to open it; others are told that it is locked, without the busy timeout."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_LOCKED_PAUSE_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later fails at once when another writer came between,
    # whatever the busy timeout says; so writers take the lock at the start.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    # A reader sees one state of the database, as on SQLite. A writer must see what was committed while it waited for
    # a lock, such as the feed's.
    if connection.get_execution_options().get(_WRITES, False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
