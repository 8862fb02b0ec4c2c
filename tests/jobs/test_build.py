"""Builds from stored vectors: what goes in, what must not, and what is left when one fails."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import update

from imagescreen.database.index_versions import current_version
from imagescreen.database.tables import ReferenceVectorRow
from imagescreen.errors import BrokenIndex
from imagescreen.jobs.build import Built
from imagescreen.jobs.progress import StageTimes
from imagescreen.jobs.reindex import rebuild
from imagescreen.jobs.workbench import Store, open_store
from imagescreen.matching import IndexSnapshot, IndexType, open_version
from imagescreen.screening.policy import read_policy
from tests.conftest import ROOT, environment, settings_of
from tests.jobs.synthetic import DIMENSION, synthetic_store

POLICY = read_policy(None)


def build(store: Store) -> Built:
    return rebuild(store, POLICY, built_by="test")


def current(store: Store) -> str | None:
    with store.database.read() as session:
        row = current_version(session)
    return None if row is None else row.version


def folders(store: Store) -> set[str]:
    return {path.name for path in store.versions_dir.iterdir() if path.is_dir()}


def vector_of(store: Store, picture_id: int) -> NDArray[np.float32]:
    with store.database.read() as session:
        row = session.query(ReferenceVectorRow).filter_by(reference_picture_id=picture_id).one()
    return np.frombuffer(row.vector, "<f4")


def put_vector(store: Store, picture_id: int, vector: bytes) -> None:
    with store.database.write() as session:
        session.execute(
            update(ReferenceVectorRow)
            .where(ReferenceVectorRow.reference_picture_id == picture_id)
            .values(vector=vector)
        )


def test_every_stored_vector_is_found_again_as_its_own_picture(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=3001, ordinary=120) as store:
        stages = StageTimes()
        built = rebuild(store, POLICY, built_by="test", progress=stages)
        assert (built.manifest.pictures, built.manifest.references) == (3001, 751)
        snapshot = IndexSnapshot.of_version(open_version(store.versions_dir, built.manifest.version))
        for picture_id in (1, 1500, 3001):
            ((nearest,),) = snapshot.search(vector_of(store, picture_id)[np.newaxis], count=1)
            assert nearest.picture_id == picture_id
    assert built.thresholds is not None and len(built.thresholds.categories) == 4
    assert {"reading vectors", "measuring thresholds"} <= set(stages.seconds)


@pytest.mark.parametrize("index_type", ["sq8", "ivf_sq8"])
def test_the_setting_chooses_the_structure(tmp_path: Path, index_type: str) -> None:
    with synthetic_store(tmp_path, pictures=600, index_type=index_type) as store:
        assert build(store).manifest.index_type is IndexType(index_type)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda vector: vector.tobytes()[:-4], f"has {4 * DIMENSION - 4} bytes"),
        (lambda vector: np.full_like(vector, np.nan).tobytes(), "finite"),
        (lambda vector: (2 * vector).tobytes(), "length"),
    ],
    ids=["another dimension", "not finite", "not of unit length"],
)
def test_an_unsound_vector_stops_the_build_by_its_picture_and_the_current_version_stays(
    tmp_path: Path, spoil: Callable[[NDArray[np.float32]], bytes], named: str
) -> None:
    with synthetic_store(tmp_path, pictures=400) as store:
        good = build(store).manifest.version
        put_vector(store, 177, spoil(vector_of(store, 177)))
        with pytest.raises(BrokenIndex, match=f"picture 177.*{named}"):
            build(store)
        assert (current(store), folders(store)) == (good, {good})


def test_a_full_disk_is_one_sentence_and_the_current_version_stays(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=4000) as store:
        good = build(store).manifest.version
    limit = 2_000_000
    assert limit < 4000 * DIMENSION * 4
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "reindex.py")],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert (done.returncode, len(errors), "Traceback" in done.stderr) == (1, 1, False), done.stderr
    assert "could not be written" in errors[0]
    with open_store(settings_of(tmp_path)) as store:
        assert (current(store), folders(store)) == (good, {good})
        assert build(store).manifest.pictures == 4000


def test_a_rebuild_from_stored_vectors_loads_no_model(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=50):
        pass
    code = (
        "import runpy, sys\n"
        "sys.path.insert(0, 'scripts'); sys.argv = ['scripts/reindex.py']\n"
        "try: runpy.run_path('scripts/reindex.py', run_name='__main__')\n"
        "finally: print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "50 pictures" in done.stdout and done.stdout.endswith("False\n"), done.stdout + done.stderr
