"""How fast the whole service is over HTTP, beside its bare parts and the straightforward service, in one run."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from sqlalchemy import func, select

from imagescreen.database.tables import ScreeningRow
from imagescreen.evaluation.deployment import Deployment, ended_after, free_port
from imagescreen.evaluation.http_load import LoadResult, Request, form, run_load, without_search_for_garbage
from imagescreen.evaluation.listing_photos import as_another_file
from imagescreen.evaluation.overload import Overload, measure_overload
from imagescreen.evaluation.reindex_benchmark import BenchmarkFailed
from imagescreen.runtime import OPENMP_WAITING

START_DEADLINE_S = 300.0
"""Only ends a hang."""

# There are no thresholds for synthetic references, so every package is reviewed; keeping its pictures would measure the
# disk.
SETTINGS = {"random_weights": "true", "keep_pictures": "none"}
BATCHES = (1, 8, 32)
CLIENTS = (1, 4, 16, 64)
STRAIGHTFORWARD_CLIENTS = (1, 16)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured. `seconds` is the length of one measurement, `rounds` how often the sides alternate, and
    `overload_s` the length of an overload after them, 0 for none.
    """

    home: Path
    scripts: Path
    weights_dir: Path
    model: str
    photos: Sequence[bytes]
    references: int
    rounds: int
    seconds: float
    workers: int
    cached_pictures: int | None = None
    overload_s: float = 0.0


@dataclass(slots=True)
class Figures:
    """Every measurement of every round: rates are pictures a second, memory MiB."""

    device: str = ""
    dtype: str = ""
    encode: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    decode: list[float] = field(default_factory=list)
    cold: dict[int, list[LoadResult]] = field(default_factory=lambda: defaultdict(list))
    repeated: dict[int, list[LoadResult]] = field(default_factory=lambda: defaultdict(list))
    straightforward: dict[int, list[LoadResult]] = field(default_factory=lambda: defaultdict(list))
    resident_mib: float = 0.0
    overload: Overload | None = None

    def bound(self, cores: int) -> float:
        """Pictures a second when nothing but encoding (at batch 32) and scaled decoding took time."""
        return 1 / (1 / median(self.encode[max(BATCHES)]) + 1 / median(self.decode) / cores)


def measure(plan: Plan, progress: Progress) -> Figures:
    """Starts the service, the straightforward one and the bare parts on loopback, and measures them in turn."""
    figures = Figures()
    with without_search_for_garbage(), ExitStack() as stack:
        deployment = Deployment(plan.home, plan.scripts, plan.weights_dir, plan.model)
        deployment.fill(plan.references, progress)
        deployment.run("reindex.py", **SETTINGS)
        photos = plan.home / "photos"
        photos.mkdir()
        for number, photo in enumerate(plan.photos):
            (photos / f"{number:05d}.jpg").write_bytes(photo)
        (service,) = stack.enter_context(deployment.servers(1, **_settings(plan)))
        straight_url = stack.enter_context(_straightforward(plan))
        bare = stack.enter_context(_bare(plan, photos))
        told = bare("")
        figures.device, figures.dtype = str(told["device"]), str(told["dtype"])
        steps = len(BATCHES) + 1 + 2 * len(CLIENTS) + len(STRAIGHTFORWARD_CLIENTS)
        # Every photo once, so that what is repeated later is known from the first measurement on.
        run_load(service.url, _submissions(plan, "warm", unique=False), clients=4, requests=len(plan.photos))
        for number in range(plan.rounds):
            done = number * steps
            for take in _round(plan, figures, number, _Sides(bare, service.url, straight_url)):
                take()
                done += 1
                progress("measuring", done, plan.rounds * steps)
        figures.resident_mib = _resident_mib(service.process.pid)
        if plan.overload_s:
            progress("overloading", 0, 1)
            figures.overload = measure_overload(
                service.url,
                lambda part: _submissions(plan, part, unique=True),
                recorded=partial(_recorded, deployment),
                resident_mib=partial(_resident_mib, service.process.pid),
                seconds=plan.overload_s,
            )
            progress("overloading", 1, 1)
    return figures


def _settings(plan: Plan) -> dict[str, str]:
    chosen = {} if plan.cached_pictures is None else {"cached_pictures": str(plan.cached_pictures)}
    return SETTINGS | {"workers": str(plan.workers)} | chosen


def _recorded(deployment: Deployment, part: str) -> int:
    with deployment.database() as database, database.read() as session:
        counted = select(func.count()).where(ScreeningRow.package_id.startswith(f"{part}-"))
        return session.scalar(counted) or 0


@dataclass(frozen=True, slots=True)
class _Sides:
    bare: "Callable[[str], Mapping[str, object]]"
    service_url: str
    straightforward_url: str


def _round(plan: Plan, figures: Figures, number: int, sides: _Sides) -> Iterator[Callable[[], None]]:
    """The measurements of one round, in the order in which they are taken."""
    for batch in BATCHES:
        yield partial(_bare_rate, figures.encode[batch], sides, f"encode {batch} {plan.seconds}")
    yield partial(_bare_rate, figures.decode, sides, f"decode {plan.seconds}")
    for clients in CLIENTS:
        for kind, kept in (("cold", figures.cold), ("repeated", figures.repeated)):
            make = _submissions(plan, f"{number}-{clients}-{kind}", unique=kind == "cold")
            yield partial(_load, kept[clients], sides.service_url, make, clients, plan.seconds)
    for clients in STRAIGHTFORWARD_CLIENTS:
        kept_plain = figures.straightforward[clients]
        yield partial(_load, kept_plain, sides.straightforward_url, _plain(plan), clients, plan.seconds)


def _bare_rate(kept: list[float], sides: _Sides, question: str) -> None:
    kept.append(float(str(sides.bare(question)["rate"])))


def _load(kept: list[LoadResult], url: str, make: Callable[[int], Request], clients: int, seconds: float) -> None:
    kept.append(run_load(url, make, clients=clients, seconds=seconds))


def _submissions(plan: Plan, run: str, *, unique: bool) -> Callable[[int], Request]:
    def make(number: int) -> Request:
        photo = plan.photos[number % len(plan.photos)]
        if unique:
            photo = as_another_file(photo, hash((run, number)) & 0xFFFFFFFFFFFF)
        package = json.dumps({"package_id": f"{run}-{number}-{time.time_ns()}"}).encode()
        body, content_type = form({"package": package}, {"photo.jpg": photo})
        return Request("/v1/screenings", body, content_type)

    return make


def _plain(plan: Plan) -> Callable[[int], Request]:
    def make(number: int) -> Request:
        body, content_type = form({}, {"photo.jpg": plan.photos[number % len(plan.photos)]})
        return Request("/screen", body, content_type)

    return make


@contextmanager
def _straightforward(plan: Plan) -> Iterator[str]:
    port = free_port()
    command = [
        *(sys.executable, "-m", "imagescreen.evaluation.straightforward"),
        *("--port", str(port), "--weights-dir", str(plan.weights_dir), "--references", str(plan.references)),
        *("--model", plan.model),
    ]
    log = plan.home / "straightforward.log"
    # As it is for whoever starts such a service: how threads wait is a choice of ours.
    environment = {name: value for name, value in os.environ.items() if name not in OPENMP_WAITING}
    with _process(command, log, environment) as process:
        url = f"http://127.0.0.1:{port}"
        _wait_for(process, f"{url}/ready", log)
        yield url


@contextmanager
def _bare(plan: Plan, photos: Path) -> Iterator["Callable[[str], Mapping[str, object]]"]:
    command = [
        *(sys.executable, "-m", "imagescreen.evaluation.bare"),
        *("--model", plan.model, "--weights-dir", str(plan.weights_dir), "--photos", str(photos)),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 (our own module)
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask(line: str) -> Mapping[str, object]:
            if line:
                stdin.write(line + "\n")
                stdin.flush()
            answer = stdout.readline()
            if not answer:
                raise BenchmarkFailed("the measurement of the bare parts ended early")
            told: Mapping[str, object] = json.loads(answer)
            return told

        try:
            yield ask
        finally:
            stdin.close()
            process.wait(30)


@contextmanager
def _process(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file)  # noqa: S603 (our own)
    with ended_after(process):
        yield process


def _wait_for(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10):  # noqa: S310 (a server of ours)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise BenchmarkFailed(f"a server did not start: {log.read_text(errors='replace').strip()[-500:]}")


def _resident_mib(pid: int) -> float:
    """Of a process and its children, where /proc can tell."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    own = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own / 1024 + sum(_resident_mib(int(child)) for child in children)
