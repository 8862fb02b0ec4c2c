"""Every structure answers as looking at everything would, with exact similarities."""

import math
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching import (
    IndexSnapshot,
    IndexType,
    PictureChange,
    drafting,
    list_versions,
    open_version,
    set_search_threads,
)
from imagescreen.matching.ivf_sq8 import IvfSq8Search, list_count
from imagescreen.matching.sq8 import Sq8Search, write_index
from imagescreen.matching.structure import TARGET_RECALL, choose_type
from tests.matching.material import NOON, expected, near, normalised, references, snapshot, unit_vectors, write

ROOT = Path(__file__).parents[2]
COMPRESSED = [IndexType.SQ8, IndexType.IVF_SQ8]


def clusters(count: int, members: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    """Vectors (count * members, dimension), the members of a cluster apart from each other."""
    centres = unit_vectors(count, dimension, seed)
    return np.concatenate(
        [normalised(centres + 0.7 * unit_vectors(count, dimension, seed + 1 + i)) for i in range(members)]
    )


@pytest.mark.parametrize("index_type", IndexType)
@pytest.mark.parametrize(("count", "dimension"), [(0, 16), (1, 16), (2, 1), (3, 5), (40, 16), (79, 513)])
def test_few_pictures_are_searched_exactly_by_every_structure(
    tmp_path: Path, index_type: IndexType, count: int, dimension: int
) -> None:
    vectors = unit_vectors(count, dimension)
    pictures = dict(enumerate(zip(references(count), vectors, strict=True), start=1))
    state = snapshot(tmp_path, vectors, index_type=index_type)

    for query in unit_vectors(10, dimension, seed=1):
        for limits in (
            {"count": 5},
            {"count": 100},
            {"count": 0, "at_least": 0.1},
            {"count": 1, "at_least": -math.inf},
        ):
            assert state.search(query[np.newaxis], **limits) == [expected(pictures, query, **limits)]


@settings(max_examples=15, deadline=None)
@given(
    index_type=st.sampled_from(COMPRESSED),
    seed=st.integers(0, 1000),
    count=st.integers(0, 40),
    at_least=st.sampled_from([math.inf, 0.9, 0.6, 0.3]),
    copies=st.integers(0, 300),
    told=st.integers(0, 60),
)
def test_crowds_copies_and_changes_are_searched_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    index_type: IndexType,
    seed: int,
    count: int,
    at_least: float,
    copies: int,
    told: int,
) -> None:
    random = np.random.default_rng(seed)
    vectors = np.concatenate([clusters(6, 40, 24, seed), near(unit_vectors(1, 24, seed)[0], copies, 0.01)])
    owners = [references(60)[i] for i in random.integers(0, 60, len(vectors))]
    pictures = {i + 1: (owners[i], vectors[i]) for i in range(len(vectors))}
    state = snapshot(tmp_path_factory.mktemp("versions"), vectors, reference_ids=owners, index_type=index_type)
    # 2 to 8 lists: as many as are looked at anyway.
    assert not isinstance(state.base.pictures.structure, IvfSq8Search) or state.base.pictures.structure.lists <= 8

    changes = [
        PictureChange(int(i), references(60)[i % 60], None if i % 3 else unit_vectors(1, 24, int(i))[0])
        for i in random.integers(1, len(vectors) + 50, told)
    ]
    for change in changes:
        pictures.pop(change.picture_id, None)
        if change.vector is not None:
            pictures[change.picture_id] = (change.reference_id, change.vector)
    state = state.with_changes(changes, 1)

    for query in (unit_vectors(1, 24, seed)[0], vectors[7], unit_vectors(1, 24, seed + 5000)[0]):
        assert state.search(query[np.newaxis], count=count, at_least=at_least) == [
            expected(pictures, query, count=count, at_least=at_least)
        ]


@settings(max_examples=12, deadline=None)
@given(
    index_type=st.sampled_from(IndexType),
    seed=st.integers(0, 1000),
    count=st.integers(0, 5),
    limits=st.lists(st.floats(-0.2, 1.0) | st.just(math.inf), min_size=4, max_size=4),
    told=st.integers(0, 40),
)
def test_each_query_finds_everything_above_a_limit_of_its_own(
    tmp_path_factory: pytest.TempPathFactory,
    index_type: IndexType,
    seed: int,
    count: int,
    limits: list[float],
    told: int,
) -> None:
    vectors = clusters(6, 60, 24, seed)
    pictures = dict(enumerate(zip(references(len(vectors)), vectors, strict=True), start=1))
    state = snapshot(tmp_path_factory.mktemp("versions"), vectors, index_type=index_type)
    new = near(vectors[7], told, 0.4, seed)
    changes = [PictureChange(1000 + i, references(2000)[1000 + i], vector) for i, vector in enumerate(new)]
    pictures |= {change.picture_id: (change.reference_id, vector) for change, vector in zip(changes, new, strict=True)}
    queries = np.stack([vectors[7], unit_vectors(1, 24, seed)[0], vectors[0], unit_vectors(1, 24, seed + 9)[0]])

    found = state.with_changes(changes, 1).search(queries, count=count, at_least=np.array(limits))

    assert found == [
        expected(pictures, query, count=count, at_least=limit) for query, limit in zip(queries, limits, strict=True)
    ]


def test_eight_bit_codes_miss_nothing_at_any_size(tmp_path: Path) -> None:
    vectors = clusters(100, 100, 64)
    queries = np.concatenate([near(vectors[50], 20, 0.6), unit_vectors(20, 64, seed=900)])
    exact = snapshot(tmp_path, vectors, index_type=IndexType.EXACT)
    state = snapshot(tmp_path, vectors, index_type=IndexType.SQ8)

    assert state.search(queries, count=10, at_least=0.5) == exact.search(queries, count=10, at_least=0.5)
    assert 0 < state.base.pictures.structure.error < 0.02


def test_lists_find_what_their_manifest_promises(tmp_path: Path) -> None:
    vectors = clusters(200, 100, 64)
    exact = snapshot(tmp_path, vectors, index_type=IndexType.EXACT)
    state = snapshot(tmp_path, vectors, index_type=IndexType.IVF_SQ8)
    manifest = state.manifest
    assert manifest is not None
    queries = near(vectors[50], 300, 0.6, seed=44)

    found, truth = state.search(queries, count=10), exact.search(queries, count=10)

    shared = [len({n.picture_id for n in f} & {n.picture_id for n in t}) for f, t in zip(found, truth, strict=True)]
    assert sum(shared) / 3000 >= 0.98
    assert manifest.recall >= TARGET_RECALL
    assert manifest.recall_queries == 200
    assert manifest.parameters["lists"] == 64
    assert 8 <= int(manifest.parameters["probes"]) <= 32
    similarities = {n.picture_id: n.similarity for list_ in truth for n in list_}
    assert all(n.similarity <= 1 for list_ in found for n in list_)
    assert similarities


def test_near_copies_are_found_in_lists(tmp_path: Path) -> None:
    vectors = clusters(200, 100, 64)
    state = snapshot(tmp_path, vectors, index_type=IndexType.IVF_SQ8)
    copies = np.concatenate([near(vectors[row], 1, 0.3, seed=row) for row in range(0, 20_000, 20)])
    assert (np.einsum("nd,nd->n", copies, vectors[::20]) > 0.94).all()

    found = state.search(copies, count=1)

    assert [hit[0].picture_id for hit in found] == list(range(1, 20_001, 20))


def test_similarities_are_exact_and_alike_in_every_structure(tmp_path: Path) -> None:
    vectors = clusters(20, 100, 48)
    query = near(vectors[3], 1, 0.5, seed=77)
    told = [
        {n.picture_id: n.similarity for n in snapshot(tmp_path, vectors, index_type=t).search(query, count=5)[0]}
        for t in IndexType
    ]

    assert told[0] == told[1] == told[2]
    assert told[0] == {i: float((vectors[i - 1].astype(np.float64) * query[0]).sum()) for i in told[0]}


def test_lists_are_widened_until_enough_references_are_found(tmp_path: Path) -> None:
    vectors = clusters(100, 100, 32)
    owners = [references(2)[i % 10_000 // 9_999] for i in range(10_000)]
    state = snapshot(tmp_path, vectors, reference_ids=owners, index_type=IndexType.IVF_SQ8)

    [found] = state.search(vectors[:1], count=2)
    suspended = state.with_changes([PictureChange(i + 1, owners[i], None) for i in range(9_990)], 1)

    assert [n.reference_id for n in found] == references(2)
    assert len(suspended.search(vectors[:1], count=2)[0]) == 2
    assert len(snapshot(tmp_path, vectors, index_type=IndexType.IVF_SQ8).search(vectors[:1], count=10_000)[0]) == 10_000


@pytest.mark.parametrize("index_type", IndexType)
def test_vectors_that_are_all_alike_can_be_indexed(tmp_path: Path, index_type: IndexType) -> None:
    vectors = np.repeat(unit_vectors(1, 16), 3000, axis=0)

    [found] = snapshot(tmp_path, vectors, index_type=index_type).search(vectors[:1], count=3)

    assert [n.picture_id for n in found] == [1, 2, 3]


def test_the_number_of_pictures_chooses_the_structure() -> None:
    sizes = [0, 1, 200_000, 200_001, 500_000, 1_000_000, 10_000_000]

    assert [choose_type(n) for n in sizes] == ["exact", "exact", "exact", "sq8", "sq8", "ivf_sq8", "ivf_sq8"]
    assert [list_count(n) for n in (0, 1, 79, 100, 10_000, 1_048_576, 10_000_000)] == [
        1,
        1,
        1,
        2,
        32,
        2048,
        32_768,
    ]


def test_a_draft_takes_pictures_in_several_parts(tmp_path: Path) -> None:
    vectors = unit_vectors(30, 16)
    with drafting(tmp_path, dimension=16) as draft:
        for start in (0, 10, 10, 20):
            end = start if start == 10 and len(draft.picture_ids) == 20 else start + 10
            draft.append(np.arange(start + 1, end + 1), references(30)[start:end], vectors[start:end])
            assert np.array_equal(draft.vectors, vectors[: len(draft.picture_ids)])
        assert not draft.vectors.flags.writeable
        manifest = draft.finish(
            model="a-model", fingerprint="f1", sequence=3, as_of=NOON, built_by="the tests", attachments={}
        )

    state = IndexSnapshot.of_version(open_version(tmp_path, manifest.version))
    assert [n.picture_id for [n] in state.search(vectors, count=1)] == list(range(1, 31))
    assert manifest.references == 30


def test_a_draft_names_the_picture_that_cannot_be_indexed(tmp_path: Path) -> None:
    vectors = unit_vectors(3, 16)
    wrong = [
        ([7, 8, 9], vectors, "picture 7 is there more than once"),
        ([9, 10, 10], vectors, "picture 10 is there more than once"),
        ([9, 11, 10], vectors, "picture 10 came after picture 11"),
        ([5, 11, 12], vectors, "picture 5 came after picture 7"),
        ([8, 9, 10], vectors * np.float32(math.nan), "picture 8 holds a value that is not a finite number"),
        ([8, 9, 10], vectors[:, :8], "vectors must be (n, 16) float32, not 3x8 float32"),
    ]
    with drafting(tmp_path, dimension=16) as draft:
        draft.append(np.array([3, 7]), references(2), vectors[:2])
        for ids, rows, told in wrong:
            with pytest.raises(BrokenIndex) as refused:
                draft.append(np.array(ids), references(3), rows)
            assert told in refused.value.detail

    assert list_versions(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_what_a_full_disk_does_not_take_is_told_in_one_sentence(tmp_path: Path) -> None:
    index = faiss.IndexFlatIP(16)
    index.add(unit_vectors(5000, 16))

    with pytest.raises(BrokenIndex, match="could not be written: the disk is full"):
        write_index(index, Path("/dev/full"))


def test_dimensions_that_are_slow_in_eight_bits_are_filled_up(tmp_path: Path) -> None:
    vectors = unit_vectors(500, 33)
    state = snapshot(tmp_path, vectors, index_type=IndexType.SQ8)
    structure = state.base.pictures.structure

    assert isinstance(structure, Sq8Search)
    assert structure.index.d == 48
    assert [n.picture_id for [n] in state.search(vectors, count=1)] == list(range(1, 501))


def test_many_queries_are_multiplied_as_matrices(tmp_path: Path) -> None:
    """FAISS does so from 128,000 values on by itself, which 32 queries never have."""
    set_search_threads(0)

    assert faiss.cvar.distance_compute_blas_threshold <= 32 * 256


@pytest.mark.parametrize("index_type", IndexType)
def test_adding_to_a_mapped_version_happens_beside_it(tmp_path: Path, index_type: IndexType) -> None:
    """FAISS itself ends the process when something is added to a mapped index."""
    vectors = unit_vectors(200, 16)
    state = snapshot(tmp_path, vectors[:100], index_type=index_type)
    before = {path: path.read_bytes() for path in (tmp_path / str(state.version)).iterdir()}

    for i in range(100, 200):
        state = state.with_changes([PictureChange(i + 1, references(200)[i], vectors[i])], i)
    state = state.with_changes([PictureChange(1, references(1)[0], None)], 200)

    assert [n.picture_id for [n] in state.search(vectors[1:], count=1)] == list(range(2, 201))
    assert {path: path.read_bytes() for path in before} == before


MEASURE = """
import sys
from pathlib import Path
import numpy as np
from imagescreen.matching import IndexSnapshot, open_version
def private():
    # Pages of a mapped file are clean: they can be dropped at any time, and other processes share them.
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) * 1024
folder, version, small = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def look(name):
    state = IndexSnapshot.of_version(open_version(folder, name))
    query = np.zeros((1, state.dimension), np.float32)
    query[0, 0] = 1
    state.search(query, count=10)
    return state
kept = look(small)  # FAISS's threads and numpy's buffers
before = private()
opened = look(version)
print(private() - before)
"""


@pytest.mark.parametrize("index_type", IndexType)
def test_opening_a_version_takes_little_memory_of_its_own(tmp_path: Path, index_type: IndexType) -> None:
    vectors = unit_vectors(20_000, 256)
    versions = [write(tmp_path, vectors[:n], index_type=index_type).version for n in (20_000, 100)]

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), *versions], capture_output=True, text=True, cwd=ROOT, check=True
    )

    size = sum(path.stat().st_size for path in (tmp_path / versions[0]).iterdir())
    assert int(done.stdout) < 0.3 * size
