"""What every request asks goes to the driver directly, and fails in the same way as everything else."""

from pathlib import Path

import pytest
from sqlalchemy import bindparam, insert, select

from imagescreen.database.feed import now
from imagescreen.database.migrate import migrate
from imagescreen.database.session import Database
from imagescreen.database.tables import PolicyRow
from imagescreen.errors import Unavailable

_DOCUMENT = select(PolicyRow.document).where(PolicyRow.version == bindparam("version")).limit(1)


def test_a_row_is_found_as_soon_as_another_process_has_committed_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    ours, theirs = Database(url), Database(url)
    migrate(ours)
    prepared = ours.prepared(_DOCUMENT)
    assert ours.look_up(prepared, {"version": "a"}) is None
    with theirs.write_connection() as connection:
        rows = [{"version": name, "document": f"of {name}", "first_used_at": now()} for name in ("a", "b")]
        connection.execute(insert(PolicyRow), rows)
    for name in ("a", "b"):
        row = ours.look_up(prepared, {"version": name})
        assert row is not None
        assert list(row) == [f"of {name}"]
    assert ours.look_up(prepared, {"version": "' OR 1 --"}) is None
    ours.close()
    theirs.close()


def test_a_database_that_fails_is_unavailable_and_works_again_afterwards(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'db.sqlite3'}")
    prepared = database.prepared(_DOCUMENT)
    for _ in range(100):
        # More often than there are connections: none is lost.
        with pytest.raises(Unavailable, match="does not answer"):
            database.look_up(prepared, {"version": "a"})
    migrate(database)
    assert database.look_up(prepared, {"version": "a"}) is None
    database.close()


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'folder' / 'db.sqlite3'}")
    (tmp_path / "folder").rmdir()
    with pytest.raises(Unavailable, match="does not answer"):
        database.look_up(database.prepared(_DOCUMENT), {"version": "a"})
