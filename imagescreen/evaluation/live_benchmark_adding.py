"""How much slower scoring is while a script adds references on the same machine."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from imagescreen.evaluation.deployment import Deployment, Progress, Server, drawn_picture
from imagescreen.evaluation.http_load import LoadResult, Request, form, multipart, run_load
from imagescreen.evaluation.listing_photos import as_another_file, drawn_photos
from imagescreen.evaluation.reindex_benchmark import BenchmarkFailed

PHOTOS = 24
CLIENTS = 4
WARM_S = 5.0
BEGINNING = 24
"""References that are there from the start: an empty index answers nothing."""


@dataclass(slots=True)
class Adding:
    """Windows of the same length without and with the script at work, in turn; `added` references in `adding_s`."""

    without: list[LoadResult] = field(default_factory=list)
    meanwhile: list[LoadResult] = field(default_factory=list)
    added: int = 0
    adding_s: float = 0.0


def measure_adding(
    deployment: Deployment, *, references: int, rounds: int, seconds: float, progress: Progress
) -> Adding:
    """Packages are screened in a closed loop all the time; in each round a script adds its part of the references."""
    folders = _draw(deployment.home / "pictures", references, rounds, progress)
    measured = Adding()
    with deployment.servers(1, ready="/health/live") as (server,):
        for number in range(BEGINNING):
            facts = json.dumps({"title": f"first {number}", "category": "counterfeit"}).encode()
            picture = drawn_picture(references + number)
            server.call("POST", "/v1/references", *multipart({"reference": facts}, {"a.jpg": picture}))
        deployment.run("reindex.py")
        _wait_for_version(server)
        make = _submissions(drawn_photos(PHOTOS))
        run_load(server.url, make, clients=CLIENTS, seconds=WARM_S)
        window = partial(run_load, server.url, make, clients=CLIENTS, seconds=seconds)
        for done, folder in enumerate(folders):
            measured.without.append(window())
            _add(deployment, server, folder, window, measured)
            progress("adding references", done + 1, rounds)
        measured.without.append(window())
    if not measured.meanwhile:
        raise BenchmarkFailed(f"the script was done within a window of {seconds:g} s: add more references")
    return measured


def _add(
    deployment: Deployment, server: Server, folder: Path, window: Callable[[], LoadResult], measured: Adding
) -> None:
    command = [sys.executable, str(deployment.scripts / "add_references.py"), str(folder), "--category", "counterfeit"]
    before = server.get("/v1/index")["references"]
    started = time.monotonic()
    log = deployment.home / "add_references.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own script
            command, env=deployment.environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        while process.poll() is None and server.get("/v1/index")["references"] == before:
            time.sleep(0.1)
        # Only windows that the script worked through count.
        while process.poll() is None:
            result = window()
            if process.poll() is None:
                measured.meanwhile.append(result)
    finally:
        process.terminate()
        process.wait()
    if process.returncode:
        told = log.read_text(encoding="utf-8", errors="replace")[-500:]
        raise BenchmarkFailed(f"add_references.py ended with {process.returncode}: {told}")
    measured.adding_s += time.monotonic() - started
    measured.added += len(list(folder.iterdir()))


def _draw(folder: Path, references: int, rounds: int, progress: Progress) -> list[Path]:
    """One folder of pictures a round, drawn on every core."""
    folders = [folder / f"{number:02d}" for number in range(rounds)]
    for each in folders:
        each.mkdir(parents=True)
    paths = [folders[number % rounds] / f"{number:06d}.jpg" for number in range(references)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        for number, picture in enumerate(pool.map(drawn_picture, range(references), chunksize=64)):
            paths[number].write_bytes(picture)
            if number % 64 == 0 or number + 1 == references:
                progress("drawing pictures", number + 1, references)
    return folders


def _submissions(photos: list[bytes]) -> Callable[[int], Request]:
    """Packages of one photo, each another file, so that every one is decoded, embedded and recorded."""

    def make(number: int) -> Request:
        photo = as_another_file(photos[number % len(photos)], time.time_ns())
        package = json.dumps({"package_id": f"{number}-{time.time_ns()}"}).encode()
        body, content_type = form({"package": package}, {"photo.jpg": photo})
        return Request("/v1/screenings", body, content_type)

    return make


def _wait_for_version(server: Server) -> None:
    while server.get("/v1/index")["version"] is None:
        time.sleep(0.1)
