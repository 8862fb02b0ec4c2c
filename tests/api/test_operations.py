"""Health, metrics, logs, and the end of a server."""

import fcntl
import json
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from imagescreen.references.loading import TURN_FILE
from imagescreen.references.sample.catalogue import cleared_sample_picture, held_sample_picture
from imagescreen.settings import BUILT_IN_MODEL
from tests.conftest import Service, script, serving
from tests.material import product

HELD = held_sample_picture()
CLEARED = cleared_sample_picture()


def screen(client: httpx.Client, package_id: str, picture: bytes = CLEARED, **facts: object) -> httpx.Response:
    package = json.dumps({"package_id": package_id, **facts})
    return client.post(
        "/v1/screenings", files=[("package", (None, package, "application/json")), ("pictures", ("a.jpg", picture))]
    )


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def add_reference(client: httpx.Client, picture: bytes) -> httpx.Response:
    reference = json.dumps({"title": "Acme", "category": "counterfeit"})
    return client.post(
        "/v1/references",
        files=[("reference", (None, reference, "application/json")), ("pictures", ("a.jpg", picture))],
    )


def test_a_healthy_server_is_live_and_ready(sample_service: Service) -> None:
    assert sample_service.client.get("/health/live").json() == {"status": "live"}
    ready = sample_service.client.get("/health/ready")
    assert (ready.status_code, ready.json()["problems"]) == (200, [])
    # Other tests add references, which may well look like ordinary packages.
    assert [warning for warning in ready.json()["warnings"] if "of ordinary packages" not in warning] == []
    assert ready.json()["age_s"] < 60


def test_without_an_index_nothing_is_screened_and_the_command_is_named(tmp_path: Path) -> None:
    with serving(tmp_path, ready="/health/live") as service:
        response = screen(service.client, "a")
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert "scripts/reindex.py" in response.json()["detail"]
        assert service.client.get("/health/ready").status_code == 503
        # Adding references is possible all the same, and a build in another process is followed.
        added = add_reference(service.client, product(1))
        assert added.status_code == 201
        assert screen(service.client, "a").status_code == 503
        done = script("reindex.py", home=tmp_path)
        assert done.returncode == 0, done.stderr
        deadline = time.monotonic() + 60
        while service.client.get("/health/ready").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.2)
        answer = screen(service.client, "a").json()
        assert (answer["disposition"], answer["reasons"][0]["code"]) == ("review", "not_calibrated")


def test_an_index_whose_last_reference_is_gone_answers_503_and_not_clear(tmp_path: Path) -> None:
    with serving(tmp_path, ready="/health/live") as service:
        reference = add_reference(service.client, product(1)).json()
        assert script("reindex.py", home=tmp_path).returncode == 0
        service.client.patch(f"/v1/references/{reference['reference_id']}", json={"state": "retired"})
        deadline = time.monotonic() + 60
        while service.client.get("/v1/index").json()["version"] is None and time.monotonic() < deadline:
            time.sleep(0.2)
        response = screen(service.client, "a")
        assert response.status_code == 503
        assert "no active reference" in response.json()["detail"]


def test_a_damaged_version_is_refused_with_a_warning_and_the_one_before_serves(sample_copy: Path) -> None:
    with serving(sample_copy) as service:
        before = service.client.get("/v1/index").json()["version"]
        # The server waits for its turn to load, so that the version can be damaged before.
        with (sample_copy / "index" / TURN_FILE).open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            assert script("reindex.py", home=sample_copy).returncode == 0
            eventually(lambda: service.client.get("/v1/index").json()["loading"] is not None)
            refused = service.client.get("/v1/index").json()["current_version"]
            assert "imagescreen_index_loading 1.0" in service.client.get("/metrics").text
            vectors = sample_copy / "index" / "versions" / refused / "vectors.f32"
            content = bytearray(vectors.read_bytes())
            content[-1] ^= 1
            vectors.write_bytes(content)
        eventually(lambda: service.client.get("/v1/index").json()["problem"] is not None)
        index = service.client.get("/v1/index").json()
        assert (index["version"], refused in index["problem"]) == (before, True)
        assert [refused in process["problem"] for process in index["processes"] if process["answering"]] == [True]
        ready = service.client.get("/health/ready")
        assert ready.status_code == 200
        assert any(refused in warning for warning in ready.json()["warnings"])
        assert "imagescreen_index_problem 1.0" in service.client.get("/metrics").text
        assert screen(service.client, "meanwhile", HELD).json()["index"]["version"] == before
    with serving(sample_copy) as service:
        ready = service.client.get("/health/ready").json()
        assert any(refused in warning and before in warning for warning in ready["warnings"])
        assert screen(service.client, "after a restart", HELD).json()["index"]["version"] == before
    shutil.rmtree(sample_copy / "index")
    with serving(sample_copy, ready="/health/live") as service:
        ready = service.client.get("/health/ready")
        assert ready.status_code == 503
        assert any(refused in problem for problem in ready.json()["problems"])
        assert screen(service.client, "without any", HELD).status_code == 503


def test_a_server_that_cannot_take_changes_for_ten_seconds_is_not_ready(sample_copy: Path) -> None:
    with serving(sample_copy, ready_check_s="1") as service:
        added = add_reference(service.client, product(1)).json()
        with sqlite3.connect(sample_copy / "data" / "imagescreen.sqlite3", timeout=30) as connection:
            connection.execute(
                "UPDATE reference_vector SET vector = x'00' WHERE reference_picture_id = ?",
                (added["pictures"][0]["reference_picture_id"],),
            )
        changed = service.client.patch(f"/v1/references/{added['reference_id']}", json={"notes": "changed"})
        assert changed.status_code == 200
        eventually(lambda: service.client.get("/health/ready").status_code == 503)
        (problem,) = service.client.get("/health/ready").json()["problems"]
        assert "change feed" in problem
        index = service.client.get("/v1/index").json()
        (own,) = [process for process in index["processes"] if process["answering"]]
        assert own["behind_entries"] == 1
        assert own["behind_s"] > 10
        assert index["problem"] is not None


def test_metrics_tell_stages_dispositions_and_the_index(sample_service: Service) -> None:
    screen(sample_service.client, "metrics", HELD)
    text = sample_service.client.get("/metrics").text
    for line in (
        'imagescreen_stage_seconds_count{stage="decode"}',
        'imagescreen_stage_seconds_count{stage="embed"}',
        'imagescreen_stage_seconds_count{stage="search"}',
        'imagescreen_screenings_total{disposition="hold"}',
        "imagescreen_index_references",
        "imagescreen_feed_behind_seconds",
        "imagescreen_index_changes",
        "imagescreen_index_switch_seconds",
        f'imagescreen_index_version_info{{index_type="exact",model="{BUILT_IN_MODEL}"',
        "imagescreen_server_processes 1.0",
        'imagescreen_http_requests_total{app_name="imagescreen",method="POST",path="/v1/screenings"',
    ):
        assert line in text


def test_what_is_promised_and_expected_is_told_with_its_support(sample_service: Service) -> None:
    eventually(lambda: sample_service.client.get("/v1/index").json()["drift"] is not None)
    index = sample_service.client.get("/v1/index").json()
    thresholds, drift = index["thresholds"], index["drift"]
    assert (thresholds["packages"], thresholds["divided_review"], thresholds["divided_hold"]) == (1000, True, False)
    assert sum(thresholds["shares"].values()) == 1
    assert index["normalisation"] is None and index["thresholds_keep_policy"] is True
    review = thresholds["total"]["review"]
    assert review["interval"]["low"] <= review["measured"] <= review["promised"] == drift["review"]["promised"] == 0.01
    assert drift["review"]["at_build"] == review["measured"]
    exposition = sample_service.client.get("/metrics").text
    assert 'imagescreen_expected_rate{level="review"}' in exposition and "imagescreen_rates_moved" in exposition


def test_logs_are_one_json_object_a_line_with_a_request_id_and_without_bodies(sample_service: Service) -> None:
    secret = "Seller-7d1f-name"
    response = screen(sample_service.client, "logged", HELD, seller={"name": secret})
    wrong = screen(sample_service.client, "logged", HELD, seller={"name": secret, "x": 1})
    assert (response.status_code, wrong.status_code) == (201, 422)
    lines = [json.loads(line) for line in sample_service.log().splitlines()]
    (told,) = [line for line in lines if line.get("request_id") == response.headers["x-request-id"]]
    assert (told["method"], told["path"], told["status"]) == ("POST", "/v1/screenings", 201)
    assert told["elapsed_ms"] > 0
    assert secret not in sample_service.log()


def test_accepted_requests_are_finished_before_the_server_ends(sample_copy: Path) -> None:
    with serving(sample_copy) as service:
        answers: list[int] = []
        refused: list[Exception] = []

        def send(number: int) -> None:
            try:
                with httpx.Client(base_url=service.url, timeout=60) as client:
                    answers.append(screen(client, f"last {number}", HELD).status_code)
            except httpx.TransportError as error:
                refused.append(error)

        threads = [threading.Thread(target=send, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        while not answers and not refused:
            time.sleep(0.01)
        service.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert service.process.wait(60) == 0
    # Each was answered whole, or never accepted; none was cut off half-way.
    assert set(answers) == {201}
    assert all(isinstance(error, httpx.ConnectError | httpx.ReadError | httpx.RemoteProtocolError) for error in refused)
    with serving(sample_copy) as again:
        stored = again.client.get("/v1/screenings", params={"limit": 100}).json()["items"]
        assert len([row for row in stored if row["package_id"].startswith("last")]) == len(answers)


def test_what_was_acknowledged_is_there_after_a_restart(sample_copy: Path) -> None:
    with serving(sample_copy) as service:
        first = screen(service.client, "kept", HELD)
        service.process.kill()
        service.process.wait()
    with serving(sample_copy) as again:
        repeated = screen(again.client, "kept", HELD)
        assert (repeated.status_code, repeated.json()) == (200, first.json())


def test_a_sender_that_is_too_slow_is_told_so_and_others_are_served(sample_copy: Path) -> None:
    with serving(sample_copy, body_timeout_s="1", max_concurrent_requests="2") as service:
        host, port = service.client.base_url.host, service.client.base_url.port
        head = (
            b"POST /v1/screenings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        slow = [socket.create_connection((host, port or 80), timeout=60) for _ in range(4)]
        for connection in slow:
            connection.sendall(head)
        assert screen(service.client, "quick").status_code == 201
        for connection in slow:
            assert connection.recv(4096).startswith(b"HTTP/1.1 408")
            connection.close()


def test_what_cannot_be_started_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "imagescreen.sqlite3").write_bytes(b"no database at all" * 100)
    (tmp_path / "policy.toml").write_text("[rates")
    other = tmp_path / "other"
    for home, settings, named in (
        (tmp_path, {}, "SQLite"),
        (other, {"database_url": "nonsense"}, "URL"),
        (other, {"policy_file": str(tmp_path / "policy.toml")}, "policy"),
        (other, {"model": "no-such-model"}, "no-such-model"),
    ):
        done = script("serve.py", "--port", "0", home=home, **settings)
        assert done.returncode == 1, done.stderr
        assert named in done.stderr
        assert "Traceback" not in done.stderr


def test_another_address_than_loopback_needs_to_be_allowed_and_is_logged(tmp_path: Path) -> None:
    refused = script("serve.py", "--host", "0.0.0.0", home=tmp_path)
    assert refused.returncode == 2
    assert "ALLOW_UNAUTHENTICATED" in refused.stderr
    assert "Traceback" not in refused.stderr
    with serving(tmp_path, "--host", "0.0.0.0", ready="/health/live", allow_unauthenticated="true") as service:
        assert "serving_without_accounts" in service.log()
