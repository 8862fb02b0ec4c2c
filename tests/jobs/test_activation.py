"""Going back to an earlier version, taking one from elsewhere, and deleting old ones."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select
from uuid_utils.compat import uuid7

from imagescreen.database.feed import now, read_changes
from imagescreen.database.index_versions import current_version, versions
from imagescreen.database.processes import ProcessReport, report_process
from imagescreen.database.tables import IndexActivationRow, IndexVersionRow, ReferencePictureRow, ReferenceVectorRow
from imagescreen.errors import BrokenIndex
from imagescreen.jobs.activation import activate
from imagescreen.jobs.prune import prune
from imagescreen.jobs.reindex import rebuild, reindex
from imagescreen.jobs.workbench import Store, Workbench
from imagescreen.matching import list_versions
from imagescreen.screening.policy import read_policy
from imagescreen.settings import BUILT_IN_MODEL
from tests.jobs.synthetic import synthetic_store
from tests.material import new_reference

POLICY = read_policy(None)


def build(store: Store) -> str:
    return rebuild(store, POLICY, built_by="test").manifest.version


def on_disk(store: Store) -> list[str]:
    return [entry.version for entry in list_versions(store.versions_dir)]


def current(store: Store) -> str | None:
    with store.database.read() as session:
        row = current_version(session)
    return None if row is None else row.version


def test_going_back_serves_the_earlier_version_with_everything_that_changed_since(bench: Workbench) -> None:
    first = bench.enrolment.add_one(new_reference(1)).reference_id
    earlier = reindex(bench, built_by="test").manifest.version
    second = bench.enrolment.add_one(new_reference(2)).reference_id
    bench.catalogue.change(first, {"state": "suspended"})
    later = reindex(bench, built_by="test").manifest.version
    done = activate(bench, earlier, actor="an operator")
    assert (done.was_current, done.changed_references) == (False, 2)
    bench.follower.poll()
    snapshot = bench.follower.serving.require_index().snapshot
    assert (snapshot.version, snapshot.reference_count) == (earlier, 1)
    with bench.database.read() as session:
        last = read_changes(session, after=0)[-1]
        (row,) = session.scalars(select(ReferencePictureRow.id).where(ReferencePictureRow.reference_id == second))
    assert (last.actor, last.details) == ("an operator", {"version": earlier})
    assert row is not None and later in on_disk(bench)
    assert activate(bench, earlier, actor="an operator").was_current


def test_a_version_that_was_damaged_since_is_not_activated(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=80) as store:
        old, new = build(store), build(store)
        largest = max((store.versions_dir / old).iterdir(), key=lambda path: path.stat().st_size)
        largest.chmod(0o644)
        content = bytearray(largest.read_bytes())
        content[100] ^= 1
        largest.write_bytes(content)
        with pytest.raises(BrokenIndex, match="changed after the build"):
            activate(store, old, actor="test")
        with pytest.raises(BrokenIndex, match="not there"):
            activate(store, "20260101T000000Z-00000000", actor="test")
        assert current(store) == new


def test_a_current_version_that_servers_refused_is_served_once_it_was_repaired_and_activated_again(
    bench: Workbench,
) -> None:
    bench.enrolment.add_one(new_reference(1))
    good = reindex(bench, built_by="test").manifest.version
    bad = rebuild(bench, POLICY, built_by="test").manifest.version
    folder, away = bench.versions_dir / bad, bench.versions_dir / ".away"
    folder.rename(away)
    bench.follower.poll()
    away.rename(folder)
    bench.follower.poll()
    assert bench.follower.serving.current().snapshot.version == good
    assert activate(bench, bad, actor="an operator").was_current
    bench.follower.poll()
    assert bench.follower.serving.current().snapshot.version == bad
    assert bench.follower.serving.problem is None


def test_a_folder_copied_from_elsewhere_is_recorded_when_it_is_of_this_catalogue(tmp_path: Path) -> None:
    with synthetic_store(tmp_path / "here", pictures=200) as store:
        version = build(store)
        # As if only the database had been put back from a copy.
        with store.database.write() as session:
            session.execute(delete(IndexActivationRow))
            session.execute(delete(IndexVersionRow))
        assert not activate(store, version, actor="test").was_current
        with store.database.read() as session:
            (row,) = versions(session, limit=9, on_disk=on_disk(store))
        assert (row.version, row.current, row.on_disk) == (version, True, True)
    with synthetic_store(tmp_path / "other", pictures=200, seed=2) as other:
        shutil.copytree(tmp_path / "here" / "index", tmp_path / "other" / "index")
        with pytest.raises(BrokenIndex, match="another catalogue"):
            activate(other, version, actor="test")
        assert current(other) is None
    with synthetic_store(tmp_path / "smaller", pictures=40) as smaller:
        shutil.copytree(tmp_path / "here" / "index", tmp_path / "smaller" / "index")
        with pytest.raises(BrokenIndex, match="knows 50 changes, this database has 10"):
            activate(smaller, version, actor="test")


def test_a_version_whose_model_not_every_picture_has_a_vector_of_is_not_activated(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=40) as store:
        old, new = build(store), build(store)
        with store.database.write() as session:
            session.execute(delete(ReferenceVectorRow).where(ReferenceVectorRow.reference_picture_id == 7))
        with pytest.raises(BrokenIndex, match=f"1 reference pictures have no vector.*--model {BUILT_IN_MODEL}"):
            activate(store, old, actor="test")
        assert current(store) == new


def test_pruning_keeps_the_newest_the_current_and_what_servers_serve(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=20) as store:
        built = [build(store) for _ in range(6)]
        activate(store, built[0], actor="test")
        with store.database.write() as session:
            report_process(session, process_serving(built[1], loading=built[2]))
        foreign = store.versions_dir / "20260101T000000Z-00000000"
        foreign.mkdir()
        pruned = prune(store, keep=1)
        assert [gone.version for gone in pruned] == [built[4], built[3]]
        assert all(gone.size_bytes > 20 * 1024 for gone in pruned)
        assert on_disk(store) == [built[5], built[2], built[1], built[0], foreign.name]
        assert prune(store, keep=1) == []
        # Old screenings name it, so the database still knows it.
        with store.database.read() as session:
            known = {row.version: row.on_disk for row in versions(session, limit=9, on_disk=on_disk(store))}
        assert (known[built[3]], known[built[5]]) == (False, True)


def process_serving(version: str, *, loading: str | None) -> ProcessReport:
    moment = now()
    return ProcessReport(
        id=uuid7(),
        host="here",
        pid=1,
        started_at=moment - timedelta(hours=1),
        seen_at=moment,
        version=version,
        model="a-model",
        fingerprint="",
        sequence=1,
        references=1,
        pictures=1,
        changes_since_version=0,
        feed_behind_s=0,
        loading=loading,
        problem=None,
    )
