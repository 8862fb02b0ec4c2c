"""Versions are deleted whole, also while others are built, and nothing in their place keeps anybody."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from imagescreen.errors import BrokenIndex
from imagescreen.matching import (
    BrokenVersion,
    IndexSnapshot,
    IndexType,
    delete_version,
    list_versions,
    open_version,
)
from imagescreen.matching.folders import building
from tests.matching.material import unit_vectors, write

DIMENSION = 16

VECTORS = unit_vectors(100, DIMENSION)


@pytest.mark.parametrize("index_type", list(IndexType))
def test_a_deleted_version_is_gone_for_good_and_whoever_has_it_open_keeps_it(
    tmp_path: Path, index_type: IndexType
) -> None:
    kept, deleted = (write(tmp_path, VECTORS[:n], index_type=index_type) for n in (50, 100))
    state = IndexSnapshot.of_version(open_version(tmp_path, deleted.version))

    delete_version(tmp_path, deleted.version)

    assert list_versions(tmp_path) == [kept]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", kept.version]
    assert [found[0].picture_id for found in state.search(VECTORS, count=1)] == list(range(1, 101))
    with pytest.raises(BrokenIndex, match="there is no index version"):
        delete_version(tmp_path, deleted.version)
    with pytest.raises(BrokenIndex, match="there is no index version"):
        delete_version(tmp_path, "..")


def test_a_version_is_deleted_while_another_one_is_being_built(tmp_path: Path) -> None:
    deleted = write(tmp_path, VECTORS)

    with building(tmp_path) as folder:
        delete_version(tmp_path, deleted.version)
        assert {path.name for path in tmp_path.iterdir()} == {".lock", folder.name}


def test_a_build_that_waits_for_another_one_says_so(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    waits = threading.Event()

    def tell(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        waits.set()

    def build() -> None:
        with building(tmp_path, tell):
            pass

    second = threading.Thread(target=build)
    with building(tmp_path, tell):
        assert told == []
        second.start()
        assert waits.wait(60)
        assert told == [("waiting for another build", 0, 1)]
    second.join(60)
    assert told == [("waiting for another build", 0, 1), ("waiting for another build", 1, 1)]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_stands_in_the_place_of_a_manifest_keeps_nobody(tmp_path: Path, make: Callable[[Path], None]) -> None:
    folder = tmp_path / "20260101T000000Z-00000000"
    folder.mkdir()
    make(folder / "manifest.json")

    (broken,) = list_versions(tmp_path)

    assert isinstance(broken, BrokenVersion)
    assert "no readable manifest" in broken.problem


def test_a_version_that_is_half_deleted_is_not_listed_and_goes_with_the_next_build(tmp_path: Path) -> None:
    half = tmp_path / write(tmp_path, VECTORS).version
    half.rename(tmp_path / ".building-0123")

    assert list_versions(tmp_path) == []
    kept = write(tmp_path, VECTORS)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", kept.version]
