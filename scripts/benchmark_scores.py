"""Measures what normalising scores costs beside decoding, embedding and search, in processor time.

The line runs with raw and with normalised scores in turn, one picture at a time, which is the dearest case: the
pictures of a package share the look through the background.
"""

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from _console import new_app, out, run
from rich.table import Table

from imagescreen.settings import BUILT_IN_MODEL, read_settings

app = new_app()

EPILOG = """
**Example**

    .venv/bin/python scripts/benchmark_scores.py --background 10000 --append docs/performance.md

Exit codes: 0 measured, 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    *,
    background: Annotated[int, typer.Option(min=1, max=10_000, help="Pictures in the background.")] = 10_000,
    references: Annotated[int, typer.Option(min=100, help="Reference pictures that are searched.")] = 10_000,
    packages: Annotated[int, typer.Option(min=1, help="Packages of one picture, in each round.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="How often the two lines alternate.")] = 5,
    model: Annotated[str, typer.Option(help="An installed model.")] = BUILT_IN_MODEL,
    append: Annotated[Path | None, typer.Option(help="Append a section in Markdown to this file.")] = None,
) -> None:
    settings = read_settings(torch_threads=1, faiss_threads=1)
    from imagescreen.embedding.encoder import load_encoder
    from imagescreen.evaluation.scores_benchmark import ScoresPlan, markdown, measure_scores, rows
    from imagescreen.matching import set_search_threads
    from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader

    set_search_threads(1)
    encoder = load_encoder(model, settings.weights_dir, dtype=settings.dtype, device=settings.device, threads=1)
    reader = PictureReader(
        PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels, settings.min_picture_side),
        DecodingBudget(settings.max_decoding_pixels, 1),
    )
    plan = ScoresPlan(packages, references, background, rounds)
    figures = measure_scores(plan, encoder, reader)
    table = Table(show_header=False)
    for row in rows(figures):
        table.add_row(*row)
    out.print(table)
    if append is not None:
        command = shlex.join([".venv/bin/python", "scripts/benchmark_scores.py", *sys.argv[1:]])
        with append.open("a", encoding="utf-8") as file:
            file.write("\n" + markdown(plan, figures, model=model, command=command, on=datetime.now(UTC).date()))
        out.print(f"appended to {append}", markup=False)


if __name__ == "__main__":
    run(app)
