"""How handlers reach the parts: in worker threads, because everything below is synchronous."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from anyio import CapacityLimiter, fail_after, move_on_after, to_thread
from litestar import Request

from imagescreen.api.metrics import Metrics
from imagescreen.embedding.patience import Patience
from imagescreen.errors import InvalidContent, Overloaded, RequestTimeout
from imagescreen.jobs.workbench import Workbench
from imagescreen.serving.self_test import SelfTester

T = TypeVar("T")


class Desk:
    """What a handler works with: so many requests at once, so many waiting, no more.

    `receive` reads a body, `do` runs a call in a thread.
    """

    def __init__(self, bench: Workbench, metrics: Metrics) -> None:
        self.bench = bench
        self.metrics = metrics
        self.self_tester = SelfTester(bench.follower.serving, interval_s=bench.settings.ready_check_s)
        self._threads = CapacityLimiter(bench.settings.max_concurrent_requests)
        self._bodies = CapacityLimiter(bench.settings.max_concurrent_requests)
        self._max_waiting = bench.settings.max_waiting_requests

    @asynccontextmanager
    async def body_slot(self) -> AsyncIterator[Patience]:
        """Held from before a body is read until its request is answered: it bounds the bodies in memory.

        What it gives is the request's patience, from now on. Raises Overloaded, at once when too many requests wait
        for a slot, or when patience ends before there is one.
        """
        self._refuse_if_crowded(self._bodies)
        patience = Patience(self.bench.settings.request_timeout_s)
        # One task may hold several slots, one for each request that it serves on a connection: borrow for a token.
        token = object()
        with move_on_after(patience.left_s) as waiting:
            await self._bodies.acquire_on_behalf_of(token)
        if waiting.cancelled_caught:
            # Not left to `check`: the event loop's clock is not exactly that of patience.
            raise patience.over()
        try:
            yield patience
        finally:
            self._bodies.release_on_behalf_of(token)

    async def receive(self, body: Awaitable[T], patience: Patience | None = None) -> T:
        """Raises RequestTimeout when a body does not arrive in time: a slow sender must not keep its slot.

        What it takes to arrive does not count in `patience`.
        """
        started = time.monotonic()
        try:
            with fail_after(self.bench.settings.body_timeout_s):
                return await body
        except TimeoutError:
            raise RequestTimeout(f"the body did not arrive within {self.bench.settings.body_timeout_s:g} s") from None
        finally:
            if patience is not None:
                patience.extend(time.monotonic() - started)

    async def answer(
        self, request: Request[Any, Any, Any], patience: Patience, call: Callable[..., T], *args: Any
    ) -> T:
        """As `do`, for a request whose body is there: `call` gets its patience first, which ends when
        the caller hangs up.

        Raises CallerGone or Overloaded then.
        """
        watching = asyncio.ensure_future(_give_up_when_gone(request, patience))
        try:
            return await self.do(call, patience, *args)
        finally:
            watching.cancel()

    async def do(self, call: Callable[..., T], *args: Any) -> T:
        """Raises Overloaded at once when too many calls wait for a thread."""
        self._refuse_if_crowded(self._threads)
        return await to_thread.run_sync(call, *args, limiter=self._threads)

    def _refuse_if_crowded(self, limiter: CapacityLimiter) -> None:
        waiting = limiter.statistics().tasks_waiting
        if waiting >= self._max_waiting:
            raise Overloaded(f"{waiting} requests are waiting already: try again in a moment")


async def _give_up_when_gone(request: Request[Any, Any, Any], patience: Patience) -> None:
    """After the body the server has only one thing left to tell: that the connection ended."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    patience.give_up()


def desk_of(request: Request[Any, Any, Any]) -> Desk:
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


async def refuse_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Before every request: a misspelt filter must not be ignored, it would show more than was asked for.

    A coroutine, because a plain function would be run in a thread each time.
    """
    if not request.scope["query_string"]:
        return
    parameters = request.route_handler.parsed_fn_signature.parameters
    known = {
        getattr(parameter.kwarg_definition, "query", None) or name
        for name, parameter in parameters.items()
        if name not in ("request", "self") and name not in request.path_params
    }
    if any("\0" in value for value in request.query_params.values() if isinstance(value, str)):
        raise InvalidContent("a query parameter contains the character U+0000, which is not allowed")
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        allowed = ", ".join(sorted(known)) or "none"
        raise InvalidContent(f"unknown query parameter {unknown[0][:100]!r}: allowed are {allowed}")
