"""Index versions on disk: what goes in comes out, and anything else is refused."""

import math
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import faiss
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.matching import (
    BrokenVersion,
    IndexType,
    VersionManifest,
    list_versions,
    open_version,
    write_version,
)
from imagescreen.matching.folders import record_of
from imagescreen.matching.manifest import MANIFEST_FILE, encoded, read_manifest
from tests.matching.material import NOON, references, unit_vectors, write

DIMENSION = 16
FILES = ["vectors.f32", "picture_ids.npy", "references.npy", "reference_rows.npy", "thresholds.json", MANIFEST_FILE]
FILES_OF_ANY = [*FILES, "index.faiss"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VersionManifest]:
    return make_version(tmp_path_factory.mktemp("versions"), IndexType.EXACT)


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VersionManifest]:
    return make_version(tmp_path_factory.mktemp("compressed"), IndexType.IVF_SQ8)


def make_version(folder: Path, index_type: IndexType) -> tuple[Path, VersionManifest]:
    owners = [references(30)[i % 30] for i in range(100)]
    thresholds = {"thresholds.json": b'{"hold": 0.9}'}
    vectors = unit_vectors(100, DIMENSION)
    return folder, write(folder, vectors, None, owners, sequence=7, attachments=thresholds, index_type=index_type)


def manifest_of(version_folder: Path) -> VersionManifest:
    return read_manifest(version_folder, version_folder.name)


@pytest.fixture
def copy(sound: tuple[Path, VersionManifest], tmp_path: Path) -> Path:
    """The sound version's own folder, to be damaged."""
    return copied(sound, tmp_path)


@pytest.fixture
def copy_with(
    sound: tuple[Path, VersionManifest], compressed: tuple[Path, VersionManifest], tmp_path: Path
) -> Callable[[str], Path]:
    """The folder of a sound version that has a file of this name."""
    return lambda name: copied(compressed if name == "index.faiss" else sound, tmp_path)


def copied(version: tuple[Path, VersionManifest], to: Path) -> Path:
    folder, manifest = version
    shutil.copytree(folder / manifest.version, to / manifest.version)
    return to / manifest.version


def refusal(version_folder: Path) -> str:
    with pytest.raises(BrokenIndex) as refused:
        open_version(version_folder.parent, version_folder.name)
    told = refused.value.detail
    assert "\n" not in told
    assert str(version_folder.parent) not in told
    return told


def test_a_version_says_what_it_holds_and_gives_its_attachments_back(sound: tuple[Path, VersionManifest]) -> None:
    folder, manifest = sound
    version = open_version(folder, manifest.version)

    assert version.manifest == manifest
    assert (manifest.model, manifest.fingerprint, manifest.dimension) == ("a-model", "f1", DIMENSION)
    assert (manifest.sequence, manifest.as_of, manifest.built_by) == (7, NOON, "the tests")
    assert (manifest.index_type, manifest.pictures, manifest.references) == ("exact", 100, 30)
    assert manifest.version.startswith(f"{manifest.built_at:%Y%m%dT%H%M%SZ}-")
    assert set(manifest.files) == set(FILES) - {MANIFEST_FILE}
    assert (manifest.canaries[0], len(manifest.canaries), manifest.canaries[-1]) == (1, 16, 100)
    assert version.attachments == {"thresholds.json": b'{"hold": 0.9}'}


def test_versions_are_listed_newest_first_with_the_broken_ones(tmp_path: Path) -> None:
    assert list_versions(tmp_path / "nothing yet") == []
    built = [write(tmp_path, unit_vectors(n, DIMENSION)) for n in (0, 1, 5)]
    (tmp_path / built[1].version / MANIFEST_FILE).unlink()
    (tmp_path / "old").mkdir()
    (tmp_path / "README.md").write_text("index versions")

    listed = list_versions(tmp_path)

    broken = {entry.version: entry.problem for entry in listed if isinstance(entry, BrokenVersion)}
    assert broken.keys() == {"old", built[1].version}
    assert broken["old"] == "'old' is not the name of an index version"
    assert "manifest.json" in broken[built[1].version]
    assert [e for e in listed if isinstance(e, VersionManifest)] == [built[2], built[0]]


def test_as_of_is_kept_as_the_same_moment_in_utc(tmp_path: Path) -> None:
    moment = datetime(2026, 3, 1, 7, tzinfo=timezone(timedelta(hours=-5)))
    manifest = _write_with(tmp_path, as_of=moment)

    assert manifest.as_of == NOON
    assert manifest.as_of.utcoffset() == timedelta(0)
    with pytest.raises(BrokenIndex, match="time zone"):
        _write_with(tmp_path, as_of=datetime(2026, 3, 1))


def _write_with(
    folder: Path,
    as_of: datetime = NOON,
    ids: NDArray[np.int64] | None = None,
    vectors: NDArray[np.float32] | None = None,
) -> VersionManifest:
    return write_version(
        folder,
        model="a-model",
        fingerprint="f1",
        vectors=unit_vectors(3, DIMENSION) if vectors is None else vectors,
        picture_ids=np.array([4, 9, 2], np.int64) if ids is None else ids,
        reference_ids=references(3),
        sequence=1,
        as_of=as_of,
        built_by="the tests",
        attachments={},
    )


def _rows(change: Callable[[NDArray[np.float32]], object]) -> NDArray[np.float32]:
    vectors = unit_vectors(3, DIMENSION)
    change(vectors)
    return vectors


@pytest.mark.parametrize(
    ("ids", "vectors", "told"),
    [
        ([4, 9, 4], unit_vectors(3, DIMENSION), "picture 4 is there more than once"),
        ([4, 0, 2], unit_vectors(3, DIMENSION), "there is a picture 0"),
        ([4, -1, 2], unit_vectors(3, DIMENSION), "there is a picture -1"),
        ([4, 9, 2], _rows(lambda v: v[1].put(3, math.nan)), "picture 9 holds a value that is not a finite number"),
        ([4, 9, 2], _rows(lambda v: v[2].put(3, -math.inf)), "picture 2 holds a value that is not a finite number"),
        ([4, 9, 2], _rows(lambda v: v[1].put(range(DIMENSION), 0.0)), "picture 9 is of length 0 instead of 1"),
        ([4, 9, 2], unit_vectors(3, DIMENSION).astype(np.float64), "must be (n, 16) float32, not 3x16 float64"),
        ([4, 9, 2], unit_vectors(3, DIMENSION)[0], "vectors (n, d)"),
        ([4, 9, 2], np.empty((3, 0), np.float32), "at least one dimension"),
        ([4, 9], unit_vectors(3, DIMENSION), "3 vectors need as many int64 picture ids and reference ids"),
        ([4, 9, 2], unit_vectors(2, DIMENSION), "2 vectors need as many int64 picture ids and reference ids"),
    ],
)
def test_rows_that_cannot_be_indexed_are_refused_by_name(
    tmp_path: Path, ids: list[int], vectors: NDArray[np.float32], told: str
) -> None:
    with pytest.raises(BrokenIndex) as refused:
        _write_with(tmp_path, ids=np.array(ids, np.int64), vectors=vectors)

    assert told in refused.value.detail
    assert list_versions(tmp_path) == []


@pytest.mark.parametrize("name", ["../thresholds.json", "a/b", "", ".hidden", "index.faiss", "manifest.json"])
def test_an_attachment_cannot_leave_the_folder_or_take_the_place_of_a_file_of_the_index(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(BrokenIndex, match="attachment"):
        write(tmp_path, unit_vectors(1, DIMENSION), attachments={name: b""})


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc", "20260301T120000Z-1a2b3c4d/..", "20260301T120000Z-1A2B3C4D", "x\n"]
)
def test_a_version_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(BrokenIndex, match="is not the name of an index version"):
        open_version(tmp_path, name)


def test_a_version_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "is not there" in refusal(tmp_path / "20260301T120000Z-1a2b3c4d")


@pytest.mark.parametrize("name", FILES_OF_ANY)
def test_a_flipped_bit_in_any_file_is_noticed(copy_with: Callable[[str], Path], name: str) -> None:
    copy = copy_with(name)
    sound = (copy / name).read_bytes()
    for place in {0, len(sound) // 3, len(sound) // 2, len(sound) - 1}:
        flipped = bytearray(sound)
        flipped[place] ^= 1 << place % 8
        (copy / name).write_bytes(flipped)
        assert name in refusal(copy)


def test_any_flipped_bit_in_the_manifest_is_noticed(copy: Path) -> None:
    sound = (copy / MANIFEST_FILE).read_bytes()
    for place in range(len(sound)):
        flipped = bytearray(sound)
        flipped[place] ^= 1 << place * 5 % 8
        (copy / MANIFEST_FILE).write_bytes(flipped)
        refusal(copy)


@pytest.mark.parametrize("name", FILES_OF_ANY)
@pytest.mark.parametrize("left", [0, 0.5])
def test_a_truncated_file_is_noticed(copy_with: Callable[[str], Path], name: str, left: float) -> None:
    copy = copy_with(name)
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: int(len(content) * left)])

    assert name in refusal(copy)


@pytest.mark.parametrize("name", FILES_OF_ANY)
def test_a_missing_file_is_noticed(copy_with: Callable[[str], Path], name: str) -> None:
    copy = copy_with(name)
    (copy / name).unlink()

    assert name in refusal(copy)


@pytest.mark.parametrize("name", FILES_OF_ANY)
def test_a_file_of_another_version_is_noticed(copy_with: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    copy = copy_with(name)
    owners = [references(31)[i % 30 + 1] for i in range(100)][::-1]
    other = write(
        tmp_path,
        unit_vectors(100, DIMENSION, seed=1),
        range(2, 102),
        owners,
        attachments={"thresholds.json": b'{"hold": 0.8}'},
        index_type=IndexType(manifest_of(copy).index_type),
    )
    shutil.copyfile(tmp_path / other.version / name, copy / name)

    told = refusal(copy)

    assert (other.version if name == MANIFEST_FILE else name) in told


def test_a_version_under_the_name_of_another_is_noticed(copy: Path) -> None:
    renamed = copy.rename(copy.parent / "20260301T120000Z-1a2b3c4d")

    assert f"holds the manifest of index version {copy.name}" in refusal(renamed)


def test_an_extra_file_is_noticed(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")

    assert "notes.txt does not belong to it" in refusal(copy)


def test_a_link_or_a_folder_in_place_of_a_file_is_noticed(copy: Path) -> None:
    index = copy / "vectors.f32"
    elsewhere = index.rename(copy.parent / "elsewhere")
    index.symlink_to(elsewhere)
    assert "vectors.f32 is not an ordinary file" in refusal(copy)
    index.unlink()
    index.mkdir()
    assert "vectors.f32 is not an ordinary file" in refusal(copy)


def _resealed(version_folder: Path, **changes: object) -> Path:
    """The folder with a manifest whose hashes fit again."""
    manifest = read_manifest(version_folder, version_folder.name)
    files = {name: record_of(version_folder / name) for name in manifest.files}
    manifest = msgspec.structs.replace(manifest, files=files, **changes).named()
    (version_folder / MANIFEST_FILE).write_bytes(encoded(manifest))
    return version_folder.rename(version_folder.parent / manifest.version)


def _codes(vectors: NDArray[np.float32]) -> faiss.Index:
    index = faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    return index


def _lists(vectors: NDArray[np.float32]) -> faiss.Index:
    coarse = faiss.IndexFlatIP(DIMENSION)
    index = faiss.IndexIVFScalarQuantizer(
        coarse, DIMENSION, 2, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
    )
    index.train(vectors)
    index.add(vectors)
    return index


VECTORS = unit_vectors(100, DIMENSION)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("picture_ids.npy", np.array([1, *range(1, 100)]), "do not ascend"),
        ("picture_ids.npy", np.arange(100, 0, -1), "do not ascend"),
        ("picture_ids.npy", np.arange(100), "do not ascend from 1"),
        ("picture_ids.npy", np.arange(1, 100), "picture_ids.npy is not of the shape"),
        ("picture_ids.npy", np.arange(2, 102), "canaries are not among"),
        ("vectors.f32", VECTORS[:99], "does not hold 100 vectors of dimension 16"),
        ("vectors.f32", VECTORS / np.float32(2), "picture 1 does not find itself"),
        ("references.npy", np.zeros((30, 16), np.uint8), "do not fit together"),
        ("reference_rows.npy", np.full(100, 30, np.int32), "do not fit together"),
        ("reference_rows.npy", np.full(100, -1, np.int32), "do not fit together"),
        ("reference_rows.npy", np.zeros(100, np.int32), "do not fit together"),
        ("reference_rows.npy", np.zeros(100, np.int64), "reference_rows.npy is not of the shape"),
    ],
)
def test_arrays_that_would_answer_wrongly_are_refused_even_with_fitting_hashes(
    copy: Path, name: str, content: NDArray[np.float32], told: str
) -> None:
    if name.endswith(".npy"):
        np.save(copy / name, content)
    else:
        content.tofile(copy / name)

    assert told in refusal(_resealed(copy))


@pytest.mark.parametrize(
    ("index_type", "make", "told"),
    [
        (IndexType.SQ8, lambda: _codes(VECTORS[:99]), "does not hold 100 8-bit codes of dimension 16"),
        (IndexType.SQ8, lambda: _codes(-VECTORS), "picture 1 does not find itself"),
        (IndexType.SQ8, lambda: _lists(VECTORS), "does not hold 100 8-bit codes"),
        (IndexType.SQ8, lambda: faiss.IndexFlatIP(DIMENSION), "does not hold 100 8-bit codes"),
        (IndexType.IVF_SQ8, lambda: _lists(VECTORS[:99]), "does not hold 100 8-bit codes of dimension 16 in lists"),
        (IndexType.IVF_SQ8, lambda: _lists(-VECTORS), "picture 1 does not find itself"),
        (IndexType.IVF_SQ8, lambda: _codes(VECTORS), "does not hold 100 8-bit codes of dimension 16 in lists"),
        (IndexType.IVF_SQ8, lambda: faiss.IndexFlatIP(DIMENSION), "does not hold 100 8-bit codes"),
    ],
)
def test_codes_that_would_answer_wrongly_are_refused_even_with_fitting_hashes(
    tmp_path: Path, index_type: IndexType, make: Callable[[], faiss.Index], told: str
) -> None:
    copy = tmp_path / write(tmp_path, VECTORS, index_type=index_type).version
    faiss.write_index(make(), str(copy / "index.faiss"))

    assert told in refusal(_resealed(copy))


@pytest.mark.parametrize("index_type", [IndexType.SQ8, IndexType.IVF_SQ8])
def test_a_manifest_without_the_parameters_of_its_index_is_refused(tmp_path: Path, index_type: IndexType) -> None:
    copy = tmp_path / write(tmp_path, VECTORS, index_type=index_type).version

    assert f"lacks parameters of an index of type {index_type}" in refusal(_resealed(copy, parameters={}))


def test_files_that_are_not_what_they_should_be_are_refused_even_with_fitting_hashes(copy: Path) -> None:
    sound = {name: (copy / name).read_bytes() for name in FILES}
    np.save(copy / "references.npy", np.array([{"code": "runs"}], object), allow_pickle=True)
    copy = _resealed(copy)
    assert "references.npy is not an array" in refusal(copy)

    (copy / "references.npy").write_bytes(sound["references.npy"])
    (copy / "index.faiss").write_bytes(b"IxFI" + bytes(200))
    assert "index.faiss does not belong to it" in refusal(copy)


@pytest.mark.parametrize("index_type", [IndexType.SQ8, IndexType.IVF_SQ8])
@pytest.mark.parametrize("content", [b"", b"IxSQ" + bytes(200), b"IwSq" + bytes(200), b"nothing"])
def test_an_index_file_that_is_none_is_refused_even_with_fitting_hashes(
    tmp_path: Path, index_type: IndexType, content: bytes
) -> None:
    copy = tmp_path / write(tmp_path, VECTORS, index_type=index_type).version
    (copy / "index.faiss").write_bytes(content)

    assert "index.faiss" in refusal(_resealed(copy))


def test_a_crowd_of_copies_does_not_make_a_canary_fail(tmp_path: Path) -> None:
    manifest = write(tmp_path, np.repeat(unit_vectors(1, DIMENSION), 500, axis=0))

    assert open_version(tmp_path, manifest.version).manifest.pictures == 500
