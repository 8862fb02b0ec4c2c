"""What killed writers left behind goes with the next build."""

import os
import time
from pathlib import Path

from imagescreen.jobs.purge import purge
from imagescreen.jobs.reindex import rebuild
from imagescreen.jobs.workbench import Store
from imagescreen.screening.policy import read_policy
from tests.jobs.synthetic import synthetic_store

HOUR_S = 3600.0


def put(store: Store, number: int, *, hours_ago: float) -> str:
    """A stored file that nothing names, put as if so long ago."""
    sha256 = f"{number:064x}"
    store.files.put(sha256, b"left by a writer that was killed")
    age(store, sha256[:2], sha256, hours_ago)
    return sha256


def age(store: Store, folder: str, name: str, hours_ago: float) -> None:
    moment = time.time() - hours_ago * HOUR_S
    path = store.settings.data_dir / "pictures" / folder / name
    os.utime(path, (moment, moment))


def stored(store: Store) -> set[str]:
    return {path.name for path in (store.settings.data_dir / "pictures").glob("??/*")}


def test_a_build_removes_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=30, ordinary=3) as store:
        named = {put(store, number, hours_ago=5) for number in (1, 30, 33)}
        put(store, 1_000_000, hours_ago=5)
        young = put(store, 1_000_001, hours_ago=0.5)
        (store.settings.data_dir / "pictures" / "00" / ".writing-x").write_bytes(b"half")
        age(store, "00", ".writing-x", 5)
        rebuild(store, read_policy(None), built_by="test")
        assert stored(store) == named | {young}


def test_later_builds_look_only_at_what_came_since_and_a_purge_at_everything(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=30) as store:
        rebuild(store, read_policy(None), built_by="test")
        put(store, 1, hours_ago=0)
        rebuild(store, read_policy(None), built_by="test")
        # Older than what the last build looked at: somebody moved it here, or its name was taken away.
        old = put(store, 1_000_000, hours_ago=50)
        rebuild(store, read_policy(None), built_by="test")
        assert old in stored(store)
        assert purge(store, retention_days=30).files == 1
        assert old not in stored(store)
