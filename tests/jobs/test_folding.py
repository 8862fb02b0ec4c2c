"""A server that builds a version by itself, over HTTP and real processes."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import delete

from imagescreen.database.tables import ReferenceVectorRow
from imagescreen.jobs.fold import BUILT_BY
from imagescreen.jobs.reindex import rebuild
from imagescreen.matching import list_versions
from imagescreen.screening.policy import read_policy
from tests.conftest import ROOT, environment, serving
from tests.jobs.synthetic import synthetic_store
from tests.material import product

DEADLINE_S = 90.0
"""Only ends a hang: a fold takes seconds."""


def wait_until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.2)
    return False


def test_a_server_folds_many_changes_into_a_new_version_by_itself(sample_copy: Path) -> None:
    before = {path.name for path in (sample_copy / "index" / "versions").glob("2*")}
    with serving(sample_copy, fold_changes="5", keep_versions="1") as service:
        client = service.client
        for seed in range(6):
            added = client.post(
                "/v1/references",
                files=[
                    ("reference", ("r.json", f'{{"title": "t{seed}", "category": "recalled"}}', "application/json")),
                    ("pictures", (f"{seed}.jpg", product(seed), "image/jpeg")),
                ],
            )
            assert added.status_code == 201, added.text
        assert wait_until(lambda: client.get("/v1/index").json()["version"] not in before), service.log()[-4000:]
        served = client.get("/v1/index").json()
        assert served["version"] == served["current_version"]
        found = client.post(
            "/v1/matches", files=[("pictures", (f"{n}.jpg", product(n), "image/jpeg")) for n in range(6)]
        )
        titles = [picture["matches"][0]["title"] for picture in found.json()["pictures"]]
        assert titles == [f"t{seed}" for seed in range(6)]
        # Only the new version is kept, once no process serves the old one.
        (newest,) = (v for v in client.get("/v1/index/versions").json()["items"] if v["current"])
        assert newest["sequence"] > 0


def fold(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imagescreen.jobs.fold"],
        env=environment(home, **settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_fold_keeps_as_many_of_the_servers_versions_as_it_was_told_and_all_of_a_persons(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=20) as store:
        by_person = rebuild(store, read_policy(None), built_by="test").manifest.version
        by_servers = [rebuild(store, read_policy(None), built_by=BUILT_BY).manifest.version for _ in range(3)]
        done = fold(tmp_path, keep_versions="2")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        newest, *kept = (entry.version for entry in list_versions(store.versions_dir))
        assert newest not in by_servers
        assert kept == [by_servers[-1], by_person]


def test_a_fold_that_cannot_be_done_says_why_in_one_sentence_and_leaves_what_is_there(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=20) as store:
        before = rebuild(store, read_policy(None), built_by="test").manifest
        with store.database.write() as session:
            session.execute(delete(ReferenceVectorRow).where(ReferenceVectorRow.reference_picture_id == 7))
        done = fold(tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "1 reference pictures have no vector" in done.stderr
        assert list_versions(store.versions_dir) == [before]
