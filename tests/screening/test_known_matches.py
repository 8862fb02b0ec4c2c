"""A picture that comes again is not looked for again, and yet every change counts at once."""

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any
from uuid import UUID

from imagescreen.jobs.workbench import Workbench
from imagescreen.matching.search import nearest_references
from imagescreen.references.sample.catalogue import cleared_sample_picture, held_sample_picture
from imagescreen.screening.answer import Match
from imagescreen.screening.known_matches import KnownMatches
from imagescreen.screening.matches import Found
from imagescreen.screening.package import SubmittedPicture

HELD = held_sample_picture()
CLEARED = cleared_sample_picture()


def matched(bench: Workbench, *pictures: bytes) -> list[Sequence[Match]]:
    return [one.matches for one in bench.screener.match([SubmittedPicture(data) for data in pictures]).pictures]


def searches_for(bench: Workbench, *pictures: bytes) -> int:
    """How often the index is searched to match pictures."""
    searches = 0

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal searches
        searches += event == "call" and frame.f_code is nearest_references.__code__

    sys.setprofile(note)
    try:
        matched(bench, *pictures)
    finally:
        sys.setprofile(None)
    return searches


def test_only_new_pictures_are_searched_and_each_keeps_its_own_matches(sample_bench: Workbench) -> None:
    (held,) = matched(sample_bench, HELD)
    assert searches_for(sample_bench, HELD) == 0
    # The follower looks every half a second, and nothing is new.
    sample_bench.follower.poll()
    assert searches_for(sample_bench, HELD, HELD) == 0
    cleared, again, once_more = matched(sample_bench, CLEARED, HELD, HELD)
    assert again == once_more == held
    assert cleared
    assert cleared != held
    assert searches_for(sample_bench, HELD, CLEARED) == 0


def test_a_change_of_a_reference_counts_for_pictures_that_were_matched_before(sample_bench: Workbench) -> None:
    (before,) = matched(sample_bench, HELD)
    reference_id = before[0].reference_id
    sample_bench.catalogue.change(reference_id, {"title": "renamed"})
    (renamed,) = matched(sample_bench, HELD)
    assert renamed[0].title == "renamed"
    assert renamed[1:] == before[1:]
    sample_bench.catalogue.change(reference_id, {"state": "suspended"})
    (without,) = matched(sample_bench, HELD)
    assert reference_id not in {match.reference_id for match in without}
    sample_bench.catalogue.change(reference_id, {"state": "active"})
    assert matched(sample_bench, HELD) == [renamed]


def test_what_was_found_before_a_change_is_not_remembered_after_it(sample_bench: Workbench) -> None:
    (matches,) = matched(sample_bench, HELD)
    references: dict[UUID, Any] = {match.reference_id: None for match in matches}
    known = KnownMatches()
    known.note(0, {0: "a"}, Found({0: matches}, references))
    assert known.of(0, {7: "a"}).matches == {7: matches}
    # A request that began before the change ends after it.
    assert known.of(1, {0: "a"}).matches == {}
    known.note(0, {0: "a"}, Found({0: matches}, references))
    assert known.of(1, {0: "a"}).matches == {}
    assert known.of(0, {0: "a"}).matches == {}
