"""Measures an index version in a process that does nothing else: python -m … FOLDER VERSION ROUNDS."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from imagescreen.matching import IndexSnapshot, VersionManifest, open_version, set_search_threads

COUNT = 10
AT_LEAST = 0.7
BATCH = 32
MIB = 1 << 20


class Latency(msgspec.Struct, frozen=True):
    """Of one round: milliseconds for a query, and queries in a second."""

    p50_ms: float
    p95_ms: float
    rate: float


class Memory(msgspec.Struct, frozen=True):
    """Of this process. What is not private are pages of files, which other processes share and Linux may drop."""

    resident_mib: float
    private_mib: float


class Figures(msgspec.Struct, frozen=True):
    """`first` is the pass right after opening, `rounds` what was measured then, by kind of question.

    `unrelated_recall` is that of queries that belong to no cluster.
    """

    manifest: VersionManifest
    size_mib: float
    load_s: float
    first: Latency
    rounds: dict[str, list[Latency]]
    recall: float
    unrelated_recall: float
    before: Memory
    loaded: Memory
    after: Memory


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    queries: NDArray[np.float32]
    together: int
    at_least: float = float("inf")


def measure(folder: Path, version: str, rounds: int) -> Figures:
    """Asks each kind of question in turn, `rounds` times, through `IndexSnapshot.search`, with all cores."""
    set_search_threads(0)
    before = _memory()
    started = time.perf_counter()
    opened = open_version(folder / "versions", version)
    state = IndexSnapshot.of_version(opened)
    load_s = time.perf_counter() - started
    loaded = _memory()
    with np.load(folder / "queries.npz") as prepared:
        queries, unrelated, nearest = prepared["queries"], prepared["unrelated"], prepared["nearest"]
    first = _ask(state, _Question(queries, 1))
    questions = {
        "one query": _Question(queries, 1),
        f"one query, and all at {AT_LEAST} or more": _Question(queries, 1, AT_LEAST),
        f"{BATCH} queries together": _Question(queries, BATCH),
        "one unrelated query": _Question(unrelated, 1),
    }
    measured: dict[str, list[Latency]] = {kind: [] for kind in questions}
    for _ in range(rounds):
        for kind, question in questions.items():
            measured[kind].append(_ask(state, question))
    return Figures(
        manifest=opened.manifest,
        size_mib=sum(record.size_bytes for record in opened.manifest.files.values()) / MIB,
        load_s=load_s,
        first=first,
        rounds=measured,
        recall=_recall(state, queries, nearest[: len(queries)]),
        unrelated_recall=_recall(state, unrelated, nearest[len(queries) :]),
        before=before,
        loaded=loaded,
        after=_memory(),
    )


def _ask(state: IndexSnapshot, question: _Question) -> Latency:
    spent = []
    whole = len(question.queries) // question.together * question.together
    for start in range(0, whole, question.together):
        asked = question.queries[start : start + question.together]
        started = time.perf_counter()
        state.search(asked, count=COUNT, at_least=question.at_least)
        spent.append((time.perf_counter() - started) / question.together)
    p50, p95 = np.percentile(spent, [50, 95]) * 1000
    return Latency(float(p50), float(p95), 1 / float(np.mean(spent)))


def _recall(state: IndexSnapshot, queries: NDArray[np.float32], nearest: NDArray[np.int64]) -> float:
    found = state.search(queries, count=COUNT)
    shared = sum(np.isin(n, [hit.picture_id for hit in hits]).sum() for n, hits in zip(nearest, found, strict=True))
    return float(shared) / nearest.size


def _memory() -> Memory:
    sizes = dict.fromkeys(("Rss", "Private_Dirty"), 0.0)
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        name = line.partition(":")[0]
        if name in sizes:
            sizes[name] = int(line.split()[1]) / 1024
    return Memory(sizes["Rss"], sizes["Private_Dirty"])


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
