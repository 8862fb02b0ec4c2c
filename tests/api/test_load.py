"""More than the service can take, callers that hang up, and an event loop that is never kept waiting."""

import asyncio
import shutil
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from uvicorn import Config, Server

import imagescreen
from imagescreen.app import create_app
from imagescreen.evaluation.http_load import Request, form, multipart
from imagescreen.evaluation.overload import measure_overload
from imagescreen.jobs.workbench import open_workbench
from tests.api.test_operations import CLEARED, add_reference, eventually, screen
from tests.conftest import Service, serving, settings_of
from tests.material import product

ROOM = {"max_concurrent_requests": "2", "max_waiting_requests": "3"}


@pytest.fixture(scope="module")
def small_service(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With room for five requests."""
    home = Path(shutil.copytree(sample_home, tmp_path_factory.mktemp("small") / "home"))
    with serving(home, **ROOM) as service:
        yield service


def large_png(seed: int) -> bytes:
    file = BytesIO()
    samples = np.random.default_rng(seed).integers(0, 255, (1200, 1200), np.uint8)
    Image.fromarray(samples).save(file, "PNG", compress_level=1)
    return file.getvalue()


def sent_together(service: Service, name: str, *, packages: int, callers: int) -> list[httpx.Response]:
    def send(number: int) -> httpx.Response:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            return screen(client, f"{name}-{number}", product(number))

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(send, range(packages)))


def test_past_its_bound_requests_are_refused_with_a_time_to_try_again_and_the_accepted_are_recorded(
    small_service: Service,
) -> None:
    answers = sent_together(small_service, "load", packages=40, callers=40)
    refused = [answer for answer in answers if answer.status_code != 201]
    assert refused
    for answer in refused:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["type"] == "urn:imagescreen:problem:overloaded"
    for answer in answers:
        if answer.status_code == 201:
            stored = small_service.client.get(answer.headers["location"])
            assert stored.json()["package_id"] == answer.json()["package_id"]
    # It serves as before, at once.
    assert screen(small_service.client, "after").status_code == 201


def test_whoever_waits_too_long_for_a_turn_is_refused_with_a_time_to_try_again(
    sample_home: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(sample_home, tmp_path / "home"))
    room = {"max_concurrent_requests": "1", "max_waiting_requests": "100", "request_timeout_s": "0.1"}
    with serving(home, **room) as service:
        answers = sent_together(service, "patient", packages=120, callers=60)
        refused = [answer for answer in answers if answer.status_code != 201]
        assert {(answer.status_code, answer.headers.get("retry-after")) for answer in refused} == {(503, "1")}
        assert any("waited longer than 0.1 s" in answer.json()["detail"] for answer in refused)
        # Every slot was given back.
        eventually(lambda: screen(service.client, "after").status_code == 201)


def test_four_times_the_load_loses_nothing_that_was_accepted(small_service: Service) -> None:
    def make(part: str) -> Callable[[int], Request]:
        def request(number: int) -> Request:
            body, content_type = form({"package": f'{{"package_id": "{part}-{number}"}}'.encode()}, {"a.jpg": CLEARED})
            return Request("/v1/screenings", body, content_type)

        return request

    def recorded(part: str) -> int:
        with closing(sqlite3.connect(small_service.home / "data" / "imagescreen.sqlite3")) as connection:
            counted = connection.execute("SELECT count(*) FROM screening WHERE package_id LIKE ?", (f"{part}-%",))
            return int(counted.fetchone()[0])

    over = measure_overload(small_service.url, make, recorded=recorded, resident_mib=lambda: 1.0, seconds=2, after_s=1)
    assert over.refused > 0
    assert over.during.good > 0
    assert over.during.good + over.refused == len(over.during.answers)
    assert (over.recorded, over.lost) == (over.during.good, 0)


def test_a_caller_that_hangs_up_is_not_worked_for_and_leaves_no_record(small_service: Service) -> None:
    pictures = {f"{number}.png": large_png(number) for number in range(12)}
    body, content_type = multipart({"package": b'{"package_id": "gone"}'}, pictures)
    address = (small_service.client.base_url.host, small_service.client.base_url.port or 0)
    with socket.create_connection(address) as connection:
        head = f"POST /v1/screenings HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
    eventually(lambda: 'status_code="499"' in small_service.client.get("/metrics").text)
    listed = small_service.client.get("/v1/screenings", params={"package_id": "gone"}).json()
    assert listed["items"] == []


OURS = Path(imagescreen.__file__).parent
BLOCKING_ROOMS = ("calibration", "database", "matching", "pictures", "references", "screening", "embedding", "jobs")
"""Rooms that wait for the disk, for a lock or for the processor: what they do is done in threads."""

LIGHT = {f"Patience.{name}" for name in ("__init__", "left_s", "extend")}
"""The exception: a request's clock is read and set on the event loop. Each is arithmetic on numbers of its own."""

MOST_CALLS_OF_LIGHT = 10
BLOCKING_CALLS = {"fsync", "fdatasync", "sleep", "open", "execute", "commit", "connect", "select", "poll"}


class Watchdog:
    """Sees every call that is made on the event loop's thread, and keeps those that may block it.

    What is taken for light must be: it makes few calls, of whatever kind, and none of those that block.
    """

    def __init__(self) -> None:
        self.blocking: set[str] = set()
        self.calls = 0
        self.light: set[str] = set()
        self._light_frame: FrameType | None = None
        self._calls_of_light = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if self._light_frame is not None:
            self._watch_light(self._light_frame, frame, event)
        where = Path(frame.f_code.co_filename)
        if not where.is_relative_to(OURS):
            return
        if event == "call":
            self.calls += 1
            room, name = where.relative_to(OURS).parts[0], frame.f_code.co_qualname
            if room not in BLOCKING_ROOMS:
                return
            if name not in LIGHT:
                self.blocking.add(f"{where.name}:{name}")
            elif self._light_frame is None:
                self.light.add(name)
                self._light_frame, self._calls_of_light = frame, 0
        elif event == "c_call" and argument.__name__ in BLOCKING_CALLS:
            self.blocking.add(f"{where.name}:{argument.__name__}")

    def _watch_light(self, light: FrameType, frame: FrameType, event: str) -> None:
        if event == "return" and frame is light:
            self._light_frame = None
        elif event in ("call", "c_call"):
            self._calls_of_light += 1
            if self._calls_of_light > MOST_CALLS_OF_LIGHT:
                self.blocking.add(f"{light.f_code.co_qualname} is not light")


def test_nothing_blocks_the_event_loop_while_all_kinds_of_requests_are_served(sample_copy: Path) -> None:
    watchdog = Watchdog()
    loops: list[str] = []
    with open_workbench(settings_of(sample_copy)) as bench, socket.create_server(("127.0.0.1", 0)) as listening:
        config = Config(create_app(bench.settings, bench), log_config=None, access_log=False, proxy_headers=False)
        server = Server(config)

        async def watched() -> None:
            loops.append(type(asyncio.get_running_loop()).__module__)
            sys.setprofile(watchdog)
            try:
                await server.serve([listening])
            finally:
                sys.setprofile(None)

        thread = threading.Thread(target=_run, args=(config, watched))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(4) as callers:
            assert client.get("/health/ready").status_code == 200
            # The start may start threads: nobody is served yet.
            watchdog.blocking.clear()
            sent = list(callers.map(lambda n: screen(client, f"w-{n % 6}", (CLEARED, product(n % 6))[n % 2]), range(8)))
            assert {answer.status_code for answer in sent} <= {200, 201, 409}
            matched = client.post("/v1/matches", files=[("pictures", ("a.jpg", product(3)))])
            assert matched.status_code == 200
            by_json = client.post("/v1/screenings", json={"package": {"package_id": "j"}, "pictures": []})
            assert by_json.status_code == 201
            assert client.post(f"{by_json.headers['location']}/reviews", json={"decision": "unsure"}).is_success
            assert client.get(by_json.headers["location"]).status_code == 200
            assert add_reference(client, product(77)).status_code == 201
            for path in ("/v1/screenings", "/v1/references", "/v1/index", "/v1/index/versions", "/metrics"):
                assert client.get(path).status_code == 200
            assert client.get("/health/live").status_code == 200
        server.should_exit = True
        thread.join(60)
    assert watchdog.calls > 100
    assert not watchdog.blocking
    # Whatever is excepted is there: a list that outlives its reasons would hide what comes under the same name.
    assert watchdog.light == LIGHT
    if sys.platform != "win32":
        assert loops[0].startswith("uvloop")


def _run(config: Config, main: Any) -> None:
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(main())
