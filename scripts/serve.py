"""Serves the HTTP interface. Every setting is an environment variable, `IMAGESCREEN_<NAME>` (see the README).

Ends on SIGTERM or Ctrl-C after it has finished what it accepted.
"""

import multiprocessing
import sys
from typing import Annotated

import typer
from _console import SOME_REJECTED, fail, new_app, out, progress_bar, quiet_logs, run

from imagescreen.errors import ImagescreenError
from imagescreen.settings import Settings, read_settings

app = new_app()

EPILOG = """
**Examples**

    IMAGESCREEN_DATA_DIR=/srv/imagescreen .venv/bin/python scripts/serve.py --port 8080

    .venv/bin/python scripts/serve.py --workers 4

Exit codes: 0 ended as asked, 1 could not start, 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    host: Annotated[str | None, typer.Option(help="Address to listen on (setting `host`).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (setting `port`).")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes on that port (setting `workers`).")] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="On the first start, fill the empty catalogue with rendered samples.")
    ] = False,
) -> None:
    settings = read_settings(host=host, port=port, workers=workers)
    if sample and settings.workers > 1:
        _prepare_sample_apart(settings)
    elif sample:
        _prepare_sample(settings)
    from imagescreen.server import serve

    serve(settings)


def _prepare_sample_apart(settings: Settings) -> None:
    """In a process of its own: the one that starts workers and watches them needs no model in memory."""
    process = multiprocessing.get_context("spawn").Process(target=_prepare_sample_or_fail, args=(settings,))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def _prepare_sample_or_fail(settings: Settings) -> None:
    quiet_logs()
    try:
        _prepare_sample(settings)
    except ImagescreenError as error:
        fail(error.detail, SOME_REJECTED)


def _prepare_sample(settings: Settings) -> None:
    from imagescreen.jobs.current_model import require_servable
    from imagescreen.jobs.first_start import first_look, prepare_sample, sample_lines
    from imagescreen.jobs.workbench import open_store, open_workbench

    with open_store(settings) as store:
        require_servable(store.database, settings)
        found = first_look(store)
    if found.wants_sample:
        out.print("the catalogue is empty: filling it with rendered samples (about a minute)")
        with open_workbench(settings) as bench, progress_bar() as progress:
            prepare_sample(bench, progress)
    if found.advice is not None:
        out.print(found.advice, markup=False)
    elif found.wants_sample or found.has_sample:
        for line in sample_lines(settings):
            out.print(line, markup=False)
    else:
        out.print("the catalogue has references of your own: there are no sample packages to try")


if __name__ == "__main__":
    run(app)
