"""Builds an index version from the database, checks it, and makes it current.

Without --model it works from stored vectors: thresholds are measured again with the stored calibration pictures, and
running servers switch by themselves. It takes every core at the lowest priority, which a server on the same machine
does not notice.

With --model, everything is embedded with another model first, on one thread unless told otherwise; that can be
interrupted and run again, and nothing is done twice. Before the new version becomes current, stored screenings whose
pictures are still there are screened with both models, and you are asked; unless the model that made the current
version is not installed any more (after an upgrade with another built-in model), so that there is nothing to choose.
"""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from _console import SOME_REJECTED, fail, lowest_priority, new_app, out, progress_bar, quiet_logs, run, use_threads

from imagescreen.errors import WrongUse
from imagescreen.settings import Settings, read_settings

if TYPE_CHECKING:
    from imagescreen.jobs.progress import StageTimes

app = new_app()

BUILT_BY = "scripts/reindex.py"
EPILOG = """
**Examples**

    .venv/bin/python scripts/reindex.py

    .venv/bin/python scripts/reindex.py --model vit-b-32-laion2b --threads 8 --report changed.csv

Exit codes: 0 built and current, 1 not current (the old version stays; a version that was built is kept), 2 wrong use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    model: Annotated[
        str | None, typer.Option(help="Embed everything with this model first (see scripts/fetch_weights.py).")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads (default: every core; with --model one, for a server's sake).")
    ] = None,
    sample_screenings: Annotated[
        int, typer.Option(min=0, help="With --model: how many stored screenings are compared, the newest.")
    ] = 200,
    report: Annotated[
        Path | None, typer.Option(help="With --model: CSV of every screening whose disposition changes.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --model: make it current without asking.")] = False,
) -> None:
    if model is None and (report is not None or yes):
        raise WrongUse("--report and --yes go with --model")
    if report is not None and not report.parent.is_dir():
        raise WrongUse(f"--report: there is no folder {report.parent}")
    lowest_priority()
    count = threads or (len(os.sched_getaffinity(0)) if model is None else 1)
    use_threads(count)
    # The setting may name a model that is gone, while this one is asked for.
    settings = read_settings(model=model, torch_threads=count, faiss_threads=count, decode_threads=count)
    if model is None:
        _rebuild(settings)
    else:
        _change_model(settings, model, sample_screenings, report, yes=yes)


def _rebuild(settings: Settings) -> None:
    from _thresholds import show_built

    from imagescreen.jobs.progress import StageTimes
    from imagescreen.jobs.reindex import rebuild
    from imagescreen.jobs.workbench import open_store
    from imagescreen.matching import set_search_threads
    from imagescreen.screening.policy import read_policy

    policy = read_policy(settings.policy_file)
    set_search_threads(settings.faiss_threads)
    with open_store(settings) as store, progress_bar() as progress:
        times = StageTimes(progress)
        built = rebuild(store, policy, built_by=BUILT_BY, progress=times)
    _show_times(times)
    show_built(built)


def _change_model(settings: Settings, model: str, sample: int, report: Path | None, *, yes: bool) -> None:
    from _comparison import show_comparison, write_report
    from _thresholds import show_built

    from imagescreen.jobs.change_model import ModelChange
    from imagescreen.jobs.compare import compare
    from imagescreen.jobs.progress import StageTimes
    from imagescreen.jobs.workbench import open_workbench

    # That the current version is refused for want of its model may be why this is run; `compare` tells it otherwise.
    quiet_logs(logging.CRITICAL)
    with open_workbench(settings) as bench:
        with progress_bar() as progress:
            times = StageTimes(progress)
            change = ModelChange(bench, model, built_by=BUILT_BY, progress=times)
            built = change.build()
            comparison = None
            chosen = change.changes_space and change.can_go_back
            if chosen and sample:
                comparison = compare(bench, built.manifest.version, change.encoder, sample=sample, progress=times)
        _show_times(times)
        if comparison is not None:
            show_comparison(comparison, report)
            if report is not None:
                write_report(comparison, report)
        if chosen and not yes:
            _ask(built.manifest.version, model)
        with progress_bar() as progress:
            change.activate(built)
        show_built(built)


def _ask(version: str, model: str) -> None:
    """Ends the script, with what was built kept, unless a person on a terminal agrees."""
    kept = f"index version {version} is kept: .venv/bin/python scripts/index.py activate {version} makes it current"
    if not sys.stdin.isatty():
        fail(
            f"nobody was there to ask whether to switch to model {model!r} (--yes does not ask); {kept}", SOME_REJECTED
        )
    if not typer.confirm(f"switch to model {model}?"):
        fail(f"not switched; {kept}", SOME_REJECTED)


def _show_times(times: "StageTimes") -> None:
    for what, seconds in times.seconds.items():
        out.print(f"{seconds:8.1f} s  {what}", markup=False)


if __name__ == "__main__":
    run(app)
