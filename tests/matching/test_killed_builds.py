"""A build that dies, or meets another one, leaves whole versions only."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagescreen.matching import VersionManifest, list_versions, open_version
from tests.matching.material import unit_vectors, write

ROOT = Path(__file__).parents[2]

BUILD_FOR_EVER = """
import sys
from pathlib import Path
from tests.matching.material import unit_vectors, write
print("ready", flush=True)
while True:
    write(Path(sys.argv[1]), unit_vectors(2000, 64), attachments={"padding.bin": bytes(1 << 20)})
"""

BUILD_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from imagescreen.errors import BrokenIndex
from tests.matching.material import unit_vectors, write
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write(Path(sys.argv[1]), unit_vectors(2000, 64), attachments={"padding.bin": bytes(1 << 20)})
except BrokenIndex as error:
    print(error.detail)
"""


@contextmanager
def building(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that writes one version after the other."""
    command = [sys.executable, "-c", BUILD_FOR_EVER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()


def check_all(folder: Path) -> None:
    for listed in list_versions(folder):
        assert isinstance(listed, VersionManifest)
        assert open_version(folder, listed.version).manifest == listed


@pytest.mark.parametrize("seen", [".building-*", ".building-*/vectors.f32", ".building-*/manifest.json"])
def test_a_killed_build_leaves_no_half_version_and_the_next_one_cleans_up(tmp_path: Path, seen: str) -> None:
    with building(tmp_path) as process:
        while not any(tmp_path.glob(seen)):
            assert process.poll() is None
        process.kill()
        process.wait()
    check_all(tmp_path)

    manifest = write(tmp_path, unit_vectors(3, 64))

    assert manifest in list_versions(tmp_path)
    assert not any(tmp_path.glob(".building-*"))
    check_all(tmp_path)


def test_what_a_dead_build_left_is_deleted(tmp_path: Path) -> None:
    (tmp_path / ".building-0123").mkdir()
    (tmp_path / ".building-0123" / "vectors.f32").write_bytes(b"half")

    assert list_versions(tmp_path) == []
    write(tmp_path, unit_vectors(3, 64))

    assert not (tmp_path / ".building-0123").exists()


def test_builds_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    with building(tmp_path), ThreadPoolExecutor(3) as pool:
        built = list(pool.map(lambda n: write(tmp_path, unit_vectors(n, 64)), range(1, 7)))
    check_all(tmp_path)

    assert {m.version for m in built} <= {entry.version for entry in list_versions(tmp_path)}


@pytest.mark.parametrize("largest_file_bytes", [1000, 100_000, 700_000])
def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(tmp_path: Path, largest_file_bytes: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUILD_ON_A_FULL_DISK, str(tmp_path), str(largest_file_bytes)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert "could not be written" in done.stdout
    assert str(tmp_path) not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
