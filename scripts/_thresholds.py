"""Shows a built version and its thresholds."""

from _console import out
from rich.table import Table

from imagescreen.jobs.build import Built


def show_built(built: Built) -> None:
    manifest = built.manifest
    out.print(
        f"index version {manifest.version} is current: {manifest.references} references, {manifest.pictures} pictures, "
        f"model {manifest.model}",
        markup=False,
    )
    measured, thresholds = built.measured, built.measured.thresholds
    if thresholds is None:
        out.print(
            f"no thresholds, so every package goes to review: {measured.uncalibrated}", style="yellow", markup=False
        )
        return
    table = Table("category", "review above", "of ordinary", "hold above", "of ordinary")
    rows = [*sorted(thresholds.categories), None]
    for category in rows:
        pair = thresholds.overall if category is None else thresholds.categories[category]
        support = thresholds.overall_support if category is None else thresholds.support[category]
        table.add_row(
            category or "any other",
            _figure(pair.review),
            f"{support.flagged_share:.2%}",
            _figure(pair.hold),
            f"{support.held_share:.2%}",
        )
    out.print(table)
    out.print(
        f"measured on {thresholds.pictures} ordinary pictures, of which {measured.flagged_share:.2%} would be flagged "
        f"and {measured.held_share:.2%} held over all categories together"
    )
    if any(pair.hold is None for pair in (thresholds.overall, *thresholds.categories.values())):
        out.print(
            "too few ordinary pictures to promise the hold rate: nothing is held where no figure stands",
            style="yellow",
        )


def _figure(threshold: float | None) -> str:
    return "-" if threshold is None else f"{threshold:.4f}"
