import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from imagescreen.database.migrate import migrate
from imagescreen.database.session import Database
from imagescreen.database.tables import Base
from imagescreen.errors import BrokenInstallation


def database_at(path: Path) -> Database:
    return Database(f"sqlite:///{path}")


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    database = database_at(tmp_path / "a.sqlite3")
    migrate(database)
    with database.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    # SQLite tells BINARY(16) back as a number; that is the only difference it may tell.
    differences = [one for group in found for one in (group if isinstance(group, list) else [group])]
    assert [one for one in differences if one[0] != "modify_type" or "GUID" not in repr(one[-1])] == []


def test_migrating_twice_and_from_several_threads_at_once_changes_nothing(tmp_path: Path) -> None:
    problems: list[Exception] = []

    def start() -> None:
        try:
            database = database_at(tmp_path / "a.sqlite3")
            migrate(database)
            database.close()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_database_of_a_newer_release_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    migrate(database_at(path))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BrokenInstallation, match="another release"):
        migrate(database_at(path))


def test_calibration_pictures_of_an_earlier_release_become_packages_of_one(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    database = database_at(path)
    migrate(database, revision="0002")
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO calibration_picture (sha256, size_bytes, source, created_at) VALUES (?, 1, ?, ?)",
            [(str(n) * 64, "spring", "2026-01-01 00:00:00") for n in (7, 8)],
        )
    migrate(database)
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT p.content, q.sha256, p.source, q.stored FROM calibration_package p "
            "JOIN calibration_package_picture m ON m.package_id = p.id "
            "JOIN calibration_picture q ON q.id = m.picture_id ORDER BY p.content"
        ).fetchall()
    assert rows == [(str(n) * 64, str(n) * 64, "spring", 1) for n in (7, 8)]


def test_ids_of_reference_pictures_are_never_used_again(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    migrate(database_at(path))
    with sqlite3.connect(path) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'reference_picture'").fetchone()
    assert "AUTOINCREMENT" in sql


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(BrokenInstallation):
        Database(url)
