"""Runs the application: its sockets, its one process or its workers, and their end.

What is only needed where requests are served is imported there: the supervisor of workers loads no model.
"""

import errno
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import structlog
from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess, Process

from imagescreen.api.logs import configure_logs
from imagescreen.api.worker_metrics import forget_worker, workers_folder
from imagescreen.database.migrate import migrate
from imagescreen.database.session import Database
from imagescreen.errors import BrokenInstallation, ImagescreenError
from imagescreen.jobs.current_model import require_servable
from imagescreen.runtime import keep_freed_memory
from imagescreen.settings import Settings

HEALTH_CHECK_S = 30
"""A worker that does not answer its supervisor for so long is ended and replaced; a busy one may be slow to."""

RESTART_PAUSE_S = 1.0

_KILLED_AT_START = 3
"""So often a first worker may be ended by a signal, before one was seen serving, until the server gives up."""

_LOOK_S = 0.1
CLOSE_S = 15.0
"""Beyond `shutdown_grace_s`: what the end of a worker may take besides its requests."""

_THREADS = ("torch_threads", "faiss_threads", "decode_threads")


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or Ctrl-C.

    Raises BrokenInstallation when the address, the database, the policy or the model cannot be used.
    """
    configure_logs(settings)
    _check_database(settings)
    with _bound(settings.host, settings.port) as sockets:
        if settings.workers == 1:
            with _server(settings) as server:
                _run(server, sockets)
        else:
            _serve_with_workers(settings, sockets)


def _check_database(settings: Settings) -> None:
    """Once, before there are several processes that would each want to bring it up to date, or say what is wrong."""
    database = Database(settings.sqlalchemy_url)
    try:
        migrate(database)
        require_servable(database, settings)
    finally:
        database.close()


def _serve_with_workers(settings: Settings, sockets: list[socket.socket]) -> None:
    with workers_folder() as folder:
        supervisor = _Supervisor(settings, sockets, folder)
        supervisor.run()
    if supervisor.failed:
        # The worker has said why.
        sys.exit(1)


@contextmanager
def _server(settings: Settings) -> Iterator[Server]:
    """The application with everything open, and a signal handler that ends it in good order."""
    from imagescreen.app import create_app
    from imagescreen.jobs.workbench import open_workbench

    keep_freed_memory()
    # uvicorn hands these signals on when it has finished; then everything is closed, and the exit code is 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    with open_workbench(settings) as bench:
        yield Server(
            Config(
                create_app(settings, bench),
                log_config=None,
                access_log=False,
                server_header=False,
                # Nothing here asks who called.
                proxy_headers=False,
                timeout_graceful_shutdown=settings.shutdown_grace_s,
            )
        )


def _run(server: Server, sockets: list[socket.socket]) -> None:
    log = structlog.get_logger("imagescreen.server")
    for each in sockets:
        host, port = each.getsockname()[:2]
        log.info("listening", host=host, port=port)
    try:
        server.run(sockets)
    except OSError as error:
        raise BrokenInstallation(f"the server cannot listen: {error.strerror}") from error
    if not server.started:
        raise BrokenInstallation("the server did not start; the log says why")


def _end(_number: int, _frame: object) -> None:
    sys.exit(0)


@contextmanager
def _bound(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Sockets on every address of `host`, taken before the model is loaded, and not yet listening."""
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                bound = stack.enter_context(socket.socket(family, kind, protocol))
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                try:
                    bound.bind(address)
                except OSError as error:
                    # `localhost` may name an IPv6 address that the machine does not have.
                    if error.errno != errno.EADDRNOTAVAIL:
                        raise
                else:
                    sockets.append(bound)
        except OSError as error:
            raise BrokenInstallation(f"the server cannot listen on {host}, port {port}: {error.strerror}") from None
        if not sockets:
            raise BrokenInstallation(f"the server cannot listen on {host}: it is no address of this machine")
        yield sockets


class _Worker(Process):
    """One of several server processes on the same sockets."""

    def __init__(self, settings: Settings, config: Config, sockets: list[socket.socket]) -> None:
        self._settings = settings
        self._started = False
        super().__init__(config, sockets)

    @property
    def server(self) -> Server:
        return self._server or Server(self.config)

    def _healthcheck(self, timeout: float) -> bool | None:
        """As uvicorn's, but the latest answer counts, and a worker that dies while it is asked is noticed at once."""
        answer: bool | None = None
        with suppress(OSError, EOFError):
            self.parent_conn.send(b"ping")
            wait([self.parent_conn, self.process.sentinel], timeout)
            while self.parent_conn.poll():
                answer = bool(self.parent_conn.recv())
        return answer

    def is_alive(self, timeout: float = HEALTH_CHECK_S) -> bool:
        """A worker that has not started yet cannot always answer: it imports and loads."""
        self._started = self._started or self.is_ready(_LOOK_S)
        return self.process.is_alive() and (not self._started or self.ping(timeout))

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """What runs in the new process."""
        threading.Thread(target=self.always_pong, daemon=True).start()
        threading.Thread(target=_end_with_parent, daemon=True).start()
        configure_logs(self._settings)
        try:
            with _server(_share_of(self._settings)) as server:
                self._server = server
                _run(server, sockets or [])
        except ImagescreenError as error:
            structlog.get_logger("imagescreen.server").error("cannot_start", error=error.detail)
            sys.exit(STARTUP_FAILURE)


class _Supervisor(Multiprocess):
    """Keeps so many workers running. The first one starts alone, so that what is wrong is said once.

    `failed` tells that no worker could be started.
    """

    def __init__(self, settings: Settings, sockets: list[socket.socket], metrics_folder: Path) -> None:
        config = Config(
            "imagescreen.app:create_app",
            factory=True,
            workers=settings.workers,
            log_config=None,
            timeout_worker_healthcheck=HEALTH_CHECK_S,
        )
        super().__init__(config, sockets)
        for number in set(SIGNALS) - {signal.SIGINT, signal.SIGTERM}:
            signal.signal(number, signal.SIG_DFL)
        self.failed = False
        self._new_worker = partial(_Worker, settings, config, sockets)
        self._metrics_folder = metrics_folder
        self._grace_s = settings.shutdown_grace_s + CLOSE_S
        self._served = False
        self._killed_at_start = 0
        self._log = structlog.get_logger("imagescreen.server")

    def init_processes(self) -> None:
        self._start_worker()

    def keep_subprocess_alive(self) -> None:
        self._served = self._served or any(worker.is_ready(_LOOK_S) for worker in self.processes)
        for worker in list(self.processes):
            if worker.is_alive():
                continue
            self._bury(worker)
            if self._ends_the_same_way(worker):
                self.failed = True
                self.should_exit.set()
                return
            self._log.error("worker_died", pid=worker.pid, exit_code=worker.exitcode)
            self.should_exit.wait(RESTART_PAUSE_S)
        while len(self.processes) < (self.processes_num if self._served else 1):
            self._start_worker()

    def join_all(self) -> None:
        for worker in self.processes:
            worker.process.join(self._grace_s)
            if worker.process.is_alive():
                self._log.error("worker_killed", pid=worker.pid, hint="it did not end in time")
                worker.process.kill()
                worker.process.join()

    def _start_worker(self) -> None:
        worker = self._new_worker()
        worker.start()
        self.processes.append(worker)

    def _ends_the_same_way(self, worker: Process) -> bool:
        """Whether another worker in the place of one that has ended would end like it, for ever."""
        if worker.exitcode == STARTUP_FAILURE:
            return not any(other.process.is_alive() for other in self.processes)
        if self._served:
            return False
        # One that was killed may have begun to serve before anybody looked.
        self._killed_at_start += (worker.exitcode or 0) < 0
        return (worker.exitcode or 0) >= 0 or self._killed_at_start > _KILLED_AT_START

    def _bury(self, worker: Process) -> None:
        worker.kill()
        worker.join()
        self.processes.remove(worker)
        if worker.pid is not None:
            forget_worker(worker.pid, self._metrics_folder)


def _share_of(settings: Settings) -> Settings:
    """The settings of one worker: threads that are not told share the cores evenly."""
    from imagescreen.embedding.hardware import available_cores

    share = max(1, available_cores() // settings.workers)
    return settings.model_copy(update={name: share for name in _THREADS if not getattr(settings, name)})


def _end_with_parent() -> None:
    """A supervisor that was killed cannot end its workers: they end by themselves, in good order."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
