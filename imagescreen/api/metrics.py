"""Prometheus instruments of ours; Litestar's middleware adds those of HTTP.

With several workers prometheus_client keeps the values in files of a common folder, and each worker tells what all of
them add up to. So a gauge says what its value means for several processes: the worst of them, or their sum.
"""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from imagescreen.api.worker_metrics import WORKERS_FOLDER
from imagescreen.jobs.drift import Drift
from imagescreen.jobs.workbench import Workbench
from imagescreen.screening.answer import ElapsedMs, ScreeningAnswer

_STAGES = ("decode", "embed", "search", "total")
_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The instruments of one app, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        stage_seconds = Histogram(
            "imagescreen_stage_seconds",
            "Time of one stage of one request",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=self._registry,
        )
        self._screenings = Counter(
            "imagescreen_screenings", "Packages screened", ["disposition"], registry=self._registry
        )
        self._pictures = Counter(
            "imagescreen_pictures", "Pictures of screened packages", ["status"], registry=self._registry
        )
        # Looking labels up costs more than counting.
        self._stages = {stage: stage_seconds.labels(stage) for stage in _STAGES}
        self._index = _IndexGauges(self._registry)

    def stages(self, elapsed: ElapsedMs) -> None:
        for stage, histogram in self._stages.items():
            histogram.observe(getattr(elapsed, stage) / 1000)

    def screening(self, answer: ScreeningAnswer) -> None:
        self.stages(answer.elapsed_ms)
        self._screenings.labels(answer.disposition.value).inc()
        for picture in answer.pictures:
            self._pictures.labels(picture.status.value).inc()

    def observe(self, bench: Workbench) -> None:
        """What is served now; each process tells it about itself, every second."""
        self._index.observe(bench)

    def observe_processes(self, count: int) -> None:
        self._index.processes.set(count)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format, over all workers."""
        if WORKERS_FOLDER in os.environ:
            everything = CollectorRegistry()
            MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
            return generate_latest(everything)
        return generate_latest(REGISTRY) + generate_latest(self._registry)


class _IndexGauges:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._references = Gauge(
            "imagescreen_index_references",
            "References that can match now",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self._sequence = Gauge(
            "imagescreen_index_sequence",
            "Feed entry up to which changes are served",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self._behind = Gauge(
            "imagescreen_feed_behind_seconds",
            "Time since the change feed was last read",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._problem = Gauge(
            "imagescreen_index_problem",
            "1 while the current index version is refused",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._lacking = Gauge(
            "imagescreen_pictures_without_vector",
            "Reference pictures that cannot match for lack of a vector",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._changes = Gauge(
            "imagescreen_index_changes",
            "Pictures that came, changed or went since the index version was built",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._folding = Gauge(
            "imagescreen_index_folding_problem",
            "1 after changes could not be folded into a new index version, until it works again",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._expected = Gauge(
            "imagescreen_expected_rate",
            "Share of ordinary packages that are expected to reach review or more, and hold, with what came since",
            ["level"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._moved = Gauge(
            "imagescreen_rates_moved",
            "1 while scores need a rebuild: since the version was built an expected rate has moved by more than "
            "a tenth of the promised one, or references came that the background nearly has",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._words = Gauge(
            "imagescreen_words_problem",
            "1 while references described in words do not match or flag by them",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._loading = Gauge(
            "imagescreen_index_loading",
            "Processes of this server that are loading another index version",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._switch = Gauge(
            "imagescreen_index_switch_seconds",
            "How long the last switch to another index version took",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._info = Gauge(
            "imagescreen_index_version_info",
            "Processes of this server that serve this index version",
            ["version", "model", "index_type"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.processes = Gauge(
            "imagescreen_server_processes",
            "Server processes on this database that were seen within the last minute",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self._told: tuple[str, str, str] | None = None

    def observe(self, bench: Workbench) -> None:
        follower = bench.follower
        served, state = follower.serving.current(), follower.state()
        snapshot = served.snapshot
        self._references.set(snapshot.reference_count)
        self._sequence.set(state.sequence)
        self._behind.set(state.behind_s)
        self._problem.set(1 if follower.serving.problem else 0)
        self._lacking.set(state.pictures_without_vector)
        self._changes.set(snapshot.changes_since_version)
        self._folding.set(1 if bench.folding.problem else 0)
        self._observe_drift(bench.drift.state)
        self._words.set(1 if served.words_problem else 0)
        self._loading.set(1 if state.loading else 0)
        self._switch.set(state.switch_s or 0)
        manifest = snapshot.manifest
        version = ("", served.batcher.encoder.name, "")
        if manifest is not None:
            version = (manifest.version, manifest.model, manifest.index_type.value)
        if self._told not in (None, version):
            # Labels cannot be removed while several processes share the values.
            self._info.labels(*self._told).set(0)
        self._info.labels(*version).set(1)
        self._told = version

    def _observe_drift(self, drift: Drift | None) -> None:
        for level, rate in (("review", drift and drift.review), ("hold", drift and drift.hold)):
            self._expected.labels(level).set(rate.expected if rate else 0)
        self._moved.set(1 if drift is not None and drift.sentence() else 0)
