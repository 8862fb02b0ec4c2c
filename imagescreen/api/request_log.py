"""One line a request, with a request id and without bodies."""

import re
import time
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestLog:
    """Wraps the whole application: Litestar's route middleware never sees what no route answers (404, 405).

    Takes the caller's `X-Request-ID` when it is a plain token, else makes one; it is in every log line of the request,
    in the answer's headers and in every problem.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._log = structlog.get_logger("imagescreen.request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        # Not the standard library's: it lets go of the interpreter for 16 random bytes, and waits to get it back.
        request_id = _told_id(scope) or uuid4().hex
        state: Any = scope
        state["imagescreen_request_id"] = request_id
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                self._log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status or None,
                    elapsed_ms=round(1000 * (time.perf_counter() - started), 2),
                )


def _told_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            told = value.decode("latin-1")
            return told if _REQUEST_ID.fullmatch(told) else None
    return None
