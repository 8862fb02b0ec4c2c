"""Builds an index version from the database, checks it, and makes it current.

Thresholds are measured again with the stored calibration pictures. Running servers switch by themselves. With --model,
everything is embedded with another model first: that can be interrupted and run again, nothing is done twice.
"""

from typing import Annotated

import typer
from _console import low_priority, new_app, progress_bar, run
from _thresholds import show_built

from imagescreen.settings import read_settings

app = new_app()

EPILOG = """
**Examples**

    .venv/bin/python scripts/reindex.py

    .venv/bin/python scripts/reindex.py --model vit-b-32-laion2b --threads 8

Exit codes: 0 built and current, 1 not built (the old version stays current), 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    model: Annotated[
        str | None, typer.Option(help="Embed everything with this model first (see scripts/fetch_weights.py).")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads; one leaves room for a server.")] = 1,
) -> None:
    low_priority()
    settings = read_settings(torch_threads=threads, faiss_threads=threads, decode_threads=threads)
    from imagescreen.jobs.reindex import reindex
    from imagescreen.jobs.workbench import open_workbench

    with open_workbench(settings) as bench, progress_bar() as progress:
        built = reindex(bench, model=model, built_by="scripts/reindex.py", progress=progress)
    show_built(built)


if __name__ == "__main__":
    run(app)
