"""What tests of the follower do to a process, and ask it."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import numpy as np

from imagescreen.database.index_versions import activate_version
from imagescreen.jobs.workbench import Workbench
from imagescreen.references.follower import Follower
from imagescreen.references.loading import TURN_FILE
from tests.material import new_reference


def matching(bench: Workbench) -> set[UUID]:
    return references_of(bench.follower)


def references_of(follower: Follower) -> set[UUID]:
    follower.poll()
    snapshot = follower.serving.current().snapshot
    anything = np.zeros((1, snapshot.dimension), np.float32)
    anything[0, 0] = 1
    return {near.reference_id for near in snapshot.search(anything, count=1000)[0]}


def add(bench: Workbench, seed: int, **members: Any) -> UUID:
    return bench.enrolment.add_one(new_reference(seed, **members)).reference_id


def damage(bench: Workbench, version: str) -> None:
    """Flips one bit of a version's vectors; a second time, it is sound again."""
    vectors = bench.loader.versions_dir / version / "vectors.f32"
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(content)


def activate(bench: Workbench, version: str) -> None:
    with bench.database.write() as session:
        activate_version(session, version, actor="test")


def served_version(bench: Workbench) -> str | None:
    return bench.follower.serving.current().snapshot.version


def eventually(holds: Callable[[], bool]) -> None:
    """Waits for what a thread does soon; the deadline only ends a hang."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def another_process_is_loading(bench: Workbench) -> Iterator[None]:
    bench.settings.index_dir.mkdir(exist_ok=True)
    with (bench.settings.index_dir / TURN_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
