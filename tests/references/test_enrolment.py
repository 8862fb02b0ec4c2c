from io import BytesIO

import pytest
from PIL import Image

from imagescreen.database.feed import read_changes
from imagescreen.errors import Conflict, DuplicatePicture, InvalidContent, NotFound
from imagescreen.jobs.workbench import Workbench
from imagescreen.references.catalogue import ReferenceFilter
from imagescreen.references.enrolment import Enrolled, NewPicture, NewReference
from imagescreen.references.facts import ReferenceState
from tests.material import blank, facts, new_reference, product


def recoded(data: bytes) -> bytes:
    """The same picture in other bytes."""
    file = BytesIO()
    Image.open(BytesIO(data)).save(file, "JPEG", quality=70)
    return file.getvalue()


def matching_titles(bench: Workbench) -> set[str]:
    return {row.title for row in bench.catalogue.list(ReferenceFilter(), limit=100) if row.matches_now}


def test_an_added_reference_is_stored_whole_and_searched_at_once(bench: Workbench) -> None:
    added = bench.enrolment.add_one(new_reference(1, 2, title="Acme tote"))
    stored = bench.catalogue.get(added.reference_id)
    assert stored.title == "Acme tote"
    assert [picture.width for picture in stored.pictures] == [240, 240]
    content, picture_format = bench.catalogue.picture_content(
        added.reference_id, stored.pictures[0].reference_picture_id
    )
    assert (content, picture_format) == (product(1), "jpeg")
    snapshot = bench.follower.serving.current().snapshot
    assert (snapshot.picture_count, snapshot.reference_count) == (2, 1)


def test_bytes_of_another_reference_are_refused_by_its_name(bench: Workbench) -> None:
    first = bench.enrolment.add_one(new_reference(1, title="Acme tote"))
    with pytest.raises(DuplicatePicture, match="Acme tote") as caught:
        bench.enrolment.add_one(new_reference(2, 1, title="other"))
    assert caught.value.reference_id == str(first.reference_id)
    assert matching_titles(bench) == {"Acme tote"}


def test_bytes_that_a_reference_has_already_change_nothing(bench: Workbench) -> None:
    added = bench.enrolment.add_one(new_reference(1))
    before = bench.catalogue.get(added.reference_id)
    bench.enrolment.add_pictures(added.reference_id, [NewPicture("again.jpg", product(1))], actor=None)
    assert bench.catalogue.get(added.reference_id) == before


def test_a_near_duplicate_is_added_with_a_warning_that_names_the_other(bench: Workbench) -> None:
    first = bench.enrolment.add_one(new_reference(1, title="Acme tote"))
    copy = NewReference(facts("copy"), [NewPicture("copy.jpg", recoded(product(1)))])
    added = bench.enrolment.add_one(copy)
    (warning,) = added.near_duplicates
    assert (warning.reference_id, warning.title, warning.picture) == (first.reference_id, "Acme tote", "copy.jpg")
    assert warning.similarity >= 0.95


def test_near_duplicates_within_one_batch_are_warned_of_too(bench: Workbench) -> None:
    copy = NewReference(facts("copy"), [NewPicture("copy.jpg", recoded(product(1)))])
    first, second = bench.enrolment.add([new_reference(1, title="Acme tote"), copy])
    assert isinstance(first, Enrolled) and isinstance(second, Enrolled)
    assert [warning.title for warning in second.near_duplicates] == ["Acme tote"]


def test_every_picture_that_cannot_be_used_is_named_and_nothing_is_stored(bench: Workbench) -> None:
    broken = NewReference(
        facts(),
        [
            NewPicture("good.jpg", product(1)),
            NewPicture("cut.jpg", product(2)[:2000]),
            NewPicture("note.txt", b"hello"),
            NewPicture("white.png", blank()),
        ],
    )
    with pytest.raises(InvalidContent) as caught:
        bench.enrolment.add_one(broken)
    assert [error.split(":")[0] for error in caught.value.errors] == ["cut.jpg", "note.txt", "white.png"]
    assert bench.catalogue.list(ReferenceFilter(), limit=10) == []


def test_one_refused_reference_does_not_hold_up_its_batch(bench: Workbench) -> None:
    results = bench.enrolment.add([new_reference(1), NewReference(facts(), []), new_reference(2), new_reference(1)])
    assert [type(result) for result in results] == [Enrolled, InvalidContent, Enrolled, DuplicatePicture]
    assert bench.follower.serving.current().snapshot.reference_count == 2


def test_a_reference_has_only_so_many_pictures(bench: Workbench) -> None:
    added = bench.enrolment.add_one(new_reference(*range(16)))
    with pytest.raises(InvalidContent, match="at most 16"):
        bench.enrolment.add_pictures(added.reference_id, [NewPicture("more.jpg", product(20))], actor=None)


def test_a_removed_picture_stops_matching_and_the_last_one_stays(bench: Workbench) -> None:
    added = bench.enrolment.add_one(new_reference(1, 2))
    first, second = bench.catalogue.get(added.reference_id).pictures
    bench.catalogue.remove_picture(added.reference_id, first.reference_picture_id)
    assert bench.follower.serving.current().snapshot.picture_count == 1
    with pytest.raises(Conflict, match="last one"):
        bench.catalogue.remove_picture(added.reference_id, second.reference_picture_id)
    with pytest.raises(NotFound):
        bench.catalogue.remove_picture(added.reference_id, first.reference_picture_id)
    # The bytes are free for another reference now, under a new id.
    other = bench.enrolment.add_one(new_reference(1, title="other"))
    (picture,) = bench.catalogue.get(other.reference_id).pictures
    assert picture.reference_picture_id > second.reference_picture_id


def test_a_change_keeps_the_rest_and_is_in_the_audit_log_once(bench: Workbench) -> None:
    added = bench.enrolment.add_one(new_reference(1, title="Acme tote", brand="Acme"))
    bench.catalogue.change(added.reference_id, {"notes": "seen again"}, actor="desk 4")
    bench.catalogue.change(added.reference_id, {"notes": "seen again"}, actor="desk 4")
    stored = bench.catalogue.get(added.reference_id)
    assert (stored.brand, stored.notes) == ("Acme", "seen again")
    with bench.database.read() as session:
        changes = [(change.kind, change.actor, change.details) for change in read_changes(session, after=1)]
    assert changes == [("reference_changed", "desk 4", {"notes": "seen again"})]


def test_a_suspension_that_is_over_already_is_refused(bench: Workbench) -> None:
    added = bench.enrolment.add_one(new_reference(1))
    with pytest.raises(InvalidContent, match="past"):
        bench.catalogue.change(added.reference_id, {"state": "suspended", "suspended_until": "2020-01-01T00:00:00Z"})
    assert bench.catalogue.get(added.reference_id).matches_now


def test_references_are_listed_by_filter_and_by_page(bench: Workbench) -> None:
    bench.enrolment.add([new_reference(1), new_reference(2, state="draft"), new_reference(3)])
    active = bench.catalogue.list(ReferenceFilter(state=ReferenceState.ACTIVE), limit=1)
    rest = bench.catalogue.list(ReferenceFilter(state=ReferenceState.ACTIVE), limit=9, after=active[0].reference_id)
    assert [row.title for row in [*active, *rest]] == ["product 1", "product 3"]
