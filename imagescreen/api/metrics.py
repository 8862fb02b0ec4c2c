"""Prometheus instruments of ours; Litestar's middleware adds those of HTTP."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from imagescreen.screening.answer import ElapsedMs, ScreeningAnswer

_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The instruments of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.stage = Histogram(
            "imagescreen_stage_seconds",
            "Time of one stage of one request",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self.screenings = Counter(
            "imagescreen_screenings", "Packages screened", ["disposition"], registry=self.registry
        )
        self.pictures = Counter(
            "imagescreen_pictures", "Pictures of screened packages", ["status"], registry=self.registry
        )
        self.references = Gauge("imagescreen_index_references", "References that can match now", registry=self.registry)
        self.sequence = Gauge(
            "imagescreen_index_sequence", "Feed entry up to which changes are served", registry=self.registry
        )
        self.behind = Gauge(
            "imagescreen_feed_behind_seconds", "Time since the change feed was last read", registry=self.registry
        )
        self.problem = Gauge(
            "imagescreen_index_problem", "1 while the current index version is refused", registry=self.registry
        )
        self.lacking = Gauge(
            "imagescreen_pictures_without_vector",
            "Reference pictures that cannot match for lack of a vector",
            registry=self.registry,
        )

    def stages(self, elapsed: ElapsedMs) -> None:
        for stage in ("decode", "embed", "search", "total"):
            self.stage.labels(stage).observe(getattr(elapsed, stage) / 1000)

    def screening(self, answer: ScreeningAnswer) -> None:
        self.stages(answer.elapsed_ms)
        self.screenings.labels(answer.disposition.value).inc()
        for picture in answer.pictures:
            self.pictures.labels(picture.status.value).inc()
