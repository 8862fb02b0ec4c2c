"""Several processes and threads on one SQLite file."""

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from imagescreen.database.feed import ChangeKind, append_change, last_sequence, read_changes
from imagescreen.database.migrate import migrate
from imagescreen.database.session import Database

WRITES = 40

WRITER = f"""
import sys
from imagescreen.database.feed import ChangeKind, append_change, last_sequence
from imagescreen.database.session import Database
database = Database(sys.argv[1])
for _ in range({WRITES}):
    with database.write() as session:
        last_sequence(session)  # reads first and writes then: a deferred transaction would fail here
        append_change(session, ChangeKind.REFERENCE_CHANGED)
"""


def test_writers_of_several_processes_all_succeed_and_the_feed_has_no_gap(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.sqlite3'}"
    database = Database(url)
    migrate(database)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, url], stderr=subprocess.PIPE) for _ in range(3)]
    seen: list[int] = []
    while any(writer.poll() is None for writer in writers):
        with database.read() as session:
            seen.extend(change.sequence for change in read_changes(session, after=seen[-1] if seen else 0))
    assert [writer.communicate()[1].decode() for writer in writers] == ["", "", ""]
    with database.read() as session:
        seen.extend(change.sequence for change in read_changes(session, after=seen[-1] if seen else 0))
        assert last_sequence(session) == 3 * WRITES
    # A follower that polls while others write sees every entry once, in order.
    assert seen == list(range(1, 3 * WRITES + 1))


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite3'}")
    migrate(database)
    try:
        with database.write() as session:
            append_change(session, ChangeKind.REFERENCE_ADDED)
            raise RuntimeError
    except RuntimeError:
        pass
    with database.read() as session:
        assert last_sequence(session) == 0


def test_readers_are_not_held_up_by_a_writer(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite3'}")
    migrate(database)
    read = threading.Event()

    def reader() -> None:
        with database.read() as session:
            last_sequence(session)
        read.set()

    with database.write() as session:
        append_change(session, ChangeKind.REFERENCE_ADDED)
        thread = threading.Thread(target=reader)
        thread.start()
        assert read.wait(20)
    thread.join()


def test_who_opens_a_new_file_while_another_turns_it_to_its_write_ahead_log_waits(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    modes: list[object] = []

    def open_too() -> None:
        database = Database(f"sqlite:///{path}")
        with database.read() as session:
            modes.append(session.execute(text("PRAGMA journal_mode")).scalar())
        database.close()

    thread = threading.Thread(target=open_too)
    with closing(sqlite3.connect(path, isolation_level=None)) as first:
        # What SQLite holds while it turns a file; it answers others "locked" at once, whatever their busy timeout.
        first.execute("BEGIN IMMEDIATE")
        thread.start()
        thread.join(1)
        assert thread.is_alive()
        first.execute("COMMIT")
        thread.join()
    assert modes == ["wal"]


def test_commits_are_durable_and_foreign_keys_hold(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite3'}")
    migrate(database)
    with database.read() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
