"""Measures thresholds for review and hold with packages of ordinary goods.

Takes in packages that show nothing of the catalogue, adds them to the stored set, and builds an index version with
thresholds that keep the policy's rates for packages: at most so many in 100 ordinary ones go to review. In FOLDER each
sub-folder with pictures is one package, and each picture directly in it is a package of one; a sub-folder with more
pictures than a package may have (setting max_pictures, 16), such as a folder for each kind of goods, is rejected. With
--screenings, the packages are stored screenings that stayed clear or that a review dismissed, 20,000 drawn at random
where there are more (--at-most). Every later build measures them again.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from _console import DONE, SOME_REJECTED, low_priority, new_app, out, progress_bar, run
from _thresholds import show_built, show_measured, show_preview

from imagescreen.errors import IndexUnavailable, InvalidContent, WrongUse
from imagescreen.settings import Settings, read_settings

if TYPE_CHECKING:
    from imagescreen.database.calibration_set import OrdinaryPackage
    from imagescreen.jobs.calibrate import Intake
    from imagescreen.jobs.ordinary_packages import NewPackage
    from imagescreen.jobs.progress import Progress
    from imagescreen.jobs.workbench import Workbench

app = new_app()

BUILT_BY = "scripts/calibrate.py"
AT_MOST = 20_000
"""7,999 let 8 categories divide a hold rate of 1 in 1,000; every server compares new references with all of them."""

EPILOG = """
**Examples**

    .venv/bin/python scripts/calibrate.py ordinary-goods/ --source "cleared parcels, spring"

    .venv/bin/python scripts/calibrate.py --screenings --since 2027-01-01 --until 2027-02-01

    .venv/bin/python scripts/calibrate.py ordinary-goods/ --dry-run

A review rate of 1 in 100 needs at least 99 packages, a hold rate of 1 in 1,000 needs 999. To divide a rate over 8
categories takes 8 times as many; with fewer, the categories have one threshold in common.

With --replace the earlier packages count until the version with the new thresholds is current.

Exit codes: 0 calibrated, 1 calibrated but some packages were rejected, or refused (nothing is changed then), 2 wrong
use.
"""


@app.command(help=__doc__, epilog=EPILOG)
def main(
    folder: Annotated[Path | None, typer.Argument(help="Folder of packages of ordinary goods.")] = None,
    screenings: Annotated[bool, typer.Option("--screenings", help="Take stored screenings, not FOLDER.")] = False,
    since: Annotated[datetime | None, typer.Option(help="With --screenings: from this moment on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="With --screenings: before this moment (UTC).")] = None,
    at_most: Annotated[
        int, typer.Option(min=1, help="With --screenings: how many are drawn at random where there are more.")
    ] = AT_MOST,
    source: Annotated[str, typer.Option(help="Where they come from (default: the folder's name).")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Forget the packages of earlier calibrations.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Store nothing: show the thresholds, and the stored screenings that they would change."
        ),
    ] = False,
    sample_screenings: Annotated[
        int, typer.Option(min=0, help="With --dry-run: how many stored screenings are looked at, the newest.")
    ] = 1000,
    threads: Annotated[int, typer.Option(min=1, help="Threads; one leaves room for a server.")] = 1,
) -> None:
    if (folder is not None) and screenings:
        raise WrongUse("give a folder or --screenings, not both")
    if folder is None and not screenings and not dry_run:
        raise WrongUse("give a folder of ordinary goods, or --screenings")
    if folder is not None and not folder.is_dir():
        raise WrongUse(f"{folder} is no folder")
    if (since or until) and not screenings:
        raise WrongUse("--since and --until go with --screenings")
    low_priority()
    settings = read_settings(torch_threads=threads, faiss_threads=threads, decode_threads=threads)
    from imagescreen.jobs.workbench import open_workbench

    offered = _Offered(folder, settings)
    if folder is not None:
        _refuse_too_few(settings, offered, replace=replace)
    with open_workbench(settings) as bench, progress_bar() as progress:
        stored = _of_screenings(bench, since, until, at_most) if screenings else []
        if dry_run:
            rejected = _show_what_would_change(
                bench, offered, stored, replace=replace, sample=sample_screenings, progress=progress
            )
            raise typer.Exit(SOME_REJECTED if rejected else DONE)
        from imagescreen.jobs.calibrate import calibrate, calibrate_with

        if screenings:
            intake, built = calibrate_with(
                bench, stored, source=source or "screenings", replace=replace, built_by=BUILT_BY, progress=progress
            )
        else:
            intake, built = calibrate(
                bench,
                offered.packages(),
                total=offered.total,
                source=source or offered.name,
                replace=replace,
                built_by=BUILT_BY,
                progress=progress,
            )
    rejected = _show_intake(intake, offered)
    show_built(built)
    raise typer.Exit(SOME_REJECTED if rejected else DONE)


class _Offered:
    """The packages in a folder, none without one; `rejected` is (name, why) of those that are too large, and once they
    were gone through also of those that cannot be read.
    """

    def __init__(self, folder: Path | None, settings: Settings) -> None:
        from imagescreen.jobs.ordinary_packages import check_size
        from imagescreen.references.offers import PICTURE_SUFFIXES

        self._settings = settings
        self.rejected: list[tuple[str, str]] = []
        self._files: dict[str, list[Path]] = {}
        self.name = "" if folder is None else folder.name
        if folder is None:
            return
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
                name = str((path if path.parent == folder else path.parent).relative_to(folder))
                self._files.setdefault(name, []).append(path)
        if not self._files:
            raise WrongUse(f"there are no pictures in {folder}")
        for name, paths in list(self._files.items()):
            try:
                check_size(len(paths), settings.max_pictures)
            except InvalidContent as error:
                self.rejected.append((name, error.detail))
                del self._files[name]

    def __len__(self) -> int:
        return len(self._files)

    @property
    def total(self) -> int:
        return sum(map(len, self._files.values()))

    def packages(self) -> "Iterator[NewPackage]":
        from imagescreen.jobs.add_references import read_picture_file
        from imagescreen.jobs.ordinary_packages import NewPackage
        from imagescreen.references.enrolment import NewPicture

        for name, paths in self._files.items():
            try:
                pictures = [
                    NewPicture(path.name, read_picture_file(path, self._settings.max_picture_bytes)) for path in paths
                ]
                yield NewPackage(name, pictures)
            except InvalidContent as error:
                self.rejected.append((name, error.detail))


def _refuse_too_few(settings: Settings, offered: _Offered, *, replace: bool) -> None:
    """Before anything is embedded, which takes hours for many. Raises InvalidContent."""
    from imagescreen.jobs.calibrate import check_offered
    from imagescreen.jobs.workbench import open_store
    from imagescreen.screening.policy import read_policy

    policy = read_policy(settings.policy_file)
    with open_store(settings) as store:
        try:
            check_offered(store, policy, len(offered), replace=replace)
        except InvalidContent:
            _show_rejected(offered.rejected)
            raise


def _of_screenings(
    bench: "Workbench", since: datetime | None, until: datetime | None, at_most: int
) -> "Sequence[OrdinaryPackage]":
    from imagescreen.jobs.ordinary_packages import packages_of_screenings

    choice = packages_of_screenings(
        bench,
        since=None if since is None else since.replace(tzinfo=since.tzinfo or UTC),
        until=None if until is None else until.replace(tzinfo=until.tzinfo or UTC),
        review_rate=bench.policy.wishes.rates.review,
        at_most=at_most,
    )
    if choice.drawn < choice.eligible:
        out.print(f"{choice.drawn:,} of {choice.eligible:,} stored screenings were drawn at random (--at-most)")
    out.print(f"{len(choice.packages)} stored screenings are ordinary packages")
    for why, count in choice.others.most_common():
        out.print(f"  not taken, {why}: {count}", markup=False)
    return choice.packages


def _show_what_would_change(
    bench: "Workbench",
    offered: _Offered,
    stored: "Sequence[OrdinaryPackage]",
    *,
    replace: bool,
    sample: int,
    progress: "Progress",
) -> int:
    from imagescreen.jobs.calibrate import embed_all, measure_with
    from imagescreen.jobs.preview import preview

    embedded, rejected = embed_all(bench, offered.packages(), total=offered.total, progress=progress)
    measured = measure_with(bench, [*stored, *embedded], replace=replace, progress=progress)
    rejected = [*offered.rejected, *rejected]
    _show_rejected(rejected)
    show_measured(measured)
    try:
        show_preview(preview(bench, measured.scale, sample=sample, progress=progress))
    except IndexUnavailable as error:
        out.print(f"no stored screenings can be compared: {error.detail}", style="yellow", markup=False)
    out.print("nothing was stored (--dry-run)")
    return len(rejected)


def _show_intake(intake: "Intake", offered: _Offered) -> int:
    rejected = [*offered.rejected, *intake.rejected]
    _show_rejected(rejected)
    out.print(f"{intake.added} packages added, {intake.known} were there already, {len(rejected)} rejected")
    if intake.regained:
        out.print(
            f"{intake.regained} of those that were there had been left out, and can be measured with this model now"
        )
    return len(rejected)


def _show_rejected(rejected: Sequence[tuple[str, str]]) -> None:
    for name, why in rejected:
        out.print(f"rejected: {name}: {why}", markup=False)


if __name__ == "__main__":
    run(app)
