"""A process switches to the version that is current, and never to one that is not what was built."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from litestar import Litestar
from sqlalchemy import select, update

from imagescreen.app import _lifespan
from imagescreen.database.tables import ReferencePictureRow, ReferenceVectorRow
from imagescreen.errors import IndexUnavailable
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.matching import IndexSnapshot
from imagescreen.references import follower
from imagescreen.references.follower import Follower
from imagescreen.runtime import freeze_what_stays, thaw
from tests.conftest import ROOT, settings_of
from tests.model_variant import install_variant
from tests.references.material import (
    activate,
    add,
    another_process_is_loading,
    damage,
    eventually,
    matching,
    served_version,
)


def test_a_version_that_another_process_activates_is_switched_to(bench: Workbench, other_process: Workbench) -> None:
    added = add(bench, 1)
    built = reindex(other_process, built_by="test")
    assert matching(bench) == {added}
    assert bench.follower.serving.current().snapshot.version == built.manifest.version


def test_a_damaged_version_is_refused_and_the_old_one_keeps_serving(bench: Workbench, other_process: Workbench) -> None:
    added = add(bench, 1)
    good = reindex(bench, built_by="test").manifest.version
    bad = reindex(other_process, built_by="test").manifest.version
    damage(bench, bad)
    late = add(other_process, 2)
    assert matching(bench) == {added, late}
    assert bench.follower.serving.current().snapshot.version == good
    assert bad in (bench.follower.serving.problem or "")
    better = reindex(other_process, built_by="test").manifest.version
    assert matching(bench) == {added, late}
    assert bench.follower.serving.current().snapshot.version == better
    assert bench.follower.serving.problem is None


def test_a_version_that_cannot_be_loaded_for_any_reason_is_refused_and_changes_go_on(
    bench: Workbench, other_process: Workbench
) -> None:
    first = add(bench, 1)
    good = reindex(bench, built_by="test").manifest.version
    bad = reindex(other_process, built_by="test").manifest.version
    folder = bench.loader.versions_dir / bad
    # Neither a file nor a folder of ours: whatever reading it raises is not an error that we foresaw.
    folder.rename(folder.with_suffix(".away"))
    folder.write_bytes(b"")
    second = add(bench, 2)
    assert matching(bench) == {first, second}
    assert bench.follower.serving.current().snapshot.version == good
    assert bad in (bench.follower.serving.problem or "")


def test_a_process_that_starts_with_a_damaged_version_says_so_and_screens_nothing(
    bench: Workbench, tmp_path: Path
) -> None:
    add(bench, 1)
    version = reindex(bench, built_by="test").manifest.version
    (bench.loader.versions_dir / version / "manifest.json").write_text("{}")
    with open_workbench(settings_of(tmp_path)) as restarted:
        assert version in (restarted.follower.serving.problem or "")
        with pytest.raises(Exception, match="was refused"):
            restarted.follower.serving.require_index()


def test_a_process_that_starts_with_a_damaged_version_serves_the_one_before_with_the_changes_since(
    bench: Workbench, tmp_path: Path
) -> None:
    first, second = add(bench, 1), add(bench, 2)
    older = reindex(bench, built_by="test").manifest.version
    third = add(bench, 3)
    current = reindex(bench, built_by="test").manifest.version
    bench.catalogue.change(first, {"state": "retired"})
    damage(bench, current)
    with open_workbench(settings_of(tmp_path)) as restarted:
        assert matching(restarted) == {second, third}
        assert served_version(restarted) == older
        problem = restarted.follower.serving.problem or ""
        assert current in problem
        assert older in problem
        late = add(bench, 4)
        assert matching(restarted) == {second, third, late}


def test_a_version_of_another_model_is_no_fallback_while_pictures_lack_its_vectors(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, weights_dir=install_variant(ROOT / "weights", tmp_path / "weights"))
    with open_workbench(settings) as bench:
        first = add(bench, 1)
        older = reindex(bench, built_by="test").manifest.version
        current = reindex(bench, model="variant", built_by="test").manifest.version
        damage(bench, current)
        with open_workbench(settings) as restarted:
            assert (served_version(restarted), matching(restarted)) == (older, {first})
        # Only `variant` has a vector of this one: what was made for the other would miss it and say nothing.
        add(bench, 2)
        with open_workbench(settings) as restarted:
            assert served_version(restarted) is None
            assert current in (restarted.follower.serving.problem or "")


def test_a_refused_version_is_tried_again_when_it_is_activated_again(
    bench: Workbench, other_process: Workbench
) -> None:
    add(bench, 1)
    good = reindex(bench, built_by="test").manifest.version
    repaired = reindex(other_process, built_by="test").manifest.version
    damage(bench, repaired)
    bench.follower.poll()
    damage(bench, repaired)
    bench.follower.poll()
    assert served_version(bench) == good
    activate(other_process, repaired)
    bench.follower.poll()
    assert served_version(bench) == repaired
    assert bench.follower.serving.problem is None


def test_going_back_to_an_older_version_serves_the_changes_since_it(bench: Workbench, other_process: Workbench) -> None:
    first = add(bench, 1)
    older = reindex(bench, built_by="test").manifest.version
    second = add(bench, 2)
    reindex(bench, built_by="test")
    bench.catalogue.change(first, {"state": "suspended"})
    activate(other_process, older)
    assert matching(bench) == {second}
    assert served_version(bench) == older


def test_a_version_that_is_written_to_while_it_serves_gives_way_to_the_one_before(bench: Workbench) -> None:
    first = add(bench, 1)
    older = reindex(bench, built_by="test").manifest.version
    second = add(bench, 2)
    damaged = reindex(bench, built_by="test").manifest.version
    damage(bench, damaged)
    assert matching(bench) == {first, second}
    assert served_version(bench) == older
    problem = bench.follower.serving.problem or ""
    assert f"the files of index version {damaged} were changed while it was served" in problem
    assert older in problem
    better = reindex(bench, built_by="test").manifest.version
    assert matching(bench) == {first, second}
    assert (served_version(bench), bench.follower.serving.problem) == (better, None)


def test_nothing_is_answered_from_files_that_were_written_to_when_there_is_no_other_version(bench: Workbench) -> None:
    added = add(bench, 1)
    version = reindex(bench, built_by="test").manifest.version
    damage(bench, version)
    bench.follower.poll()
    with pytest.raises(IndexUnavailable, match="were changed while it was served"):
        bench.follower.serving.require_index()
    # Repaired and activated again, it serves.
    damage(bench, version)
    activate(bench, version)
    assert matching(bench) == {added}
    assert (served_version(bench), bench.follower.serving.problem) == (version, None)


def test_a_served_version_whose_folder_is_gone_serves_on_with_a_warning(bench: Workbench) -> None:
    added = add(bench, 1)
    version = reindex(bench, built_by="test").manifest.version
    folder = bench.loader.versions_dir / version
    away = folder.rename(folder.parent / ".away")
    assert matching(bench) == {added}
    bench.follower.serving.require_index()
    assert "are gone" in (bench.follower.serving.problem or "")
    away.rename(folder)
    bench.follower.poll()
    assert bench.follower.serving.problem is None


def test_a_version_that_is_damaged_is_refused_by_a_running_server_too(
    bench: Workbench, other_process: Workbench
) -> None:
    add(bench, 1)
    good = reindex(bench, built_by="test").manifest.version
    bench.follower.start()
    with another_process_is_loading(bench):
        bad = reindex(other_process, built_by="test").manifest.version
        damage(bench, bad)
    eventually(lambda: bad in (bench.follower.serving.problem or ""))
    assert served_version(bench) == good
    better = reindex(other_process, built_by="test").manifest.version
    eventually(lambda: served_version(bench) == better)
    assert bench.follower.serving.problem is None


def test_a_version_whose_changes_cannot_be_applied_is_refused_and_the_old_one_gets_its_changes(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, weights_dir=install_variant(ROOT / "weights", tmp_path / "weights"))
    with open_workbench(settings) as server, open_workbench(settings) as other:
        first = add(other, 1)
        old = reindex(other, built_by="test").manifest.version
        server.follower.poll()
        server.follower.start()
        with another_process_is_loading(server):
            new = reindex(other, model="variant", built_by="test").manifest.version
            broken = add(other, 2)
            with other.database.write() as session:
                of_broken = select(ReferencePictureRow.id).where(ReferencePictureRow.reference_id == broken)
                session.execute(
                    update(ReferenceVectorRow)
                    .where(ReferenceVectorRow.reference_picture_id.in_(of_broken))
                    .values(vector=b"half")
                )
        eventually(lambda: new in (server.follower.serving.problem or ""))
        assert (served_version(server), matching(server)) == (old, {first})
        server.catalogue.change(first, {"state": "suspended"})
        assert matching(server) == set()


def test_the_version_activated_last_is_served_when_several_are_activated_while_one_is_loaded(
    bench: Workbench, other_process: Workbench
) -> None:
    added = add(bench, 1)
    reindex(bench, built_by="test")
    bench.follower.start()
    with another_process_is_loading(bench):
        overtaken = reindex(other_process, built_by="test").manifest.version
        eventually(lambda: bench.follower.state().loading == overtaken)
        last = reindex(other_process, built_by="test").manifest.version
        eventually(lambda: bench.follower.state().loading == last)
    eventually(lambda: served_version(bench) == last)
    assert matching(bench) == {added}


def test_a_process_that_is_stuck_while_it_loads_does_not_stop_the_others_for_ever(
    bench: Workbench, other_process: Workbench
) -> None:
    add(bench, 1)
    follower = Follower(bench.database, bench.loader, poll_s=0.1, turn_wait_s=0.5)
    follower.start()
    with another_process_is_loading(bench):
        new = reindex(other_process, built_by="test").manifest.version
        eventually(lambda: follower.serving.current().snapshot.version == new)
    follower.close()


def test_what_a_replaced_version_held_is_let_go(bench: Workbench) -> None:
    add(bench, 1)
    old = reindex(bench, built_by="test").manifest.version
    bench.follower.start()
    new = reindex(bench, built_by="test").manifest.version
    eventually(lambda: served_version(bench) == new)

    def held() -> bool:
        gc.collect()
        return any(type(each) is IndexSnapshot and each.version == old for each in gc.get_objects())

    eventually(lambda: not held())


@pytest.fixture
def frozen() -> Iterator[None]:
    """As in a server, once it serves; tests ask for it with their workbench open."""
    yield
    thaw()


@pytest.mark.usefixtures("frozen")
def test_what_a_replaced_version_held_is_let_go_in_a_server_without_a_search_for_garbage(bench: Workbench) -> None:
    add(bench, 1)
    old = reindex(bench, built_by="test").manifest.version
    bench.follower.start()
    eventually(lambda: served_version(bench) == old)
    freeze_what_stays()
    gc.disable()
    try:
        new = reindex(bench, built_by="test").manifest.version
        eventually(lambda: served_version(bench) == new)
        thaw()
        held = [each for each in gc.get_objects() if type(each) is IndexSnapshot and each.version == old]
    finally:
        gc.enable()
    assert held == []


def test_a_replaced_model_and_its_version_are_let_go_in_a_server_without_a_search_for_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RETIRED_BATCHER_S", 0.0)
    settings = settings_of(tmp_path, weights_dir=install_variant(ROOT / "weights", tmp_path / "weights"))

    def switched(bench: Workbench) -> None:
        assert gc.get_freeze_count() > 0
        served = bench.follower.serving.current()
        old = served.snapshot.version
        encoder = weakref.ref(served.batcher.encoder)
        weights = weakref.ref(next(served.batcher.encoder._model.towers.parameters()))  # type: ignore[attr-defined]
        served.batcher.embed([served.batcher.encoder.test_input()])
        del served
        gc.disable()
        try:
            reindex(bench, model="variant", built_by="test")
            eventually(lambda: encoder() is None)
            assert weights() is None
            thaw()
            assert not any(type(each) is IndexSnapshot and each.version == old for each in gc.get_objects())
        finally:
            gc.enable()
        assert bench.follower.serving.current().batcher.encoder.name == "variant"

    async def serve(bench: Workbench) -> None:
        async with _lifespan(settings, bench)(Litestar([])):
            await to_thread.run_sync(switched, bench)

    with open_workbench(settings) as bench:
        add(bench, 1)
        reindex(bench, built_by="test")
        bench.follower.poll()
        anyio.run(serve, bench)
