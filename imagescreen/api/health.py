"""For load balancers and monitoring."""

from contextlib import suppress
from typing import Any

import msgspec
from anyio import to_thread
from litestar import Controller, Request, Response, get
from prometheus_client import CONTENT_TYPE_LATEST

from imagescreen.api.work import Desk, desk_of
from imagescreen.database.feed import now
from imagescreen.database.processes import live_processes
from imagescreen.errors import Unavailable

MAX_BEHIND_S = 10.0
"""A process that has served nothing new for so long may match what was withdrawn: it is not ready."""


class Live(msgspec.Struct, frozen=True):
    status: str


class Ready(msgspec.Struct, frozen=True):
    """`problems` turn it red (503); `warnings` do not. `age_s` is the age of the self-test behind it."""

    status: str
    problems: list[str]
    warnings: list[str]
    age_s: float


class HealthController(Controller):
    path = "/health"
    tags = ("operations",)

    @get("/live", operation_id="live", summary="The process answers")
    async def live(self) -> Live:
        """Says nothing of whether it can screen; see `/health/ready`."""
        return Live("live")

    @get("/ready", operation_id="ready", summary="The process can screen")
    async def ready(self, request: Request[Any, Any, Any]) -> Response[Ready]:
        """Sends a built-in picture through model and index, at most every `ready_check_s`; 503 when that fails."""
        desk = desk_of(request)
        # Not through `desk.do`: a queue of requests must not make the process look dead.
        told = await to_thread.run_sync(_ready, desk)
        return Response(told, status_code=503 if told.problems else 200)


class MetricsController(Controller):
    path = "/metrics"
    tags = ("operations",)

    @get("/", operation_id="metrics", summary="Prometheus metrics", media_type="text/plain")
    async def metrics(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """HTTP requests, stages, screenings by disposition, and how far the index is; of all workers together."""
        exposition = await to_thread.run_sync(_exposition, desk_of(request))
        return Response(exposition, media_type=CONTENT_TYPE_LATEST)


def _ready(desk: Desk) -> Ready:
    bench = desk.bench
    tested = desk.self_tester.result()
    state = bench.follower.state()
    problems = list(tested.problems)
    if state.behind_s > MAX_BEHIND_S:
        problems.append(f"the change feed was last read {state.behind_s:.0f} s ago: {state.error or 'it is stuck'}")
    warnings = [problem for problem in (bench.follower.serving.problem, bench.folding.problem) if problem]
    if state.pictures_without_vector:
        warnings.append(f"{state.pictures_without_vector} reference pictures lack a vector and cannot match")
    served = bench.follower.serving.current()
    thresholds = served.thresholds
    if thresholds is None and served.snapshot.version is not None:
        warnings.append("there are no measured thresholds: every package goes to review (scripts/calibrate.py)")
    if not bench.policy.kept_by(served.scale):
        warnings.append("the policy's wishes for scores changed after the version was built: run scripts/reindex.py")
    if served.words_problem:
        warnings.append(served.words_problem)
    drift = bench.drift.state
    if drift is not None and (moved := drift.sentence()):
        warnings.append(moved)
    return Ready("not ready" if problems else "ready", problems, warnings, round(tested.age_s, 3))


def _exposition(desk: Desk) -> bytes:
    desk.metrics.observe(desk.bench)
    # Without the database the other metrics are wanted all the more.
    with suppress(Unavailable), desk.bench.database.read() as session:
        desk.metrics.observe_processes(len(live_processes(session, moment=now())))
    return desk.metrics.exposition()
