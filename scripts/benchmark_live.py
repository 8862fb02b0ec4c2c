"""Measures what a live index costs: how soon changes are served, what a switch costs, what adding costs.

Every measurement starts servers of its own on loopback, in a temporary folder that is deleted afterwards, with the
built-in model. Nothing of the settings' own data is touched.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from _console import new_app, out, progress_bar, run
from rich.table import Table

from imagescreen.settings import read_settings

if TYPE_CHECKING:
    from imagescreen.evaluation.deployment import Deployment
    from imagescreen.evaluation.live_benchmark_report import Rows

EPILOG = """
**Examples**

    .venv/bin/python scripts/benchmark_live.py changes --processes 4 --rounds 100

    .venv/bin/python scripts/benchmark_live.py reload --pictures 1000000 --append docs/performance.md

    .venv/bin/python scripts/benchmark_live.py adding --references 10000

Exit codes: 0 measured, 1 something could not be measured, 2 wrong use.
"""

app = new_app(help=__doc__, epilog=EPILOG)

Folder = Annotated[Path | None, typer.Option(help="Where the temporary folder is made; a million pictures take 5 GB.")]
Append = Annotated[Path | None, typer.Option(help="Append the table as Markdown to this file.")]


@app.command(help="Seconds until a committed change is served by every process.")
def changes(
    processes: Annotated[int, typer.Option(min=1, help="Server processes.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Changes, chosen at random.")] = 100,
    pictures: Annotated[
        int, typer.Option(min=0, help="Synthetic pictures besides; with some, versions are loaded all the while.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the choice of changes.")] = 1,
    folder: Folder = None,
    append: Append = None,
) -> None:
    from imagescreen.evaluation.live_benchmark_changes import measure_changes
    from imagescreen.evaluation.live_benchmark_report import changes_table

    with _deployment(folder) as deployment, progress_bar() as progress:
        delays = measure_changes(
            deployment, processes=processes, rounds=rounds, pictures=pictures, seed=seed, progress=progress
        )
    setup = f"{processes} server processes, {rounds} changes (seed {seed}), each seen from every process."
    if pictures:
        setup += (
            f" {pictures:,} synthetic pictures besides, of which two versions were activated in turn all the while: "
            f"every process switched {delays.switches} times."
        )
    _show("How soon a change is served", changes_table(delays), setup, append)


@app.command(help="Private memory and latencies while a server switches to another version.")
def reload(
    pictures: Annotated[int, typer.Option(min=1, help="Synthetic pictures in the index.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Switches.")] = 4,
    quiet: Annotated[float, typer.Option(min=1, help="Seconds before each switch, to compare with.")] = 15,
    folder: Folder = None,
    append: Append = None,
) -> None:
    from imagescreen.evaluation.live_benchmark_reload import REQUESTS_A_SECOND, measure_reload
    from imagescreen.evaluation.live_benchmark_report import reload_table

    with _deployment(folder) as deployment, progress_bar() as progress:
        reloads = measure_reload(deployment, pictures=pictures, rounds=rounds, quiet_s=quiet, progress=progress)
    setup = (
        f"{pictures:,} synthetic pictures, an index of {reloads[0].index_mib:,.0f} MiB; {REQUESTS_A_SECOND:g} requests "
        "a second, each with another picture, sent when they are due."
    )
    _show("What a switch to another version costs", reload_table(reloads), setup, append)


@app.command(help="Scoring while a script adds references, beside scoring alone.")
def adding(
    references: Annotated[int, typer.Option(min=1, help="References that are added, one picture each.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often the sides alternate.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="Length of one window.")] = 15,
    folder: Folder = None,
    append: Append = None,
) -> None:
    from imagescreen.evaluation.live_benchmark_adding import CLIENTS, measure_adding
    from imagescreen.evaluation.live_benchmark_report import adding_table

    with _deployment(folder) as deployment, progress_bar() as progress:
        measured = measure_adding(deployment, references=references, rounds=rounds, seconds=seconds, progress=progress)
    setup = (
        f"One server process, {CLIENTS} clients in a closed loop, packages of one drawn photo; medians of windows of "
        f"{seconds:g} s."
    )
    _show("Scoring while references are added", adding_table(measured), setup, append)


@contextmanager
def _deployment(folder: Path | None) -> "Iterator[Deployment]":
    from imagescreen.evaluation.deployment import Deployment

    with tempfile.TemporaryDirectory(prefix="imagescreen-live-", dir=folder) as home:
        yield Deployment(Path(home), Path(__file__).parent.resolve(), read_settings().weights_dir.resolve())


def _show(title: str, rows: "Rows", setup: str, append: Path | None) -> None:
    from imagescreen.evaluation.live_benchmark_report import markdown

    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows[1:]:
        table.add_row(*row)
    out.print(table)
    out.print(setup, markup=False)
    if append is not None:
        command = " ".join(["scripts/benchmark_live.py", *sys.argv[1:]])
        section = markdown(title, rows, command=command, today=datetime.now(UTC).date(), setup=setup)
        with append.open("a", encoding="utf-8") as file:
            file.write(f"\n{section}")


if __name__ == "__main__":
    run(app)
