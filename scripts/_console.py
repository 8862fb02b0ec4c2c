"""What every script shares: errors as one line, exit codes, progress bars, low priority."""

import csv
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from imagescreen.errors import ImagescreenError, WrongUse
from imagescreen.runtime import keep_freed_memory, let_threads_wait_briefly

DONE, SOME_REJECTED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def new_app(**options: Any) -> typer.Typer:
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown", **options)


def run(app: typer.Typer) -> None:
    """Runs a script. A problem is one line on standard error and exit code 2 (wrong use) or 1, never a traceback."""
    let_threads_wait_briefly()
    keep_freed_memory()
    quiet_logs()
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            err.print("interrupted; run the same command again to go on")
        raise
    except WrongUse as error:
        fail(error.detail, WRONG_USE)
    except ImagescreenError as error:
        fail(error.detail, SOME_REJECTED)
    except OSError as error:
        fail(f"{error.filename or 'a file'}: {error.strerror or error}", SOME_REJECTED)
    except KeyboardInterrupt:
        fail("interrupted; run the same command again to go on", INTERRUPTED)


def fail(sentence: str, code: int) -> None:
    err.print(f"error: {sentence}", style="red", markup=False)
    sys.exit(code)


def report_rejected(path: Path, what: str, rejected: Sequence[tuple[str, str]]) -> int:
    """Writes what was rejected and why to a CSV, shows the first of it, and returns the exit code."""
    if not rejected and not path.exists():
        return DONE
    # Also when nothing was rejected: the rows of an earlier run are no longer true.
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([what, "why"])
        writer.writerows(rejected)
    if not rejected:
        return DONE
    for name, why in rejected[:20]:
        out.print(f"rejected: {name}: {why}", markup=False)
    out.print(f"all that was rejected is in {path}", markup=False)
    return SOME_REJECTED


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def quiet_logs(level: int = logging.ERROR) -> None:
    """Scripts speak to people: only errors come through, as plain lines."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def low_priority() -> None:
    """Adding and rebuilding must not slow down a server on the same machine."""
    if hasattr(os, "nice"):
        os.nice(10)


def lowest_priority() -> None:
    """For what takes every core: a server on the same machine gets them back whenever it wants them."""
    if hasattr(os, "nice"):
        os.nice(19)


def use_threads(count: int) -> None:
    """Before numpy is imported, which reads it then: how many threads multiply its matrices."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ[name] = str(count)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing that a job says it does, with rate and time left."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=err,
        transient=False,
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tell
