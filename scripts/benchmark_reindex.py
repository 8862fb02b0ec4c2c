"""Measures scripts/reindex.py on a database of synthetic references, filled for the purpose.

The database lies in a folder that must be empty, or hold one of an earlier run with the same numbers, which is taken
as it is then. Nothing of the settings' own data is touched.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from _console import new_app, out, progress_bar, run

from imagescreen.settings import BUILT_IN_MODEL, ENV_PREFIX, IndexChoice, read_settings

app = new_app()

EPILOG = """
**Example**

    .venv/bin/python scripts/benchmark_reindex.py /tmp/reindex --pictures 1000000 --append docs/performance.md

A million pictures take 2 minutes to fill in and 3 GB of disk. Exit codes: 0 measured, 1 not, 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    folder: Annotated[Path, typer.Argument(help="Folder for the database and the index.", show_default=False)],
    pictures: Annotated[int, typer.Option(min=1, help="Reference pictures.")] = 1_000_000,
    ordinary: Annotated[int, typer.Option(min=0, help="Pictures of ordinary goods to measure thresholds with.")] = 1000,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the reindex (default: every core).")] = None,
    model: Annotated[str, typer.Option(help="Whose embedding space it is; the model is not run.")] = BUILT_IN_MODEL,
    index_type: Annotated[IndexChoice, typer.Option(help="Structure of the version.")] = IndexChoice.AUTO,
    append: Annotated[Path | None, typer.Option(help="Markdown file to append the result to.")] = None,
    title: Annotated[str, typer.Option(help="Heading of the result.")] = "Reindex",
) -> None:
    from imagescreen.embedding.manifest import model_folder, read_manifest
    from imagescreen.embedding.registry import entry_of
    from imagescreen.evaluation.reindex_benchmark import (
        check_filled,
        fill,
        markdown,
        run_reindex,
    )
    from imagescreen.jobs.workbench import open_store

    overrides = {"data_dir": folder / "data", "index_dir": folder / "index", "model": model, "index_type": index_type}
    settings = read_settings(**overrides, database_url="")
    entry = entry_of(model, settings.weights_dir)
    space = read_manifest(entry, model_folder(entry, settings.weights_dir))
    with open_store(settings) as store, progress_bar() as progress:
        if not check_filled(store.database, pictures=pictures, ordinary=ordinary):
            fill(
                store.database,
                pictures=pictures,
                ordinary=ordinary,
                fingerprint=space.fingerprint,
                dimension=space.dimension,
                progress=progress,
            )
    told = {f"{ENV_PREFIX}{name.upper()}": str(value) for name, value in overrides.items()}
    measured = run_reindex(
        Path(__file__).parent / "reindex.py",
        os.environ | told | {f"{ENV_PREFIX}DATABASE_URL": ""},
        threads=threads or len(os.sched_getaffinity(0)),
        pictures=pictures,
        ordinary=ordinary,
    )
    command = " ".join(["scripts/benchmark_reindex.py", *sys.argv[1:]])
    section = markdown(
        measured, title=title, dimension=space.dimension, command=command, today=datetime.now(UTC).date()
    )
    out.print(section, markup=False)
    if append is not None:
        with append.open("a", encoding="utf-8") as file:
            file.write("\n" + section)


if __name__ == "__main__":
    run(app)
