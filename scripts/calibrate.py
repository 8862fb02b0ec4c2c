"""Measures thresholds for review and hold with pictures of ordinary goods.

Takes in a folder of pictures that show nothing of the catalogue (searched through with its sub-folders), adds them to
the stored calibration set, and builds an index version with thresholds that keep the policy's rates on that set: the
best similarity of ordinary pictures against the references, cut at the promised share. Every later build measures them
again.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from _console import DONE, SOME_REJECTED, low_priority, new_app, out, progress_bar, run
from _thresholds import show_built

from imagescreen.errors import InvalidContent, WrongUse
from imagescreen.settings import read_settings

app = new_app()

EPILOG = """
**Example**

    .venv/bin/python scripts/calibrate.py ordinary-goods/ --source "cleared parcels, spring"

A review rate of 1 in 100 needs at least 99 pictures, a hold rate of 1 in 1,000 needs 999.

Exit codes: 0 calibrated, 1 calibrated but some pictures were rejected, or not calibrated for want of pictures (they
are kept, add more; with --replace nothing is changed), 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures of ordinary goods.", show_default=False)],
    source: Annotated[str, typer.Option(help="Where they come from.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Forget the pictures of earlier calibrations.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads; one leaves room for a server.")] = 1,
) -> None:
    if not folder.is_dir():
        raise WrongUse(f"{folder} is no folder")
    low_priority()
    settings = read_settings(torch_threads=threads, faiss_threads=threads, decode_threads=threads)
    from imagescreen.jobs.add_references import read_picture_file
    from imagescreen.jobs.calibrate import calibrate
    from imagescreen.jobs.workbench import open_workbench
    from imagescreen.references.enrolment import NewPicture
    from imagescreen.references.offers import PICTURE_SUFFIXES

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not paths:
        raise WrongUse(f"there are no pictures in {folder}")
    unreadable: list[tuple[str, str]] = []

    def pictures() -> Iterator[NewPicture]:
        for path in paths:
            try:
                yield NewPicture(str(path.relative_to(folder)), read_picture_file(path, settings.max_picture_bytes))
            except InvalidContent as error:
                unreadable.append((str(path.relative_to(folder)), error.detail))

    with open_workbench(settings) as bench, progress_bar() as progress:
        intake, built = calibrate(
            bench,
            pictures(),
            total=len(paths),
            source=source or folder.name,
            replace=replace,
            built_by="scripts/calibrate.py",
            progress=progress,
        )
    rejected = [*unreadable, *intake.rejected]
    for name, why in rejected:
        out.print(f"rejected: {name}: {why}", markup=False)
    out.print(f"{intake.added} pictures added, {intake.known} were there already, {len(rejected)} rejected")
    show_built(built)
    raise typer.Exit(SOME_REJECTED if rejected else DONE)


if __name__ == "__main__":
    run(app)
