"""How long a reindex takes: a database of synthetic references, and the script run on it as an operator runs it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, insert, select
from uuid_utils.compat import uuid7

from imagescreen.database.feed import ChangeKind, now
from imagescreen.database.session import Database
from imagescreen.database.tables import (
    Base,
    CalibrationPackagePictureRow,
    CalibrationPackageRow,
    CalibrationPictureRow,
    CalibrationVectorRow,
    ChangeRow,
    ReferencePictureRow,
    ReferenceRow,
    ReferenceVectorRow,
)
from imagescreen.errors import ImagescreenError
from imagescreen.evaluation.machine import described
from imagescreen.evaluation.synthetic import Catalogue

SEED = 20_260_101
PICTURES_A_REFERENCE = 4
CATEGORIES = ("counterfeit", "prohibited", "recalled", "restricted")
_PICTURES_A_COMMIT = 20_000

Progress = Callable[[str, int, int], None]


class BenchmarkFailed(ImagescreenError):
    """What was to be measured did not happen."""

    code = "benchmark-failed"
    title = "The benchmark failed"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of scripts/reindex.py: seconds in all and by stage, and the most memory that the process held."""

    pictures: int
    ordinary: int
    threads: int
    wall_s: float
    peak_mib: int
    stages: Mapping[str, float]
    version: str


def check_filled(database: Database, *, pictures: int, ordinary: int) -> bool:
    """Whether an earlier run filled this database with the same numbers; false when it is empty.

    Raises BenchmarkFailed when it holds anything else.
    """
    with database.read() as session:
        found = tuple(
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in (ReferencePictureRow, CalibrationPictureRow)
        )
    if found not in ((0, 0), (pictures, ordinary)):
        raise BenchmarkFailed(
            f"the folder's database has {found[0]} reference and {found[1]} calibration pictures already: "
            "give an empty folder"
        )
    return found == (pictures, ordinary)


def fill(
    database: Database,
    *,
    pictures: int,
    ordinary: int,
    fingerprint: str,
    dimension: int,
    progress: Progress,
    seed: int = SEED,
) -> None:
    """Writes `pictures` reference pictures, four to a reference, and `ordinary` calibration pictures into an empty,
    migrated database, each with a vector as in `synthetic`. There are no picture files.
    """
    catalogue = Catalogue(pictures, dimension, seed)
    written = 0
    for vectors in _pieces(catalogue.blocks()):
        _write_references(database, written + 1, vectors, fingerprint)
        written += len(vectors)
        progress("writing reference pictures", written, pictures)
    with database.write() as session:
        moment = now()
        for key in range(1, ordinary + 1):
            session.add(
                CalibrationPictureRow(
                    id=key, sha256=_sha256(pictures + key), size_bytes=1, source="synthetic", created_at=moment
                )
            )
        session.flush()
        session.add_all(
            CalibrationVectorRow(calibration_picture_id=key, fingerprint=fingerprint, vector=vector.tobytes())
            for key, vector in enumerate(catalogue.unrelated(ordinary), start=1)
        )
        session.add_all(
            CalibrationPackageRow(id=key, content=_sha256(pictures + key), source="synthetic", created_at=moment)
            for key in range(1, ordinary + 1)
        )
        session.flush()
        session.add_all(CalibrationPackagePictureRow(package_id=key, picture_id=key) for key in range(1, ordinary + 1))


def _pieces(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The same rows, about as many at a time as go into one commit, so that references have all their pictures."""
    waiting: list[NDArray[np.float32]] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= _PICTURES_A_COMMIT:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _write_references(database: Database, first: int, vectors: NDArray[np.float32], fingerprint: str) -> None:
    """Pictures `first`, `first` + 1, ... with `vectors` (n, d), in one commit."""
    moment = now()
    keys = range(first, first + len(vectors))
    references: list[dict[str, object]] = [
        {
            "id": uuid7(),
            "kind": "known_item",
            "title": f"synthetic {key}",
            "category": CATEGORIES[key // PICTURES_A_REFERENCE % len(CATEGORIES)],
            "severity": "medium",
            "suggested_action": "hold",
            "state": "active",
            "rights": [],
            "agencies": [],
            "hts_prefixes": [],
            "look_alikes": [],
            "created_at": moment,
            "updated_at": moment,
        }
        for key in keys[::PICTURES_A_REFERENCE]
    ]
    rows: list[dict[str, object]] = [
        {
            "id": key,
            "reference_id": references[row // PICTURES_A_REFERENCE]["id"],
            "sha256": _sha256(key),
            "size_bytes": 1,
            "width": 1,
            "height": 1,
            "format": "jpeg",
            "created_at": moment,
        }
        for row, key in enumerate(keys)
    ]
    with database.write() as session:
        for table, values in (
            (ReferenceRow, references),
            (ReferencePictureRow, rows),
            (
                ReferenceVectorRow,
                [
                    {"reference_picture_id": row["id"], "fingerprint": fingerprint, "vector": vector.tobytes()}
                    for row, vector in zip(rows, vectors, strict=True)
                ],
            ),
            (ChangeRow, [_change(reference, moment) for reference in references]),
        ):
            assert issubclass(table, Base)
            session.execute(insert(table), values)


def _change(reference: Mapping[str, object], moment: object) -> dict[str, object]:
    return {"kind": ChangeKind.REFERENCE_ADDED.value, "reference_id": reference["id"], "details": {}, "at": moment}


def _sha256(number: int) -> str:
    return f"{number:064x}"


def run_reindex(
    script: Path, environment: Mapping[str, str], *, threads: int, pictures: int, ordinary: int
) -> Measured:
    """Runs the script in a process of its own. Raises BenchmarkFailed with its last words when it fails."""
    started = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(script), "--threads", str(threads)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # What it says fits into a pipe; wait4 alone tells the memory of this one process.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        told, errors = process.communicate()
    if process.returncode:
        raise BenchmarkFailed(f"{script.name} ended with {process.returncode}: {errors.strip()[-500:]}")
    version = re.search(r"index version (\S+) is current", told)
    return Measured(
        pictures=pictures,
        ordinary=ordinary,
        threads=threads,
        wall_s=wall_s,
        peak_mib=usage.ru_maxrss // 1024,
        stages={what: float(seconds) for seconds, what in re.findall(r"^ *([0-9.]+) s  (.+)$", told, re.MULTILINE)},
        version=version[1] if version else "",
    )


def markdown(measured: Measured, *, title: str, dimension: int, command: str, today: date) -> str:
    """A section for docs/performance.md."""
    lines = [
        f"## {title}",
        "",
        f"{today.isoformat()}, {described(('faiss-cpu', 'numpy', 'sqlalchemy'))}.",
        "",
        f"    .venv/bin/python {command}",
        "",
        f"{measured.pictures:,} reference pictures of dimension {dimension} (clustered, seed {SEED}) and "
        f"{measured.ordinary:,} ordinary ones in SQLite, from stored vectors to the version being current: "
        f"**{measured.wall_s:.1f} s** with {measured.threads} threads, at most {measured.peak_mib:,} MiB resident "
        "(mapped files among them).",
        "",
        "| stage | s |",
        "|---|---|",
        *(f"| {what} | {seconds:.1f} |" for what, seconds in measured.stages.items()),
        f"| start, activation, the rest | {max(0.0, measured.wall_s - sum(measured.stages.values())):.1f} |",
        "",
    ]
    return "\n".join(lines)
