"""Starts our scripts in a tenth of the time: each is forked from a process that has imported the libraries already.

Importing torch takes longer than everything that a script does with a small catalogue, so most kills at a random moment
would hit an import. What is forked runs the script's file as `__main__`, in a process group and with an environment of
its own; it is as real as if a shell had started it. Run as `python -m tests.torture.forks` this is the process that
forks: it has one thread, so forking it is safe.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class Started:
    """A process that `Forks` started, the leader of its group."""

    def __init__(self, forks: "Forks", pid: int, log: Path) -> None:
        self._forks = forks
        self._exit_code: int | None = None
        self.pid = pid
        self.log = log

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._exit_code is None:
            self._exit_code = self._forks.ask({"poll": self.pid})
        return self._exit_code

    def kill(self) -> None:
        """SIGKILL to it alone."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def kill_group(self) -> None:
        """SIGKILL to it and to everything it started."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)

    def children(self, part: str) -> list[int]:
        """The processes it started that have `part` in their command line."""
        found: list[int] = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.pid and part in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
            except OSError:
                # It has ended since the list was made.
                continue
        return found

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


class Forks:
    """The process that forks, spoken to over its standard input and output.

    Whatever still runs at the end is killed.
    """

    def __enter__(self) -> Self:
        self._lock = Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.forks"],
            cwd=ROOT,
            # OpenBLAS would start its threads as soon as numpy is imported.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._answer() != "ready":
            raise RuntimeError("the process that forks did not start: its error is above")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def start(self, script: str, *arguments: str | Path, environment: Mapping[str, str], log: Path) -> Started:
        """Runs a script of `scripts/`; its output is appended to `log`."""
        log.touch()
        order = {
            "script": str(ROOT / "scripts" / script),
            "arguments": [str(argument) for argument in arguments],
            "environment": dict(environment),
            "log": str(log),
        }
        return Started(self, self.ask({"start": order}), log)

    def ask(self, order: Mapping[str, Any]) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


def main() -> None:
    _import_everything()
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads != 1:
        raise RuntimeError(f"{threads} threads run after the imports: forking would not be safe")
    running: dict[int, bool] = {}
    _tell("ready")
    try:
        for line in sys.stdin:
            order = json.loads(line)
            if "poll" in order:
                _tell(_exit_code(order["poll"], running))
                continue
            pid = os.fork()
            if pid == 0:
                running.clear()
                _become(order["start"])
                return
            # Also here, so that the group is there when its first signal is sent.
            os.setpgid(pid, pid)
            running[pid] = True
            _tell(pid)
    finally:
        for pid in running:
            # One that was killed, and never asked for again, may have no group any more.
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _import_everything() -> None:
    import importlib
    import pkgutil

    import imagescreen.app
    import imagescreen.jobs
    from imagescreen.embedding.libraries import import_open_clip

    import_open_clip()
    importlib.import_module("uvicorn")
    for module in pkgutil.iter_modules(imagescreen.jobs.__path__, "imagescreen.jobs."):
        importlib.import_module(module.name)


def _become(order: dict[str, Any]) -> None:
    os.setpgid(0, 0)
    os.environ.clear()
    os.environ.update(order["environment"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, file in enumerate((nothing, log, log)):
        os.dup2(file, number)
    script = order["script"]
    sys.argv = [script, *order["arguments"]]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


def _exit_code(pid: int, running: dict[int, bool]) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    del running[pid]
    return os.waitstatus_to_exitcode(status)


def _tell(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
