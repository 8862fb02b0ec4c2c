"""Every error on every route has one shape: problem details (RFC 9457)."""

from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from imagescreen.errors import (
    PROBLEM_MEDIA_TYPE,
    ImagescreenError,
    InvalidContent,
    Problem,
    Unavailable,
    explained,
    problem_of_status,
)

_DETAILS = {
    404: "there is nothing at this path",
    405: "this path does not answer to this method; see the Allow header",
    500: "something went wrong on our side; the log has more under this request id",
}


def of_our_error(request: Request[Any, Any, Any], error: ImagescreenError) -> Response[Problem]:
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Unavailable) else {}
    if error.status >= 500 and (error.__cause__ is not None or not isinstance(error, Unavailable)):
        structlog.get_logger("imagescreen.api").error("request_failed", error=error.detail, exc_info=error)
    return _response(request, error.problem(), headers)


def of_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """Litestar's own exceptions: routing, limits, and parameters that break a rule."""
    if isinstance(error, ValidationException):
        items = error.extra if isinstance(error.extra, list) else []
        told = tuple(_told(request, item) for item in items) or (error.detail,)
        return of_our_error(request, InvalidContent("; ".join(told), errors=told))
    status = error.status_code
    if error.detail == "client disconnected prematurely":
        # Nobody reads the answer; it is no failure of ours.
        return _response(request, problem_of_status(400, error.detail), {})
    if status == 413:
        limit = request.route_handler.resolve_request_max_body_size()
        return _response(request, problem_of_status(413, f"the request body is larger than {limit} bytes"), {})
    if status >= 500:
        return of_unexpected(request, error)
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return _response(request, problem_of_status(status, _DETAILS.get(status, error.detail)), headers)


def of_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """What nobody foresaw: the log has the traceback, the caller the request id."""
    structlog.get_logger("imagescreen.api").error("request_failed", exc_info=error)
    return _response(request, problem_of_status(500, _DETAILS[500]), {})


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    ImagescreenError: of_our_error,
    HTTPException: of_http_exception,
    Exception: of_unexpected,
}


def _told(request: Request[Any, Any, Any], item: Any) -> str:
    """Names the parameter as it is in the query, and what is allowed where that is a closed set."""
    if not (isinstance(item, dict) and "message" in item):
        return str(item)
    key, message = str(item.get("key") or ""), str(item["message"])
    parameter = request.route_handler.parsed_fn_signature.parameters.get(key)
    if parameter is not None:
        key = getattr(parameter.kwarg_definition, "query", None) or key
        message = explained(message, parameter.annotation)
    return f"{key}: {message}" if key else message


def _response(request: Request[Any, Any, Any], problem: Problem, headers: dict[str, str]) -> Response[Problem]:
    request_id = request.scope.get("imagescreen_request_id")
    shown = Problem(
        type=problem.type,
        title=problem.title,
        detail=problem.detail,
        status=problem.status,
        errors=problem.errors,
        reference_id=problem.reference_id,
        request_id=request_id if isinstance(request_id, str) else None,
    )
    return Response(shown, status_code=problem.status or 500, media_type=PROBLEM_MEDIA_TYPE, headers=headers)
