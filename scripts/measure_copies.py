"""Measures the near-duplicate layer: which edited copies PDQ finds, which different pictures it takes for copies.

Takes a folder of JPEG photographs, or a photo set (tar files and their index.csv), of which it reads the test rows.
"""

from pathlib import Path
from typing import Annotated

import typer
from _console import new_app, out, run
from rich.table import Table

from imagescreen.errors import WrongUse

app = new_app()

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
) -> None:
    from imagescreen.evaluation.copies import measure_copies, named_photos
    from imagescreen.pictures import PdqHasher

    hasher = PdqHasher.installed()
    if hasher is None:
        raise WrongUse("the extra `pdq` is not installed here: .venv/bin/pip install -e '.[pdq]'")
    photos = named_photos(folder, tar, limit)
    if len(photos) < 2:
        raise WrongUse(f"{folder} has fewer than 2 photographs to compare")
    figures = measure_copies(photos, hasher)
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
        f"decoding takes {figures.decode_ms:.2f} ms a picture, hashing {figures.hash_ms:.2f} ms, "
        f"{figures.hash_ms / figures.decode_ms:.2f} of it"
    )


if __name__ == "__main__":
    run(app)
