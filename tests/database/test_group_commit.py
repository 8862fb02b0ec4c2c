"""Writers share transactions: all that is acknowledged is there, and one that fails disturbs no other."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event, func, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from imagescreen.database.feed import now
from imagescreen.database.group_commit import MAX_GROUP, GroupCommit
from imagescreen.database.migrate import migrate
from imagescreen.database.session import Database
from imagescreen.database.tables import PolicyRow
from imagescreen.errors import Unavailable


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'db.sqlite3'}")
    migrate(database)
    yield database
    database.close()


def insert_policies(connection: Connection, policies: Sequence[tuple[str, str]]) -> None:
    rows = [{"version": name, "document": document, "first_used_at": now()} for name, document in policies]
    connection.execute(insert(PolicyRow), rows)


def write_policy(writer: GroupCommit[tuple[str, str]], name: str, document: str = "") -> str:
    writer.write((name, document))
    return name


def stored(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(PolicyRow)) or 0


def test_what_is_acknowledged_is_committed_and_a_failing_write_disturbs_no_other(database: Database) -> None:
    writer = GroupCommit(database, insert_policies)
    names = [f"policy {number % 150}" for number in range(200)]
    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(write_policy, writer, name) for name in names]
    failed = [future for future in futures if future.exception() is not None]
    assert len(failed) == 50
    assert all(isinstance(future.exception(), IntegrityError) for future in failed)
    assert stored(database) == 150
    writer.close()


def test_more_than_one_group_can_take_is_written_in_several(database: Database) -> None:
    writer = GroupCommit(database, insert_policies)
    with ThreadPoolExecutor(2 * MAX_GROUP) as pool:
        with database.write():
            # The write lock is held, so all of them queue up behind it.
            futures = [pool.submit(write_policy, writer, f"policy {number}") for number in range(2 * MAX_GROUP)]
        done = {future.result(60) for future in futures}
    assert done == {f"policy {number}" for number in range(2 * MAX_GROUP)}
    writer.close()


def test_nothing_is_acknowledged_that_a_full_database_took_back(database: Database) -> None:
    """SQLite rolls the whole transaction back when one statement finds no room."""
    room = 8

    def leave_little_room(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + room}")

    event.listen(database.engine, "begin", leave_little_room)
    writer = GroupCommit(database, insert_policies)
    with ThreadPoolExecutor(MAX_GROUP) as pool, database.write():
        futures = [
            pool.submit(write_policy, writer, f"policy {number}", "x" * (200_000 if number == 30 else 1))
            for number in range(MAX_GROUP)
        ]
    acknowledged = {future.result() for future in futures if future.exception() is None}
    assert len(acknowledged) < MAX_GROUP
    with database.read() as session:
        assert acknowledged == set(session.scalars(select(PolicyRow.version)))
    writer.close()


def test_a_closed_writer_refuses_and_loses_nothing(database: Database) -> None:
    writer = GroupCommit(database, insert_policies)
    write_policy(writer, "one")
    writer.close()
    with pytest.raises(Unavailable):
        write_policy(writer, "two")
    assert stored(database) == 1
