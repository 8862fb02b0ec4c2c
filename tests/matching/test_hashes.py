"""Copies are found exactly, and what does not match any more is found no more."""

from uuid import UUID, uuid4

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imagescreen.matching import Copy, HashQuery, HashSnapshot, ReferenceHash
from imagescreen.matching.pdq_search import FlatSearch, WordSearch

GENERATOR = np.random.default_rng(7)
IDS = [uuid4() for _ in range(6)]


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def turned(pdq: bytes, bits: int) -> NDArray[np.uint8]:
    """(1, 32): the hash with that many of its bits turned."""
    unpacked = np.unpackbits(np.frombuffer(pdq, np.uint8))
    unpacked[GENERATOR.choice(256, bits, replace=False)] ^= 1
    return np.packbits(unpacked)[np.newaxis]


def some_hash() -> bytes:
    return GENERATOR.bytes(32)


def test_near_copies_are_those_within_the_distance_in_any_rotation() -> None:
    pdq = some_hash()
    snapshot = HashSnapshot.of([ReferenceHash(IDS[0], 5, digest(1), pdq)])
    for bits, found in ((0, [Copy(IDS[0], 5, 0)]), (31, [Copy(IDS[0], 5, 31)]), (32, [])):
        rotations = np.concatenate([turned(some_hash(), 0), turned(pdq, bits)])
        assert snapshot.copies([HashQuery(digest(9), rotations)], max_distance=31) == [found]


def test_the_same_file_goes_before_a_near_copy_and_a_reference_is_there_once() -> None:
    pdq = some_hash()
    hashes = [
        ReferenceHash(IDS[0], 1, digest(1), turned(pdq, 9).tobytes()),
        ReferenceHash(IDS[0], 2, digest(2), turned(pdq, 3).tobytes()),
        ReferenceHash(IDS[1], None, digest(7), None),
        ReferenceHash(IDS[2], None, None, turned(pdq, 5).tobytes()),
    ]
    query = HashQuery(digest(7), turned(pdq, 0))
    (found,) = HashSnapshot.of(hashes).copies([query], max_distance=31)
    assert found == [Copy(IDS[1], None, None), Copy(IDS[0], 2, 3), Copy(IDS[2], None, 5)]


steps = st.lists(
    st.tuples(st.integers(0, len(IDS) - 1), st.lists(st.integers(0, 8), max_size=3), st.booleans()), max_size=12
)
PDQS = [some_hash() for _ in range(9)]
# The first digits are the same, so that what tells them apart lies beyond what is looked up first.
SHAS = [b"\xff" * 8 + digest(number)[8:] for number in range(9)]


@settings(deadline=None)
@given(steps)
def test_after_any_changes_only_what_was_told_last_is_found(told: list[tuple[int, list[int], bool]]) -> None:
    snapshot, model = HashSnapshot.empty(), dict[UUID, list[ReferenceHash]]()
    for reference, numbers, with_picture in told:
        hashes = [ReferenceHash(IDS[reference], n + 1 if with_picture else None, SHAS[n], PDQS[n]) for n in numbers]
        snapshot = snapshot.with_changes([IDS[reference]], hashes)
        model[IDS[reference]] = hashes
    everything = [one for hashes in model.values() for one in hashes]
    assert snapshot.pdq_count == len(everything)
    queries = [HashQuery(SHAS[n], np.frombuffer(PDQS[n], np.uint8)[np.newaxis]) for n in range(9)]
    for n, found in enumerate(snapshot.copies(queries, max_distance=0)):
        expected = {one.reference_id for one in everything if one.sha256 == SHAS[n]}
        assert {one.reference_id for one in found} == expected
        assert all(one.distance is None for one in found)


def test_many_changes_are_merged_and_still_found() -> None:
    snapshot = HashSnapshot.of([])
    ids, pdqs = [uuid4() for _ in range(3000)], [some_hash() for _ in range(3000)]
    for start in range(0, 3000, 500):
        hashes = [ReferenceHash(ids[n], n + 1, digest(n), pdqs[n]) for n in range(start, start + 500)]
        snapshot = snapshot.with_changes(ids[start : start + 500], hashes)
    snapshot = snapshot.with_changes(ids[:1000], [])
    assert snapshot.pdq_count == 2000
    queries = [HashQuery(digest(n), None) for n in (999, 1000, 2999)]
    assert [len(found) for found in snapshot.copies(queries, max_distance=31)] == [0, 1, 1]


def test_looking_words_up_finds_what_comparing_every_hash_finds() -> None:
    hashes = GENERATOR.integers(0, 256, (5000, 32), dtype=np.uint8)
    near = [turned(hashes[n].tobytes(), bits)[0] for n, bits in enumerate(GENERATOR.integers(0, 36, 400))]
    # Spread over all words as evenly as can be, so that no word is left as it was.
    even = hashes[400].copy().view(np.uint16)
    even ^= np.uint16(3)
    even[0] ^= np.uint16(2)
    queries = np.stack([*near, even.view(np.uint8)])
    found = [
        {(int(q), int(row), int(distance)) for q, row, distance in zip(*search.within(queries, 31), strict=True)}
        for search in (FlatSearch.of(hashes), WordSearch.of(hashes))
    ]
    assert found[0] == found[1]
    assert (400, 400, 31) in found[1]
    assert len(found[0]) > 300


def test_nothing_is_found_among_no_hashes() -> None:
    nothing = np.empty((0, 32), np.uint8)
    query = GENERATOR.integers(0, 256, (3, 32), dtype=np.uint8)
    assert [len(one) for one in FlatSearch.of(nothing).within(query, 31)] == [0, 0, 0]
    assert [len(one) for one in WordSearch.of(nothing).within(query, 31)] == [0, 0, 0]
