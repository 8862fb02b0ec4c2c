"""Prepares what the search is measured with: an index version of synthetic vectors, queries, and what is nearest.

Each stage leaves a file and is not done again; the measuring itself runs in a process of its own, so that its memory is
that of serving alone.
"""

import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenIndex
from imagescreen.evaluation.index_measurement import Figures
from imagescreen.evaluation.synthetic import Catalogue, Vectors
from imagescreen.matching import IndexType, drafting
from imagescreen.matching.structure import VECTORS_FILE
from imagescreen.matching.vector_file import map_vectors

NEAREST = 10
UNRELATED_SHARE = 4
PREPARED_FILE = "prepared.json"
QUERIES_FILE = "queries.npz"
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Plan:
    """`queries`: half of them members of the catalogue moved to cosine 0.85, half new members of its clusters; a
    quarter as many unrelated ones come on top. `index_type` None: by size.
    """

    vectors: int
    dimension: int
    index_type: IndexType | None
    queries: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.vectors}x{self.dimension}-{self.index_type or 'auto'}-{self.queries}-{self.seed}"


class Prepared(msgspec.Struct, frozen=True):
    """`stages_s`: what the build did, in seconds; `generate_s` went into making the vectors and writing them."""

    version: str
    generate_s: float
    build_s: float
    stages_s: dict[str, float]


class _Clock:
    """A progress that adds up how long each thing took."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.stages_s: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.perf_counter()
        # The first word of a stage may come at its start, with nothing done yet.
        self.stages_s[what] = self.stages_s.get(what, 0.0) + now - self._last
        self._last = now


def prepare(plan: Plan, folder: Path) -> Prepared:
    """Build the version and find the truth, or take what an earlier run has left in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PREPARED_FILE
    if path.exists():
        prepared = msgspec.json.decode(path.read_bytes(), type=Prepared)
    else:
        prepared = _build(plan, folder)
        path.write_bytes(msgspec.json.encode(prepared))
    if not (folder / QUERIES_FILE).exists():
        _write_queries(plan, folder, prepared.version)
    return prepared


def measure_apart(folder: Path, version: str, rounds: int) -> Figures:
    """See `index_measurement.measure`; in a fresh process."""
    command = [sys.executable, "-m", "imagescreen.evaluation.index_measurement", str(folder), version, str(rounds)]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise BrokenIndex(f"the measurement ended with {done.returncode}: {done.stderr.decode()[-500:].strip()}")
    return msgspec.json.decode(done.stdout, type=Figures)


def _build(plan: Plan, folder: Path) -> Prepared:
    started = time.perf_counter()
    with drafting(folder / "versions", dimension=plan.dimension) as draft:
        picture_id = 1
        for block in Catalogue(plan.vectors, plan.dimension, plan.seed).blocks():
            ids = np.arange(picture_id, picture_id + len(block))
            draft.append(ids, _reference_keys(ids), block)
            picture_id += len(block)
        generated = time.perf_counter()
        clock = _Clock()
        manifest = draft.finish(
            model="synthetic",
            fingerprint=plan.name,
            sequence=0,
            as_of=datetime.now(UTC),
            built_by="benchmark_index",
            attachments={},
            index_type=plan.index_type,
            progress=clock,
        )
    built = time.perf_counter()
    stages = {what: round(spent, 1) for what, spent in clock.stages_s.items()}
    return Prepared(manifest.version, round(generated - started, 1), round(built - generated, 1), stages)


def _reference_keys(picture_ids: NDArray[np.int64]) -> NDArray[np.bytes_]:
    """A reference for each picture, in order."""
    keys = np.zeros((len(picture_ids), 2), ">u8")
    keys[:, 0] = picture_ids
    keys[:, 1] = 1
    return keys.view("S16")[:, 0]


def _write_queries(plan: Plan, folder: Path, version: str) -> None:
    catalogue = Catalogue(plan.vectors, plan.dimension, plan.seed)
    # Not through the version: it expects single rows to be looked at, which makes reading all of them slow.
    stored = map_vectors(folder / "versions" / version / VECTORS_FILE, plan.vectors, plan.dimension)
    moved = plan.queries // 2
    chosen = np.sort(np.random.default_rng(plan.seed).choice(plan.vectors, moved, replace=False))
    queries = np.concatenate([catalogue.moved(stored[chosen]), catalogue.fresh_members(plan.queries - moved)])
    unrelated = catalogue.unrelated(max(1, plan.queries // UNRELATED_SHARE))
    everything = np.concatenate([queries, unrelated])
    best = np.full((len(everything), NEAREST), -np.inf, np.float32)
    nearest = np.zeros((len(everything), NEAREST), np.int64)
    for start in range(0, plan.vectors, _ROWS_AT_ONCE):
        best, nearest = _merged(best, nearest, everything, stored[start : start + _ROWS_AT_ONCE], start)
    np.savez(folder / QUERIES_FILE, queries=queries, unrelated=unrelated, nearest=nearest + 1)


def _merged(
    best: Vectors, nearest: NDArray[np.int64], queries: Vectors, block: Vectors, start: int
) -> tuple[Vectors, NDArray[np.int64]]:
    depth = min(NEAREST, len(block))
    similarities, rows = faiss.knn(queries, block, depth, metric=faiss.METRIC_INNER_PRODUCT)
    similarities = np.concatenate([best, similarities], axis=1)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :NEAREST]
    rows = np.concatenate([nearest, rows + start], axis=1)
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(rows, order, axis=1)
