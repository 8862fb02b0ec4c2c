"""A server with several worker processes behaves as one."""

import json
import os
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from imagescreen.references.sample.catalogue import held_sample_picture
from tests.conftest import Service, script, serving, started, wait_until_ready

HELD = held_sample_picture()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


APART = {"connection": "close"}
"""Each request on a connection of its own, so that any worker may take it."""


def screen(service: Service, package_id: str) -> httpx.Response:
    package = json.dumps({"package_id": package_id})
    return service.client.post(
        "/v1/screenings",
        files=[("package", (None, package, "application/json")), ("pictures", ("a.jpg", HELD))],
        headers=APART,
    )


def seen(service: Service) -> list[dict[str, Any]]:
    """The processes that reported within the last few seconds."""
    told = service.client.get("/v1/index", headers=APART).json()["processes"]
    return [process for process in told if process["seen_s_ago"] < 6]


def pids(service: Service) -> set[int]:
    return {process["pid"] for process in seen(service)}


def answering(service: Service) -> int:
    (pid,) = [process["pid"] for process in seen(service) if process["answering"]]
    return int(pid)


def held(service: Service) -> int:
    text = service.client.get("/metrics", headers=APART).text
    (count,) = re.findall(r'^imagescreen_screenings_total\{disposition="hold"\} (\S+)$', text, re.MULTILINE)
    return int(float(count))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def workers_of(service: Service) -> set[int]:
    """The worker processes that are there, also those that report nothing yet."""
    parent = service.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_two_workers_serve_count_together_and_come_back_when_killed(sample_copy: Path) -> None:
    with serving(sample_copy, "--workers", "2") as service:
        eventually(lambda: len(pids(service)) == 2)
        first = pids(service)
        assert service.process.pid not in first

        answered = set()
        for _ in range(500):
            answered.add(answering(service))
            if answered == first:
                break
        assert answered == first

        stored = [screen(service, f"package {number}") for number in range(12)]
        assert {response.status_code for response in stored} == {201}
        assert {held(service) for _ in range(20)} == {12}
        text = service.client.get("/metrics", headers=APART).text
        assert re.search(r"^imagescreen_index_version_info\{.*\} 2\.0$", text, re.MULTILINE)

        killed = min(first)
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: len(pids(service) - {killed}) == 2)
        for response in stored:
            kept = service.client.get(response.headers["location"], headers=APART).json()
            assert kept == kept | response.json()
        assert held(service) == 12
        assert screen(service, "another").status_code == 201
        assert held(service) == 13
        last = pids(service) - {killed}

        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
        assert not any(runs(pid) for pid in last)
        with sqlite3.connect(sample_copy / "data" / "imagescreen.sqlite3") as connection:
            rows = connection.execute("SELECT pid FROM server_process").fetchall()
        assert [pid for (pid,) in rows if pid != killed] == []
        assert "Traceback" not in service.log()


def test_a_first_worker_that_is_killed_before_it_was_seen_serving_is_started_again(sample_copy: Path) -> None:
    with started(sample_copy, "--workers", "2") as service:
        eventually(lambda: bool(workers_of(service)))
        killed = workers_of(service)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until_ready(service, "/health/ready")
        eventually(lambda: len(pids(service)) == 2)
        assert not killed & pids(service)


def test_workers_end_when_what_started_them_is_killed(sample_copy: Path) -> None:
    with serving(sample_copy, "--workers", "2") as service:
        eventually(lambda: len(pids(service)) == 2)
        workers = pids(service)
        service.process.kill()
        service.process.wait()
        eventually(lambda: not any(runs(pid) for pid in workers))


def test_what_keeps_workers_from_starting_is_said_once(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "data").mkdir(parents=True)
    (broken / "data" / "imagescreen.sqlite3").write_bytes(b"no database at all" * 100)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for home, where, settings, named in (
            (tmp_path, port, {}, f"port {port}"),
            (broken, "0", {}, "SQLite"),
            (tmp_path, "0", {"model": "no-such-model"}, "no-such-model"),
        ):
            done = script("serve.py", "--workers", "3", "--port", where, home=home, **settings)
            assert done.returncode == 1, done.stderr
            assert done.stderr.count(named) == 1, done.stderr
            assert "Traceback" not in done.stderr
