"""Shows a built version and its thresholds, with what they promise and what stands behind it."""

from collections import Counter

from _console import out
from rich import box
from rich.table import Column, Table

from imagescreen.calibration.thresholds import Rate, Thresholds, packages_needed
from imagescreen.jobs.build import Built
from imagescreen.jobs.measure import Measured
from imagescreen.jobs.preview import Preview

SHOWN = 20


def show_built(built: Built) -> None:
    manifest = built.manifest
    out.print(
        f"index version {manifest.version} is current: {manifest.references} references, {manifest.pictures} pictures, "
        f"model {manifest.model}",
        markup=False,
    )
    show_measured(built.measured)


def show_measured(measured: Measured) -> None:
    normalisation = measured.scale.normalisation
    if normalisation is not None:
        out.print(
            f"scores are similarities less {normalisation.beta:g} times the mean of the {normalisation.k} highest to "
            f"background {normalisation.background} ({normalisation.pictures:,} pictures)",
            markup=False,
        )
    for name in measured.left_out[:SHOWN]:
        out.print(f"background picture left out, a reference nearly has it now: {name}", style="yellow", markup=False)
    if len(measured.left_out) > SHOWN:
        out.print(f"  and {len(measured.left_out) - SHOWN} more", style="yellow")
    for count, why in (
        (measured.known_items, "they show a known item"),
        (measured.in_background, "they show a picture of the background"),
        (measured.lost, "their pictures were not kept, and this model has not embedded them"),
    ):
        if count:
            out.print(f"{count} calibration packages are left out: {why}", style="yellow")
    if measured.without_words:
        out.print(
            f"{measured.without_words} references described in words are left out: this model has no vectors of their "
            "phrases (scripts/reindex.py --model embeds them, if the model has a text side)",
            style="yellow",
        )
    if measured.unused_shares:
        out.print(
            f"the policy gives shares to categories without references: {', '.join(measured.unused_shares)}",
            style="yellow",
            markup=False,
        )
    if measured.thresholds is None:
        out.print(
            f"no thresholds, so every package goes to review: {measured.uncalibrated}", style="yellow", markup=False
        )
    else:
        _show_thresholds(measured.thresholds)


def _show_thresholds(thresholds: Thresholds) -> None:
    out.print(
        f"thresholds are measured on {thresholds.packages:,} ordinary packages with {thresholds.pictures:,} pictures; "
        "promised and measured are shares of packages, with the 95 % interval of the true rate"
    )
    # Long and narrow: on 80 columns no category is cut.
    names = ("category", "level", "above", "promised", "measured", "95 % interval")
    table = Table(*(Column(name, no_wrap=True) for name in names), box=box.SIMPLE_HEAD, pad_edge=False)
    for category in sorted(thresholds.categories):
        pair, support = thresholds.categories[category], thresholds.support[category]
        table.add_row(category, "review", _figure(pair.review), *_rate(support.review, thresholds.divided_review))
        table.add_row("", "hold", _figure(pair.hold), *_rate(support.hold, thresholds.divided_hold))
    words = thresholds.words
    if words is not None:
        table.add_row("by words", "review", _figure(words.pair.review), *_rate(words.support.review, True))
        table.add_row("", "hold", _figure(words.pair.hold), *_rate(words.support.hold, True))
    total, overall = thresholds.total, thresholds.overall
    table.add_row("all together", "review", "", *_rate(total.review, True))
    table.add_row("", "hold", "", *_rate(total.hold, True))
    table.add_row("any other", "review", _figure(overall.review), "", "", "")
    table.add_row("", "hold", _figure(overall.hold), "", "", "")
    out.print(table)
    for name, divided, rate in (
        ("review", thresholds.divided_review, thresholds.rates.review),
        ("hold", thresholds.divided_hold, thresholds.rates.hold),
    ):
        _show_support(name, thresholds, rate, divided=divided)
    if words is not None and words.pair.review is None:
        needed = packages_needed(thresholds.rates.review * words.shares.review)
        out.print(
            f"{words.references} references described in words flag nothing by them: their share of the review rate "
            f"needs {needed - thresholds.packages:,} more ordinary packages",
            style="yellow",
        )


def _show_support(name: str, thresholds: Thresholds, rate: float, *, divided: bool) -> None:
    if divided:
        return
    needed = packages_needed(rate)
    if thresholds.packages < needed:
        out.print(
            f"too few ordinary packages to promise a {name} rate of 1 in {1 / rate:g}, which needs "
            f"{needed - thresholds.packages:,} more: nothing is held on similarity alone, such matches are review",
            style="yellow",
        )
        return
    smallest = min(thresholds.shares.values())
    more = packages_needed(rate * smallest) - thresholds.packages
    out.print(
        f"too few ordinary packages to divide the {name} rate over the categories, which needs {more:,} more: they "
        "have one threshold in common, and keep the rate together"
    )


def show_preview(preview: Preview) -> None:
    out.print(
        f"of the {preview.compared} newest stored screenings, {len(preview.changes)} would get another disposition"
    )
    if preview.other_model:
        out.print(f"{preview.other_model} others were made with another model and cannot be compared", style="yellow")
    for (before, after), count in Counter((c.before, c.after) for c in preview.changes).most_common():
        out.print(f"  {before.value} -> {after.value}: {count}")
    for change in preview.changes[:SHOWN]:
        out.print(
            f"    {change.before.value} -> {change.after.value}: package {change.package_id}, "
            f"/v1/screenings/{change.screening_id}",
            markup=False,
        )
    if len(preview.changes) > SHOWN:
        out.print(f"    and {len(preview.changes) - SHOWN} more")


def _figure(threshold: float | None) -> str:
    return "-" if threshold is None else f"{threshold:.4f}"


def _rate(rate: Rate, divided: bool) -> tuple[str, str, str]:
    """What is promised and measured, and the interval."""
    if rate.measured is None or rate.interval is None:
        return "-", "-", "-"
    promised = f"1 in {1 / rate.promised:,.0f}" if divided else "together"
    return promised, f"{rate.measured:.2%}", f"{rate.interval.low:.2%} to {rate.interval.high:.2%}"
