"""What is committed anywhere takes effect in this process, through the change feed and by the clock."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.references.follower import Follower
from tests.conftest import settings_of
from tests.material import new_reference


@pytest.fixture
def other_process(bench: Workbench, tmp_path: Path) -> Iterator[Workbench]:
    """A second workbench on the same data, which only polls, as another process would."""
    with open_workbench(settings_of(tmp_path)) as other:
        yield other


def matching(bench: Workbench) -> set[UUID]:
    return references_of(bench.follower)


def references_of(follower: Follower) -> set[UUID]:
    follower.poll()
    snapshot = follower.serving.current().snapshot
    anything = np.zeros((1, snapshot.dimension), np.float32)
    anything[0, 0] = 1
    return {near.reference_id for near in snapshot.search(anything, count=1000)[0]}


def add(bench: Workbench, seed: int, **members: Any) -> UUID:
    return bench.enrolment.add_one(new_reference(seed, **members)).reference_id


def test_changes_of_another_process_take_effect_without_a_rebuild(bench: Workbench, other_process: Workbench) -> None:
    first, second = add(other_process, 1), add(other_process, 2)
    assert matching(bench) == {first, second}
    other_process.catalogue.change(first, {"state": "suspended"})
    assert matching(bench) == {second}
    other_process.catalogue.change(first, {"state": "active"})
    other_process.catalogue.change(second, {"state": "retired"})
    assert matching(bench) == {first}


def test_a_draft_matches_only_once_it_is_activated(bench: Workbench) -> None:
    draft = add(bench, 1, state="draft")
    assert matching(bench) == set()
    bench.catalogue.change(draft, {"state": "active"})
    assert matching(bench) == {draft}


def test_validity_and_suspension_begin_and_end_by_the_clock(bench: Workbench) -> None:
    start = datetime.now(UTC)
    hour = timedelta(hours=1)
    later = add(bench, 1, valid_from=(start + hour).isoformat())
    ending = add(bench, 2, valid_until=(start + hour).isoformat())
    pausing = add(bench, 3, state="suspended", suspended_until=(start + 2 * hour).isoformat())
    reindex(bench, built_by="test")
    moments = iter([start, start, start + hour, start + 2 * hour])
    follower = Follower(bench.database, bench.loader, poll_s=1, clock=lambda: next(moments))
    assert references_of(follower) == {ending}
    assert references_of(follower) == {later}
    assert references_of(follower) == {later, pausing}
    follower.close()


def test_a_built_version_and_the_changes_after_it_serve_the_same_after_a_restart(
    bench: Workbench, tmp_path: Path
) -> None:
    first, second = add(bench, 1), add(bench, 2)
    reindex(bench, built_by="test")
    third = add(bench, 3)
    bench.catalogue.change(first, {"state": "suspended"})
    assert matching(bench) == {second, third}
    with open_workbench(settings_of(tmp_path)) as restarted:
        assert matching(restarted) == {second, third}
        snapshot = restarted.follower.serving.current().snapshot
        assert snapshot.version is not None
        assert snapshot.sequence == bench.follower.state().sequence


def test_a_version_that_another_process_activates_is_switched_to(bench: Workbench, other_process: Workbench) -> None:
    added = add(bench, 1)
    built = reindex(other_process, built_by="test")
    assert matching(bench) == {added}
    assert bench.follower.serving.current().snapshot.version == built.manifest.version


def test_a_damaged_version_is_refused_and_the_old_one_keeps_serving(bench: Workbench, other_process: Workbench) -> None:
    added = add(bench, 1)
    good = reindex(bench, built_by="test").manifest.version
    bad = reindex(other_process, built_by="test").manifest.version
    index = bench.loader.versions_dir / bad / "index.faiss"
    content = bytearray(index.read_bytes())
    content[-1] ^= 1
    index.write_bytes(content)
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
