"""Real parts for all tests: the built-in model, FAISS, SQLite, and server processes that are spoken to over HTTP."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from imagescreen.jobs.first_start import prepare_sample
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.settings import Settings

ROOT = Path(__file__).parent.parent
PHOTOS_VARIABLE = "IMAGESCREEN_TEST_PHOTOS"
START_DEADLINE_S = 120.0
"""Only ends a hang: a start takes seconds."""


SLOWEST = ("torture", "live")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left with one of them when the others are done."""
    items.sort(key=lambda item: item.path.parent.name not in SLOWEST)


@dataclass(frozen=True, slots=True)
class Service:
    """A running server process, and a client that knows its address."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    home: Path
    url: str

    def log(self) -> str:
        return (self.home / "server.log").read_text(encoding="utf-8", errors="replace")


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a process of ours: everything it writes lies under `home`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IMAGESCREEN_")}
    ours = {
        "data_dir": str(home / "data"),
        "index_dir": str(home / "index"),
        "weights_dir": str(ROOT / "weights"),
        # Several processes share the cores here, and threads of torch that wait for each other crawl then.
        "torch_threads": "1",
    }
    return inherited | {f"IMAGESCREEN_{name.upper()}": value for name, value in (ours | settings).items()}


@contextmanager
def serving(home: Path, *arguments: str, ready: str = "/health/ready", **settings: str) -> Iterator[Service]:
    """Starts `scripts/serve.py` on `home`, waits until `ready` answers 200, and ends it as an operator would."""
    with started(home, *arguments, **settings) as service:
        wait_until_ready(service, ready)
        yield service


@contextmanager
def started(home: Path, *arguments: str, **settings: str) -> Iterator[Service]:
    """As `serving`, without waiting for anything."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "serve.py"), "--port", str(port), *arguments],
            env=environment(home, **settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            yield Service(process, client, home, url)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(service: Service, path: str) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            pytest.fail(f"the server ended with {service.process.returncode}:\n{service.log()[-4000:]}")
        try:
            if service.client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the server was not ready in time:\n{service.log()[-4000:]}")


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The sample catalogue, enrolled, calibrated and indexed by the real job. Copy it, do not change it."""
    if worker_id == "master":
        home = tmp_path_factory.mktemp("sample")
        _make_sample(home)
        return home
    # Whichever of the workers needs it first makes it for all.
    home = tmp_path_factory.getbasetemp().parent / "sample"
    with FileLock(home.with_suffix(".lock")):
        if not home.exists():
            unfinished = home.with_suffix(".unfinished")
            _make_sample(unfinished)
            unfinished.rename(home)
    return home


def _make_sample(home: Path) -> None:
    with open_workbench(settings_of(home)) as bench:
        prepare_sample(bench)


def settings_of(home: Path, **settings: object) -> Settings:
    ours = {"data_dir": home / "data", "index_dir": home / "index", "weights_dir": ROOT / "weights"}
    return Settings(**(ours | settings))  # type: ignore[arg-type]


@pytest.fixture
def sample_copy(sample_home: Path, tmp_path: Path) -> Path:
    """A copy of the sample that a test may change."""
    return Path(shutil.copytree(sample_home, tmp_path / "home"))


@pytest.fixture(scope="session")
def sample_service(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server on a copy of the sample, shared by tests that only add to it."""
    home = Path(shutil.copytree(sample_home, tmp_path_factory.mktemp("shared") / "home"))
    with serving(home) as service:
        yield service


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """An empty catalogue in this process."""
    with open_workbench(settings_of(tmp_path)) as opened:
        yield opened


@pytest.fixture
def sample_bench(sample_copy: Path) -> Iterator[Workbench]:
    """The sample catalogue in this process."""
    with open_workbench(settings_of(sample_copy)) as opened:
        yield opened


@pytest.fixture(scope="session")
def photos_dir() -> Path:
    """The folder of real photographs; without it the test says that it was skipped and why."""
    folder = os.environ.get(PHOTOS_VARIABLE)
    if not folder:
        pytest.skip(f"{PHOTOS_VARIABLE} is not set: no real photographs to test on")
    return Path(folder)


def script(name: str, *arguments: str | Path, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a script as an operator would."""
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)],
        env=environment(home, **settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
