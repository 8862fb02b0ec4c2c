"""Changes since the version, against a plain dictionary of what must match."""

import shutil
import tempfile
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching import IndexSnapshot, IndexType, PictureChange, open_version
from tests.matching.material import expected, near, references, snapshot, unit_vectors, write

DIMENSION = 16
# Close to each other and few, so that ties, copies and crowds come up.
VECTORS = np.concatenate([near(unit_vectors(1, DIMENSION)[0], 6, 0.2), unit_vectors(6, DIMENSION, seed=3)])
# Ids that end in zero bytes, begin with them, or hold spaces: what text-minded comparisons get wrong.
REFERENCES = [
    UUID(int=0x41 << 120),
    UUID(int=0x41),
    UUID(bytes=b"A" + b" " * 15),
    UUID(bytes=b"A" * 16),
    UUID(int=0),
]

CHANGES = st.lists(
    st.tuples(
        st.integers(1, 12),
        st.sampled_from(REFERENCES),
        st.none() | st.integers(0, len(VECTORS) - 1),
    ),
    max_size=6,
)


class Matching(RuleBasedStateMachine):
    """An index that is changed, rebuilt and searched; `pictures` says what must match.

    So few pictures are in one list, where inverted lists miss nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.pictures: dict[int, tuple[UUID, NDArray[np.float32]]] = {}
        self.state = IndexSnapshot.empty("f1", DIMENSION)
        self.earlier = self.state
        self.earlier_pictures = dict(self.pictures)
        self.told: list[PictureChange] = []

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(first=CHANGES)
    def begin(self, first: list[tuple[int, UUID, int | None]]) -> None:
        self.change(first)
        self.rebuild()

    @rule(changes=CHANGES)
    def change(self, changes: list[tuple[int, UUID, int | None]]) -> None:
        self.earlier, self.earlier_pictures = self.state, dict(self.pictures)
        self.told = [PictureChange(p, r, None if v is None else VECTORS[v]) for p, r, v in changes]
        for told in self.told:
            self.pictures.pop(told.picture_id, None)
            if told.vector is not None:
                self.pictures[told.picture_id] = (told.reference_id, told.vector)
        self.state = self.state.with_changes(self.told, self.state.sequence + 1)

    @rule()
    def tell_the_same_again(self) -> None:
        self.state = self.state.with_changes(self.told, self.state.sequence)

    @rule(index_type=st.sampled_from(IndexType))
    def rebuild(self, index_type: IndexType = IndexType.EXACT) -> None:
        ids = list(self.pictures)
        vectors = np.array([self.pictures[i][1] for i in ids], np.float32).reshape(-1, DIMENSION)
        owners = [self.pictures[i][0] for i in ids]
        manifest = write(self.folder, vectors, ids, owners, sequence=self.state.sequence, index_type=index_type)
        assert (manifest.pictures, manifest.references) == (len(ids), len(set(owners)))
        self.state = IndexSnapshot.of_version(open_version(self.folder, manifest.version))
        self.told = []

    @rule(
        query=st.integers(0, len(VECTORS) - 1),
        count=st.integers(0, 6),
        at_least=st.sampled_from([-1.0, 0.3, 0.95, float("inf")]),
    )
    def search(self, query: int, count: int, at_least: float) -> None:
        for state, pictures in ((self.state, self.pictures), (self.earlier, self.earlier_pictures)):
            [found] = state.search(VECTORS[query : query + 1], count=count, at_least=at_least)
            assert found == expected(pictures, VECTORS[query], count=count, at_least=at_least)

    @invariant()
    def counts(self) -> None:
        assert self.state.picture_count == len(self.pictures)
        assert self.state.reference_count == len({reference for reference, _ in self.pictures.values()})


TestMatching = Matching.TestCase
TestMatching.settings = settings(
    max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_suspending_and_reactivating_a_reference_leaves_nothing_behind(tmp_path: Path) -> None:
    vectors = unit_vectors(20, DIMENSION)
    owner = references(20)[4]
    state = snapshot(tmp_path, vectors)

    suspended = state.with_changes([PictureChange(5, owner, None)], 1)
    active = suspended.with_changes([PictureChange(5, owner, vectors[4])], 2)

    assert [n.picture_id for n in suspended.search(vectors[4:5], count=0, at_least=0.99)[0]] == []
    assert (suspended.picture_count, suspended.reference_count) == (19, 19)
    assert [n.picture_id for n in active.search(vectors[4:5], count=0, at_least=0.99)[0]] == [5]
    assert (active.picture_count, active.reference_count, active.sequence) == (20, 20, 2)
    assert (suspended.changes_since_version, active.changes_since_version) == (1, 0)


def test_very_many_changes_one_after_the_other_are_kept_in_few_sets(tmp_path: Path) -> None:
    vectors = unit_vectors(1200, DIMENSION)
    owners = references(1200)
    pictures = {i + 1: (owners[i], vectors[i]) for i in range(300)}
    state = snapshot(tmp_path, vectors[:300])
    random = np.random.default_rng(0)

    for step in range(900):
        picture_id = int(random.integers(1, 600))
        vector = None if random.random() < 0.4 else vectors[300 + step]
        pictures.pop(picture_id, None)
        if vector is not None:
            pictures[picture_id] = (owners[picture_id], vector)
        state = state.with_changes([PictureChange(picture_id, owners[picture_id], vector)], step)

    assert len(state.recent) <= 4
    assert state.picture_count == len(pictures)
    assert state.reference_count == len({owner for owner, _ in pictures.values()})
    assert state.changes_since_version == sum(map(len, state.recent)) + len(state.base.superseded)
    for query in unit_vectors(20, DIMENSION, seed=8):
        assert state.search(query[np.newaxis], count=20) == [expected(pictures, query, count=20)]


def test_taking_out_an_added_picture_leaves_the_ids_of_later_ones_alone() -> None:
    vectors = unit_vectors(9, DIMENSION)
    changes = [PictureChange(i + 1, references(9)[i], vectors[i]) for i in range(9)]
    state = IndexSnapshot.empty("f1", DIMENSION).with_changes(changes, 9)

    state = state.with_changes([PictureChange(3, references(9)[2], None)], 10)

    for i in (0, 1, 3, 4, 5, 6, 7, 8):
        assert state.search(vectors[i : i + 1], count=1)[0][0].picture_id == i + 1
    assert state.search(vectors[2:3], count=1)[0][0].picture_id != 3


def test_a_snapshot_says_what_it_was_made_of(tmp_path: Path) -> None:
    manifest = write(tmp_path, unit_vectors(4, DIMENSION), sequence=17)
    state = IndexSnapshot.of_version(open_version(tmp_path, manifest.version))
    empty = IndexSnapshot.empty("f1", DIMENSION)

    assert (state.manifest, state.version, state.sequence) == (manifest, manifest.version, 17)
    assert (state.fingerprint, state.dimension) == ("f1", DIMENSION)
    assert (empty.manifest, empty.version, empty.sequence, empty.picture_count) == (None, None, 0, 0)


@pytest.mark.parametrize(
    ("picture_id", "vector", "told"),
    [
        (8, np.full(DIMENSION, np.nan, np.float32), "picture 8 holds a value that is not a finite number"),
        (8, unit_vectors(1, DIMENSION)[0] * np.float32(2), "picture 8 is of length 2 instead of 1"),
        (8, unit_vectors(1, DIMENSION + 1)[0], "picture 8 must be (16,) float32"),
        (8, unit_vectors(1, DIMENSION)[0].astype(np.float64), "picture 8 must be (16,) float32"),
        (0, unit_vectors(1, DIMENSION)[0], "a change names picture 0"),
    ],
)
def test_a_change_that_cannot_be_indexed_is_refused_by_name(
    picture_id: int, vector: NDArray[np.float32], told: str
) -> None:
    state = IndexSnapshot.empty("f1", DIMENSION)

    with pytest.raises(BrokenIndex) as refused:
        state.with_changes([PictureChange(picture_id, references(1)[0], vector)], 1)

    assert told in refused.value.detail


def test_a_feed_that_goes_back_is_refused() -> None:
    state = IndexSnapshot.empty("f1", DIMENSION).with_changes([], 5)

    with pytest.raises(BrokenIndex, match="back from entry 5 to entry 4"):
        state.with_changes([], 4)
