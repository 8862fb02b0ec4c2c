"""What a match tells of its reference is what is true after the changes that are served."""

from uuid import UUID

from sqlalchemy import Connection, event

from imagescreen.jobs.workbench import Workbench
from imagescreen.screening.matches import ReferenceLookup
from tests.material import new_reference


def test_facts_are_read_once_until_the_feed_moves(bench: Workbench) -> None:
    first, second = (bench.enrolment.add_one(new_reference(seed)).reference_id for seed in (1, 2))
    lookup = ReferenceLookup(bench.database)
    reads: list[str] = []

    def note(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            reads.append(statement)

    event.listen(bench.database.engine, "before_cursor_execute", note)

    def titles(*reference_ids: UUID, sequence: int) -> list[str]:
        facts = lookup.of(reference_ids, sequence=sequence)
        return [facts[reference_id].title for reference_id in reference_ids]

    sequence = bench.follower.state().sequence
    (old,) = titles(first, sequence=sequence)
    assert titles(first, first, sequence=sequence) == [old, old]
    assert len(reads) == 1
    other = titles(first, second, sequence=sequence)[1]
    assert len(reads) == 2
    bench.catalogue.change(first, {"title": "renamed"})
    del reads[:]
    assert titles(second, first, sequence=bench.follower.state().sequence) == [other, "renamed"]
    assert len(reads) == 1
