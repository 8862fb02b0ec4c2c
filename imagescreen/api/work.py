"""How handlers reach the parts: in worker threads, because everything below is synchronous."""

from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from litestar import Request

from imagescreen.api.metrics import Metrics
from imagescreen.errors import InvalidContent, Overloaded
from imagescreen.jobs.workbench import Workbench
from imagescreen.serving.self_test import SelfTester

T = TypeVar("T")


class Desk:
    """What a handler works with. `do` runs a call in a thread; so many at once, so many waiting, no more."""

    def __init__(self, bench: Workbench, metrics: Metrics) -> None:
        self.bench = bench
        self.metrics = metrics
        self.self_tester = SelfTester(bench.follower.serving, interval_s=bench.settings.ready_check_s)
        self._limiter = CapacityLimiter(bench.settings.max_concurrent_requests)
        self._max_waiting = bench.settings.max_waiting_requests

    async def do(self, call: Callable[..., T], *args: Any) -> T:
        """Raises Overloaded at once when too many calls wait for a thread."""
        waiting = self._limiter.statistics().tasks_waiting
        if waiting >= self._max_waiting:
            raise Overloaded(f"{waiting} requests are waiting already: try again in a moment")
        return await to_thread.run_sync(call, *args, limiter=self._limiter)


def desk_of(request: Request[Any, Any, Any]) -> Desk:
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


def refuse_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Before every request: a misspelt filter must not be ignored, it would show more than was asked for."""
    parameters = request.route_handler.parsed_fn_signature.parameters
    known = {
        getattr(parameter.kwarg_definition, "query", None) or name
        for name, parameter in parameters.items()
        if name not in ("request", "self") and name not in request.path_params
    }
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        allowed = ", ".join(sorted(known)) or "none"
        raise InvalidContent(f"unknown query parameter {unknown[0][:100]!r}: allowed are {allowed}")
