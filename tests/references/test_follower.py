"""What is committed anywhere takes effect in this process, through the change feed and by the clock."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from imagescreen.database.matchable import any_known_item_matches, references_turned_by_time
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.references.follower import Follower
from tests.conftest import settings_of
from tests.references.material import (
    add,
    another_process_is_loading,
    eventually,
    matching,
    references_of,
    served_version,
)


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


def test_a_clock_that_was_ahead_for_a_moment_leaves_nothing_behind(bench: Workbench) -> None:
    start = datetime.now(UTC)
    year = timedelta(days=365)
    ending = add(bench, 1, valid_until=(start + year).isoformat())
    later = add(bench, 2, valid_from=(start + year).isoformat())
    moments = iter([start, start, start + 2 * year, start, start])
    follower = Follower(bench.database, bench.loader, poll_s=1, clock=lambda: next(moments))
    assert references_of(follower) == {ending}
    assert references_of(follower) == {later}
    assert references_of(follower) == {ending}
    assert references_of(follower) == {ending}
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


def test_changes_take_effect_while_a_version_is_being_loaded(bench: Workbench, other_process: Workbench) -> None:
    first = add(bench, 1)
    old = reindex(bench, built_by="test").manifest.version
    bench.follower.start()
    with another_process_is_loading(bench):
        new = reindex(other_process, built_by="test").manifest.version
        eventually(lambda: bench.follower.state().loading == new)
        second = add(other_process, 2)
        assert matching(bench) == {first, second}
        other_process.catalogue.change(first, {"state": "suspended"})
        assert matching(bench) == {second}
        assert served_version(bench) == old
    eventually(lambda: served_version(bench) == new)
    assert matching(bench) == {second}
    assert bench.follower.state().loading is None
    assert (bench.follower.state().switch_s or 0) > 0


def test_a_look_does_not_go_through_every_reference(bench: Workbench) -> None:
    statements: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(bench.database.engine, "before_cursor_execute", note)
    moment = datetime.now(UTC)
    with bench.database.read() as session:
        references_turned_by_time(session, after=moment, until=moment)
        any_known_item_matches(session, moment=moment, kind="known_item")
        bench.follower.poll()
    event.remove(bench.database.engine, "before_cursor_execute", note)
    with bench.database.engine.connect() as connection:
        for statement, parameters in [each for each in statements if each[0].startswith("SELECT")]:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert not [row for row in plan if row[3].startswith("SCAN reference")], statement
