"""Structured logs on standard error: one JSON object a line, or coloured lines for people."""

import logging
import sys
from typing import Any

import structlog
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer

from imagescreen.settings import LogFormat, Settings


def configure_logs(settings: Settings) -> None:
    """Sends structlog and the standard library's logging through one format.

    Process-wide, so only the server's start calls it.
    """
    level = getattr(logging, settings.log_level.value.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    wanted = settings.log_format
    if wanted is LogFormat.JSON or (wanted is LogFormat.AUTO and not sys.stderr.isatty()):
        # Without local variables: those hold the bodies of requests.
        tracebacks = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        final: list[Any] = [tracebacks, structlog.processors.JSONRenderer()]
    else:
        final = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Third parties tell much at start (open_clip of every file); only their warnings matter here.
    root.setLevel(max(level, logging.WARNING))
    for name in ("imagescreen", "uvicorn"):
        logging.getLogger(name).setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    # uvicorn's access log would repeat ours without the request id.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
