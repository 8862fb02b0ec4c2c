"""Measures the near-duplicate layer: what PDQ finds, what it takes for copies wrongly, and what that costs.

Four tables: which edited copies are found; which different pictures are taken for copies; what it does to hashes to
which size a picture is averaged first; how long hashes are looked up among many random ones. Takes a folder of JPEG
photographs, or a photo set (tar files and their index.csv), of which it reads the test rows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from _console import new_app, out, run
from rich.table import Table

from imagescreen.errors import WrongUse

if TYPE_CHECKING:
    from imagescreen.evaluation.copies import CopyFigures
    from imagescreen.evaluation.hash_search_benchmark import SearchCost
    from imagescreen.evaluation.pdq_grid import GridFigures

app = new_app()

_HASHES = (100_000, 1_000_000)

EPILOG = """
**Examples**

    .venv/bin/python scripts/measure_copies.py photos/ --tar clothing

    .venv/bin/python scripts/measure_copies.py photos/originals

Exit codes: 0 measured, 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    folder: Annotated[Path, typer.Argument(help="A folder of JPEGs, or of a photo set.", show_default=False)],
    tar: Annotated[str | None, typer.Option(help="Only photographs of this tar file of the set.")] = None,
    limit: Annotated[int, typer.Option(min=2, help="Most photographs.")] = 1000,
    hashes: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Random hashes to look up among; 100,000 and 1,000,000 by default.", show_default=False
        ),
    ] = None,
) -> None:
    from imagescreen.evaluation.copies import measure_copies, named_photos
    from imagescreen.evaluation.hash_search_benchmark import measure_hash_search
    from imagescreen.evaluation.machine import described
    from imagescreen.evaluation.pdq_grid import compare_grids
    from imagescreen.pictures import PdqHasher

    hasher = PdqHasher.installed()
    if hasher is None:
        raise WrongUse("the extra `pdq` is not installed here: .venv/bin/pip install -e '.[pdq]'")
    photos = named_photos(folder, tar, limit)
    if len(photos) < 2:
        raise WrongUse(f"{folder} has fewer than 2 photographs to compare")
    out.print(described(("pdqhash", "faiss-cpu", "numpy", "pillow")), markup=False)
    _show_copies(measure_copies(photos, hasher))
    _show_grids(compare_grids([data for _, data in photos]))
    _show_search(measure_hash_search(hashes or _HASHES))


def _show_copies(figures: "CopyFigures") -> None:
    table = Table("copies", "found", "median distance")
    for share in figures.shares:
        table.add_row(share.edit, f"{share.found:.3f}", f"{share.median_distance:g}")
    out.print(table)
    found = figures.unrelated_found
    out.print(f"{figures.pictures} pictures, {figures.unusable} of them with too little on them for PDQ")
    out.print(f"{figures.pairs:,} pairs of different pictures in eight rotations, {len(found)} taken for copies")
    for one, other, distance in found[:20]:
        out.print(f"  {one} and {other}: {distance} bits", markup=False)
    out.print(
        f"decoding takes {figures.decode_ms:.2f} ms of processor time a picture, hashing {figures.hash_ms:.2f} ms, "
        f"{figures.hash_ms / figures.decode_ms:.2f} of it"
    )


def _show_grids(grids: "Sequence[GridFigures]") -> None:
    table = Table("averaged to", "turned: mean bits", "most", "beyond 31", "to the full size's hash: mean", "beyond 31")
    for grid in grids:
        table.add_row(
            f"{grid.side} x {grid.side}",
            f"{grid.turned_mean:.1f}",
            f"{grid.turned_most}",
            f"{grid.turned_beyond:.1%}",
            f"{grid.full_size_mean:.1f}",
            f"{grid.full_size_beyond:.1%}",
        )
    out.print(table)


def _show_search(costs: "Sequence[SearchCost]") -> None:
    table = Table("hashes", "comparing each: ms of processor time a picture", "by words: ms")
    for cost in costs:
        table.add_row(f"{cost.hashes:,}", f"{cost.flat_ms:.2f}", f"{cost.words_ms:.2f}")
    out.print(table)


if __name__ == "__main__":
    run(app)
