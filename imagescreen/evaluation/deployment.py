"""Server processes on one database, started and spoken to as a deployment does, for the benchmarks of a live index."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagescreen.database.index_versions import activate_version, current_activation
from imagescreen.database.migrate import migrate
from imagescreen.database.session import Database
from imagescreen.embedding.manifest import installed_fingerprint
from imagescreen.embedding.registry import entry_of
from imagescreen.evaluation.http_load import multipart
from imagescreen.evaluation.reindex_benchmark import BenchmarkFailed, fill
from imagescreen.references.sample.rendered import jpeg_bytes, render_product
from imagescreen.settings import BUILT_IN_MODEL, ENV_PREFIX

PICTURE_SIZE = (240, 300)
_FIRST_SEED = 700_000
_TIMEOUT_S = 300.0
"""Only ends a hang."""

Progress = Callable[[str, int, int], None]


def drawn_picture(number: int) -> bytes:
    """A small JPEG of a product; another number is another product."""
    return jpeg_bytes(render_product(_FIRST_SEED + number, size=PICTURE_SIZE).image)


@dataclass(frozen=True, slots=True)
class Server:
    """One server process."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Any:
        return self.call("GET", path)[1]

    def call(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Status and decoded answer of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body, {"Content-Type": content_type})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None
        finally:
            connection.close()

    def matched_pictures(self, picture: bytes) -> set[int]:
        """The reference pictures that a picture matches, by a real request. Raises BenchmarkFailed when that fails."""
        status, answer = self.call("POST", "/v1/matches", *multipart({}, {"a.jpg": picture}))
        if status != 200:
            raise BenchmarkFailed(f"a request for matches was answered with {status}: {answer}")
        return {match["reference_picture_id"] for match in answer["pictures"][0]["matches"]}


@dataclass(frozen=True, slots=True)
class Deployment:
    """A folder with a database and an index of its own, and the scripts that work on it."""

    home: Path
    scripts: Path
    weights_dir: Path
    model: str = BUILT_IN_MODEL

    def environment(self, **settings: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        ours = {
            "data_dir": str(self.home / "data"),
            "index_dir": str(self.home / "index"),
            "weights_dir": str(self.weights_dir),
            "model": self.model,
            "log_level": "warning",
            # Versions come and go when the benchmark says so.
            "fold_changes": "0",
            "keep_versions": "100",
        }
        return inherited | {f"{ENV_PREFIX}{name.upper()}": value for name, value in (ours | settings).items()}

    def run(self, script: str, *arguments: str, **settings: str) -> str:
        """What a script prints. Raises BenchmarkFailed when it fails."""
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, str(self.scripts / script), *arguments],
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchmarkFailed(f"{script} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout

    @contextmanager
    def database(self) -> Iterator[Database]:
        database = Database(f"sqlite:///{self.home / 'data' / 'imagescreen.sqlite3'}")
        try:
            yield database
        finally:
            database.close()

    def fill(self, pictures: int, progress: Progress) -> None:
        """So many synthetic reference pictures, in an empty database."""
        with self.database() as database:
            migrate(database)
            fill(
                database,
                pictures=pictures,
                ordinary=0,
                fingerprint=installed_fingerprint(self.model, self.weights_dir),
                dimension=entry_of(self.model, self.weights_dir).dimension,
                progress=progress,
            )

    def build(self) -> str:
        """Builds a version, makes it current, and names it."""
        self.run("reindex.py")
        with self.database() as database, database.read() as session:
            current = current_activation(session)
        if current is None:
            raise BenchmarkFailed("the index was not built")
        return current.version

    def activate(self, version: str) -> None:
        """As a rollback does, without the check before it: the servers check for themselves."""
        with self.database() as database, database.write() as session:
            activate_version(session, version, actor="benchmark")

    @contextmanager
    def servers(self, count: int, ready: str = "/health/ready", **settings: str) -> Iterator[list[Server]]:
        """Starts `count` servers, each on a port of its own, and waits until `ready` answers 200 on every one."""
        with ExitStack() as stack:
            started = [stack.enter_context(self._server(number, settings)) for number in range(count)]
            for server in started:
                self._wait_for(server, ready)
            yield started

    @contextmanager
    def _server(self, number: int, settings: Mapping[str, str]) -> Iterator[Server]:
        port = free_port()
        self.home.mkdir(parents=True, exist_ok=True)
        with self._log(number).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, str(self.scripts / "serve.py"), "--port", str(port)],
                env=self.environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        with ended_after(process):
            yield Server(process, port)

    def _wait_for(self, server: Server, path: str) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline and server.process.poll() is None:
            try:
                if server.call("GET", path)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        logs = sorted(self.home.glob("server-*.log"))
        told = "".join(log.read_text(encoding="utf-8", errors="replace")[-500:] for log in logs)
        raise BenchmarkFailed(f"a server was not ready: {told}")

    def _log(self, number: int) -> Path:
        return self.home / f"server-{number}.log"


@contextmanager
def ended_after(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Ends a process with the block, by force when asking does not help."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
