"""Measures the whole service over HTTP, its bare parts and a straightforward service, in turn, in one run.

Everything runs on loopback in a folder of its own that is deleted afterwards. The model is an open_clip architecture
with random weights, which has a real checkpoint's speed; --model measures an installed one. Takes about
rounds x 15 x seconds, and more to start.
"""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from _console import new_app, out, progress_bar, run
from rich.table import Table

from imagescreen.settings import read_settings

app = new_app()

EPILOG = """
**Examples**

    .venv/bin/python scripts/benchmark.py

    .venv/bin/python scripts/benchmark.py --pictures photos/ --rounds 5 --seconds 10 --append docs/performance.md

    .venv/bin/python scripts/benchmark.py --rounds 1 --overload 10 --plot service.png

Exit codes: 0 measured, 1 something could not be measured, 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    *,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of JPEG photos; without it product-like ones are drawn.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Most photos that are used.")] = 100,
    model: Annotated[str | None, typer.Option(help="An installed model in place of random weights.")] = None,
    architecture: Annotated[str, typer.Option(help="open_clip architecture of the random weights.")] = "ViT-B-32",
    references: Annotated[int, typer.Option(min=1, help="Reference pictures in the index.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often the sides alternate.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of one measurement.")] = 5.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the service.")] = 1,
    cached_pictures: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures that the service remembers, in place of its own default."),
    ] = None,
    overload: Annotated[
        float, typer.Option(min=0, help="Minutes of four times the load that it can take, after the rest; 0 is none.")
    ] = 0.0,
    plot: Annotated[Path | None, typer.Option(help="Write a plot (PNG) there; needs the extra `plots`.")] = None,
    append: Annotated[Path | None, typer.Option(help="Append the tables as Markdown to this file.")] = None,
) -> None:
    from imagescreen.embedding.hardware import available_cores
    from imagescreen.evaluation.listing_photos import drawn_photos, photos_in
    from imagescreen.evaluation.random_model import NAME, install_random_model
    from imagescreen.evaluation.service_benchmark import Plan, measure
    from imagescreen.evaluation.service_plot import plot as draw
    from imagescreen.evaluation.service_report import markdown, tables

    with tempfile.TemporaryDirectory(prefix="imagescreen-benchmark-") as folder:
        home = Path(folder)
        weights_dir = read_settings().weights_dir
        if model is None:
            weights_dir = home / "weights"
            install_random_model(architecture, weights_dir)
        photos = photos_in(pictures, count) if pictures is not None else drawn_photos(count)
        plan = Plan(
            home=home,
            scripts=Path(__file__).parent,
            weights_dir=weights_dir,
            model=model or NAME,
            photos=photos,
            references=references,
            rounds=rounds,
            seconds=seconds,
            workers=workers,
            cached_pictures=cached_pictures,
            overload_s=60 * overload,
        )
        with progress_bar() as progress:
            figures = measure(plan, progress)
    cores = available_cores()
    for title, header, rows in tables(figures, cores):
        table = Table(*header, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        out.print(table)
    if plot is not None:
        draw(figures, cores, plot)
    if append is not None:
        sizes = sorted(len(photo) // 1024 for photo in photos)
        setup = (
            f"Model {model or architecture + ' with random weights'}, {references:,} reference pictures, "
            f"{len(photos)} {'photos of a folder' if pictures else 'drawn photos'} of {sizes[0]} to {sizes[-1]} KiB, "
            f"{workers} process(es), {rounds} rounds of {seconds:g} s; median (lowest to highest)."
        )
        command = " ".join(["scripts/benchmark.py", *sys.argv[1:]])
        section = markdown(figures, cores=cores, command=command, today=datetime.now(UTC).date(), setup=setup)
        with append.open("a", encoding="utf-8") as file:
            file.write(f"\n{section}")


if __name__ == "__main__":
    run(app)
