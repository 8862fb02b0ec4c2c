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
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [SHA256]


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
