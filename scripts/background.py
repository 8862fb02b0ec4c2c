"""Keeps the background: pictures of ordinary goods that scores are normalised with.

A score is the similarity less a part of what the picture resembles of the background anyway, so goods of which all
look alike score lower. It must hold the kinds of goods that are screened: a background of other goods alone makes
matches worse. What is added or removed takes effect with the next build (scripts/reindex.py), which measures thresholds
anew.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from _console import DONE, SOME_REJECTED, low_priority, new_app, out, progress_bar, run

from imagescreen.errors import InvalidContent, WrongUse
from imagescreen.settings import read_settings

app = new_app(help=__doc__)

EXIT_CODES = "Exit codes: 0 done, 1 refused or some could not be read, 2 wrong use."
NEXT = "it takes effect with the next build: .venv/bin/python scripts/reindex.py"


@app.command(
    epilog="Example: .venv/bin/python scripts/background.py add ordinary-goods/ --source spring\n\n" + EXIT_CODES
)
def add(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures, searched with sub-folders.", show_default=False)],
    source: Annotated[str, typer.Option(help="Where they come from (default: the folder's name).")] = "",
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Add the others where some are refused; without it nothing is added.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads; one leaves room for a server.")] = 1,
) -> None:
    """Adds pictures of ordinary goods. One that a reference has, or a near-duplicate of one, is refused by name.

    Interrupted, it keeps what it had added, and goes on there when it is run again.
    """
    if not folder.is_dir():
        raise WrongUse(f"{folder} is no folder")
    low_priority()
    settings = read_settings(torch_threads=threads, faiss_threads=threads, decode_threads=threads)
    from imagescreen.jobs.add_references import read_picture_file
    from imagescreen.jobs.background import add_background
    from imagescreen.jobs.workbench import open_workbench
    from imagescreen.references.enrolment import NewPicture
    from imagescreen.references.offers import PICTURE_SUFFIXES

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not paths:
        raise WrongUse(f"there are no pictures in {folder}")
    unreadable: list[tuple[str, str]] = []

    def pictures() -> Iterator[NewPicture]:
        for path in paths:
            name = str(path.relative_to(folder))
            try:
                yield NewPicture(name, read_picture_file(path, settings.max_picture_bytes))
            except InvalidContent as error:
                unreadable.append((name, error.detail))

    with open_workbench(settings) as bench, progress_bar() as progress:
        intake = add_background(
            bench,
            pictures(),
            total=len(paths),
            source=source or folder.name,
            leave_out=leave_out,
            progress=progress,
        )
    for name, why in [*unreadable, *intake.unreadable]:
        out.print(f"not read: {name}: {why}", markup=False)
    for name, why in intake.refused:
        out.print(f"refused: {name}: {why}", markup=False)
    if intake.refused and not leave_out:
        raise InvalidContent(
            f"nothing was added: {len(intake.refused)} of the pictures belong to references or to the calibration "
            "(--leave-out adds the others)"
        )
    out.print(f"{intake.added} pictures added, {intake.known} were there already, {len(intake.refused)} left out")
    if intake.added:
        out.print(NEXT)
    raise typer.Exit(SOME_REJECTED if unreadable or intake.unreadable or intake.refused else DONE)


@app.command("list", epilog=f"Example: .venv/bin/python scripts/background.py list\n\n{EXIT_CODES}")
def list_sources() -> None:
    """Shows the background's version and where its pictures come from."""
    from imagescreen.database.background_set import background_sha256s, background_sources, background_version
    from imagescreen.jobs.workbench import open_store

    with open_store(read_settings()) as store, store.database.read() as session:
        sha256s = background_sha256s(session)
        sources = background_sources(session)
    if not sha256s:
        out.print("there is no background: scores are raw similarities")
        return
    out.print(f"background {background_version(sha256s)}: {len(sha256s):,} pictures")
    for source, count in sources:
        out.print(f"{count:>8,}  {source or '(not told)'}", markup=False)


@app.command(epilog=f"Example: .venv/bin/python scripts/background.py remove spring\n\n{EXIT_CODES}")
def remove(source: Annotated[str, typer.Argument(help="A source as `list` shows it.", show_default=False)]) -> None:
    """Removes the pictures of one source."""
    from imagescreen.database.background_set import remove_background_pictures
    from imagescreen.jobs.workbench import open_store

    with open_store(read_settings()) as store, store.database.write() as session:
        removed = remove_background_pictures(session, source=source)
    if not removed:
        raise InvalidContent(f"the background has no pictures from {source!r}")
    out.print(f"{removed} pictures removed; {NEXT}", markup=False)


if __name__ == "__main__":
    run(app)
