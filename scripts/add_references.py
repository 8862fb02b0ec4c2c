"""Adds references to the catalogue from a folder or a CSV manifest.

A folder gives one reference for each sub-folder (its name is the title, its files are the pictures) and one for each
picture directly in it. A manifest is UTF-8 CSV with the catalogue's columns and `pictures`: paths relative to the
manifest, separated by `;`. The columns are described in docs/catalogue.md. A row with `words`, phrasings separated by
`;`, needs no picture.

Running it again is safe: what is there is skipped. So is interrupting it: each batch is committed as a whole. A running
server serves what was added within a second.
"""

from pathlib import Path
from typing import Annotated

import typer
from _console import low_priority, new_app, out, progress_bar, report_rejected, run

from imagescreen.errors import WrongUse
from imagescreen.settings import read_settings

app = new_app()

EPILOG = """
**Examples**

    .venv/bin/python scripts/add_references.py seized/ --category counterfeit --source "port case files"

    .venv/bin/python scripts/add_references.py catalogue.csv --rejected rejected.csv

Exit codes: 0 all is there, 1 some were rejected (see the rejected file), 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    source: Annotated[Path, typer.Argument(help="A folder of pictures, or a .csv manifest.", show_default=False)],
    category: Annotated[str | None, typer.Option(help="Category of references that do not tell their own.")] = None,
    kind: Annotated[str | None, typer.Option(help="known_item, genuine or not_goods.")] = None,
    state: Annotated[str | None, typer.Option(help="State to add them in, e.g. draft.")] = None,
    brand: Annotated[str | None, typer.Option(help="Brand of references that do not tell their own.")] = None,
    told_source: Annotated[str | None, typer.Option("--source", help="Where the facts come from.")] = None,
    submitted_by: Annotated[str | None, typer.Option(help="Who adds them, as told.")] = None,
    rejected: Annotated[
        Path | None,
        typer.Option(
            help="CSV of what was rejected and why (default: beside the source, its name with .rejected.csv)."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the encoder; one leaves room for a server.")] = 1,
) -> None:
    columns = {
        "category": category,
        "kind": kind,
        "state": state,
        "brand": brand,
        "source": told_source,
        "submitted_by": submitted_by,
    }
    told = {name: value for name, value in columns.items() if value is not None}
    target = rejected or source.with_name(f"{source.name}.rejected.csv")
    _check_options(source, told, target)
    low_priority()
    settings = read_settings(torch_threads=threads, faiss_threads=threads, decode_threads=threads)
    from imagescreen.jobs.add_references import add_references
    from imagescreen.jobs.workbench import open_workbench
    from imagescreen.references.offers import offers_of

    offers = offers_of(source, told)
    with open_workbench(settings) as bench, progress_bar() as progress:
        report = add_references(bench, offers, progress=progress)
        served = bench.follower.serving.current()
        if served.words_problem:
            report.warnings.append(served.words_problem)
    for warning in report.warnings:
        out.print(f"warning: {warning}", style="yellow", markup=False)
    out.print(
        f"{report.added} added, {report.extended} got further pictures, {report.skipped} were there already, "
        f"{len(report.rejected)} rejected"
    )
    if source.is_dir():
        _tell_left_out(source, {path for offer in offers for path in offer.pictures})
    raise typer.Exit(report_rejected(target, "reference", report.rejected))


def _check_options(source: Path, told: dict[str, str], target: Path) -> None:
    """What is wrong for every reference alike is wrong use, not a rejection of each."""
    from imagescreen.errors import InvalidContent
    from imagescreen.references.facts import facts_from_columns

    if not target.parent.is_dir():
        raise WrongUse(f"--rejected: there is no folder {target.parent}")
    # A manifest may tell category and kind itself; a folder cannot.
    filled = {"title": "x", **told} if source.is_dir() else {"title": "x", "category": "x", **told}
    try:
        facts_from_columns(filled)
    except InvalidContent as error:
        raise WrongUse(f"the options do not make a reference: {error.detail}") from None


def _tell_left_out(folder: Path, used: set[Path]) -> None:
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() and path not in used)
    if left:
        shown = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
        out.print(
            f"{len(left)} files were not looked at (no picture by their name, or in a deeper folder): "
            f"{shown.encode('utf-8', 'replace').decode()}",
            style="yellow",
            markup=False,
        )


if __name__ == "__main__":
    run(app)
