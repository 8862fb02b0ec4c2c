"""A server that builds a version by itself, over HTTP and real processes."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import serving
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
