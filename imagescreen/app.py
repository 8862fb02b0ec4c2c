"""The one place where the parts are wired into an application."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from anyio import create_task_group, sleep, to_thread
from litestar import Litestar
from litestar.plugins.prometheus import PrometheusConfig
from litestar.types import ASGIApp

from imagescreen.api.health import HealthController, MetricsController
from imagescreen.api.index import IndexController
from imagescreen.api.logs import configure_logs
from imagescreen.api.matches import MatchController
from imagescreen.api.metrics import Metrics
from imagescreen.api.openapi import openapi_config
from imagescreen.api.problems import EXCEPTION_HANDLERS
from imagescreen.api.references import ReferenceController
from imagescreen.api.request_log import RequestLog
from imagescreen.api.screenings import ScreeningController
from imagescreen.api.work import Desk, refuse_unknown_parameters
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.runtime import freeze_what_stays, thaw
from imagescreen.settings import Settings, is_loopback, read_settings

_OBSERVE_S = 1.0


def create_app(settings: Settings | None = None, bench: Workbench | None = None) -> ASGIApp:
    """The ASGI application.

    Without settings they are read from the environment, and without an open workbench the application opens its own at
    its start, as `uvicorn --factory` needs it.
    """
    settings = settings or read_settings()
    configure_logs(settings)
    app = Litestar(
        route_handlers=[
            ScreeningController,
            MatchController,
            ReferenceController,
            IndexController,
            HealthController,
            MetricsController,
        ],
        lifespan=[_lifespan(settings, bench)],
        exception_handlers=EXCEPTION_HANDLERS,
        before_request=refuse_unknown_parameters,
        # Paths are counted by their template, so that no caller can make up new series.
        middleware=[PrometheusConfig(app_name="imagescreen", prefix="imagescreen_http", group_path=True).middleware],
        request_max_body_size=settings.max_request_bytes,
        openapi_config=openapi_config(),
        logging_config=None,
    )
    return RequestLog(app)


def _lifespan(settings: Settings, opened: Workbench | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        log = structlog.get_logger("imagescreen.app")
        if not is_loopback(settings.host):
            log.warning("serving_without_accounts", host=settings.host, hint="anybody who reaches it can use it")
        async with AsyncExitStack() as stack:
            bench = opened or await _open(settings, stack)
            bench.follower.start()
            bench.folding.start()
            bench.drift.start()
            metrics = Metrics()
            app.state.desk = Desk(bench, metrics)
            tasks = await stack.enter_async_context(create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(_keep_observed, metrics, bench)
            freeze_what_stays()
            stack.callback(thaw)
            _log_serving(bench)
            yield

    return lifespan


def _log_serving(bench: Workbench) -> None:
    # On its own: what the application itself referred to would be held until it ends.
    served = bench.follower.serving.current()
    structlog.get_logger("imagescreen.app").info(
        "serving",
        model=served.batcher.encoder.name,
        fingerprint=served.snapshot.fingerprint,
        device=served.batcher.encoder.device,
        dtype=served.batcher.encoder.dtype,
        index_version=served.snapshot.version,
        references=served.snapshot.reference_count,
        policy=bench.policy.version,
        problem=bench.follower.serving.problem,
    )


async def _keep_observed(metrics: Metrics, bench: Workbench) -> None:
    """Another worker may be asked for the metrics: it tells what this one observed last."""
    while True:
        await to_thread.run_sync(metrics.observe, bench)
        await sleep(_OBSERVE_S)


async def _open(settings: Settings, stack: AsyncExitStack) -> Workbench:
    context = open_workbench(settings)
    # Loading the model takes seconds; signals must be heard meanwhile.
    bench = await to_thread.run_sync(context.__enter__)
    stack.push_async_callback(to_thread.run_sync, context.__exit__, None, None, None)
    return bench
