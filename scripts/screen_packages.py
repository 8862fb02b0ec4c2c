"""Screens the packages of a manifest in batch, with the same line and the same record as the HTTP endpoint.

The manifest is .csv, .jsonl or .parquet. A line of JSONL is {"package": {...}, "pictures": ["a.jpg"]}. CSV and
Parquet have the package's members as columns, e.g. package_id, participant, seller_name, description, hts, and pictures
separated by `;`; docs/batch.md lists them all. Picture paths are relative to the manifest. The output has one answer a
line, in the manifest's order; run the same command again after an interruption and it goes on where it stopped.
"""

from pathlib import Path
from typing import Annotated

import typer
from _console import low_priority, new_app, out, progress_bar, report_rejected, run

from imagescreen.settings import read_settings

app = new_app()

EPILOG = """
**Example**

    .venv/bin/python scripts/screen_packages.py monday.csv --output monday.jsonl

Exit codes: 0 all were screened, 1 some rows were rejected (see the rejected file), 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    manifest: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option(help="JSONL of the answers (default: the manifest's name with .screened.jsonl).")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="CSV of rejected rows (default: the output's name with .rejected.csv).")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the encoder; one leaves room for a server.")] = 1,
) -> None:
    low_priority()
    settings = read_settings(torch_threads=threads, faiss_threads=threads, decode_threads=threads)
    from imagescreen.jobs.screen_manifest import read_manifest, screen_manifest
    from imagescreen.jobs.workbench import open_workbench

    rows = read_manifest(manifest)
    answers = output or manifest.with_suffix(".screened.jsonl")
    with open_workbench(settings) as bench, progress_bar() as progress:
        report = screen_manifest(bench, rows, manifest.parent, answers, progress=progress)
    told = ", ".join(f"{count} {name}" for name, count in sorted(report.dispositions.items())) or "none"
    out.print(
        f"screened: {told}; {report.already} were in {answers} already; {len(report.rejected)} rejected", markup=False
    )
    path = rejected or answers.with_suffix(".rejected.csv")
    raise typer.Exit(report_rejected(path, "row", report.rejected))


if __name__ == "__main__":
    run(app)
