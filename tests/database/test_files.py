import hashlib
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from imagescreen.database.files import PictureFiles
from imagescreen.errors import BrokenInstallation, NotFound

DATA = b"picture"
SHA256 = hashlib.sha256(DATA).hexdigest()


def test_what_is_put_can_be_read_and_putting_it_again_changes_nothing(tmp_path: Path) -> None:
    files = PictureFiles(tmp_path / "pictures")
    files.put(SHA256, DATA)
    files.put(SHA256, DATA)
    assert files.get(SHA256) == DATA
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [".lock", SHA256]


def test_a_name_is_on_the_disk_also_when_somebody_else_put_the_file_a_moment_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = PictureFiles(tmp_path)
    files.put(SHA256, DATA)
    synced: set[int] = set()
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    files.put(SHA256, DATA)
    assert synced == {tmp_path.stat().st_ino, (tmp_path / SHA256[:2]).stat().st_ino}


def test_bytes_that_are_not_stored_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        PictureFiles(tmp_path).get(SHA256)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63])
def test_a_name_that_is_no_sha256_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(BrokenInstallation):
        PictureFiles(tmp_path).get(name)


def test_only_old_files_are_offered_for_purging_and_using_one_again_makes_it_young(tmp_path: Path) -> None:
    files = PictureFiles(tmp_path)
    files.put(SHA256, DATA)
    assert list(files.older_than(timedelta(hours=1))) == []
    (path,) = tmp_path.glob("??/*")
    os.utime(path, (time.time() - 7200,) * 2)
    assert list(files.older_than(timedelta(hours=1))) == [SHA256]
    files.put(SHA256, DATA)
    assert list(files.older_than(timedelta(hours=1))) == []


def test_a_file_that_was_put_again_since_it_was_listed_is_not_removed(tmp_path: Path) -> None:
    files = PictureFiles(tmp_path)
    files.put(SHA256, DATA)
    (path,) = tmp_path.glob("??/*")
    os.utime(path, (time.time() - 7200,) * 2)
    files.put(SHA256, DATA)
    assert not files.remove_if_older(SHA256, timedelta(hours=1))
    os.utime(path, (time.time() - 7200,) * 2)
    assert files.remove_if_older(SHA256, timedelta(hours=1))
    assert not files.remove_if_older(SHA256, timedelta(hours=1))
    files.put(SHA256, DATA)
    assert files.get(SHA256) == DATA


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    files = PictureFiles(tmp_path)
    files.put(SHA256, DATA)
    left = tmp_path / SHA256[:2] / ".writing-x"
    left.write_bytes(b"half")
    assert files.remove_unfinished(timedelta(hours=1)) == 0
    os.utime(left, (time.time() - 7200,) * 2)
    assert files.remove_unfinished(timedelta(hours=1)) == 1
    assert files.get(SHA256) == DATA
