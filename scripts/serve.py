"""Serves the HTTP interface. Every setting is an environment variable, `IMAGESCREEN_<NAME>` (see the README).

Ends on SIGTERM or Ctrl-C after it has finished what it accepted.
"""

import signal
import sys
from typing import Annotated

import typer
from _console import DONE, new_app, out, progress_bar, run

from imagescreen.settings import Settings, read_settings

app = new_app()


@app.command(
    help=__doc__, epilog="Example: IMAGESCREEN_DATA_DIR=/srv/imagescreen .venv/bin/python scripts/serve.py --port 8080"
)
def main(
    host: Annotated[str | None, typer.Option(help="Address to listen on (setting `host`).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (setting `port`).")] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="On the first start, fill the empty catalogue with rendered samples.")
    ] = False,
) -> None:
    settings = read_settings(host=host, port=port)
    if sample:
        _prepare_sample(settings)
    _serve(settings)


def _prepare_sample(settings: Settings) -> None:
    from imagescreen.jobs.first_start import first_look, prepare_sample, sample_lines
    from imagescreen.jobs.workbench import open_store, open_workbench

    with open_store(settings) as store:
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


def _serve(settings: Settings) -> None:
    import uvicorn

    from imagescreen.api.logs import configure_logs
    from imagescreen.app import create_app
    from imagescreen.jobs.workbench import open_workbench

    # uvicorn hands these signals on when it has finished; then everything is closed, and the exit code is 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    configure_logs(settings)
    with open_workbench(settings) as bench:
        uvicorn.run(
            create_app(settings, bench),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_grace_s,
        )


def _end(_number: int, _frame: object) -> None:
    sys.exit(DONE)


if __name__ == "__main__":
    run(app)
