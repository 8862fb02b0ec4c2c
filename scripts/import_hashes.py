"""Adds references that a partner shares as hashes, without any picture: they match the same file and near copies.

The CSV is UTF-8 with the catalogue's columns and `pdq` (64 hexadecimal digits), `sha256`, or both; `quality` is PDQ's
own (0 to 100), where it is known. `title`, `category` for a known item, `source` and `source_reference` are required;
rows with one source and source reference are one reference with several hashes.

Running it again is safe: what is there is skipped. A running server matches what was added within a second.
"""

from pathlib import Path
from typing import Annotated

import typer
from _console import new_app, out, progress_bar, report_rejected, run

from imagescreen.errors import InvalidContent, WrongUse
from imagescreen.settings import read_settings

app = new_app()

EPILOG = """
**Examples**

    .venv/bin/python scripts/import_hashes.py partner.csv --source "Partner A" --category counterfeit

    .venv/bin/python scripts/import_hashes.py partner.csv --state draft --rejected rejected.csv

Exit codes: 0 all is there, 1 some were rejected (see the rejected file), 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    source: Annotated[Path, typer.Argument(help="A .csv file.", show_default=False)],
    category: Annotated[str | None, typer.Option(help="Category of references that do not tell their own.")] = None,
    state: Annotated[str | None, typer.Option(help="State to add them in, e.g. draft.")] = None,
    told_source: Annotated[str | None, typer.Option("--source", help="Where the hashes come from.")] = None,
    submitted_by: Annotated[str | None, typer.Option(help="Who adds them, as told.")] = None,
    rejected: Annotated[
        Path | None,
        typer.Option(help="CSV of what was rejected and why (default: beside the source, with .rejected.csv)."),
    ] = None,
) -> None:
    from imagescreen.jobs.workbench import open_store
    from imagescreen.references.facts import facts_from_columns
    from imagescreen.references.hash_import import ROWS_A_COMMIT, HashReport, hash_offers_of, import_hashes

    columns = {"category": category, "state": state, "source": told_source, "submitted_by": submitted_by}
    told = {name: value for name, value in columns.items() if value is not None}
    target = rejected or source.with_name(f"{source.name}.rejected.csv")
    if not target.parent.is_dir():
        raise WrongUse(f"--rejected: there is no folder {target.parent}")
    try:
        facts_from_columns({"title": "x", "category": "x", **told})
    except InvalidContent as error:
        raise WrongUse(f"the options do not make a reference: {error.detail}") from None
    report = HashReport()
    offers = []
    for name, offer in hash_offers_of(source, told):
        if isinstance(offer, InvalidContent):
            report.rejected.append((name, offer.detail))
        else:
            offers.append(offer)
    with open_store(read_settings()) as store, progress_bar() as progress:
        for start in range(0, len(offers), ROWS_A_COMMIT):
            import_hashes(store.database, offers[start : start + ROWS_A_COMMIT], report)
            progress("importing hashes", min(len(offers), start + ROWS_A_COMMIT), len(offers))
    out.print(
        f"{report.added} references added, {report.extended} hashes added to references that were there, "
        f"{report.skipped} were there already, {len(report.rejected)} rejected"
    )
    raise typer.Exit(report_rejected(target, "row", report.rejected))


if __name__ == "__main__":
    run(app)
