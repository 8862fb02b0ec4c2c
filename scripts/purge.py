"""Deletes screenings past their retention, and picture files that nothing names any more."""

from typing import Annotated

import typer
from _console import low_priority, new_app, out, progress_bar, run

from imagescreen.settings import read_settings

app = new_app()


@app.command(help=__doc__, epilog="Example: .venv/bin/python scripts/purge.py --days 365")
def main(
    days: Annotated[
        int | None, typer.Option(min=1, help="Age from which screenings go (default: the setting `retention_days`).")
    ] = None,
) -> None:
    low_priority()
    settings = read_settings()
    from imagescreen.jobs.purge import purge
    from imagescreen.jobs.workbench import open_store

    with open_store(settings) as store, progress_bar() as progress:
        purged = purge(store, retention_days=days or settings.retention_days, progress=progress)
    out.print(f"{purged.screenings} screenings and {purged.files} picture files deleted")


if __name__ == "__main__":
    run(app)
