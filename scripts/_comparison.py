"""Shows what another model would change."""

import csv
from collections import Counter
from pathlib import Path

from _console import out

from imagescreen.jobs.compare import Comparison

SHOWN = 20


def show_comparison(comparison: Comparison, report: Path | None) -> None:
    if comparison.impossible is not None:
        out.print(f"nothing was compared: {comparison.impossible}", style="yellow", markup=False)
        return
    out.print(
        f"{comparison.compared} stored screenings were screened with both models, "
        f"{len(comparison.changes)} get another disposition"
    )
    if comparison.not_kept:
        out.print(
            f"{comparison.not_kept} screenings of the same time could not be compared, because not all of their "
            "pictures were kept (setting `keep_pictures`): what is cleared is usually not kept, so the sample is not "
            "like the traffic",
            style="yellow",
        )
    for (before, after), count in Counter((c.before, c.after) for c in comparison.changes).most_common():
        out.print(f"  {before.value} -> {after.value}: {count}")
    for change in comparison.changes[:SHOWN]:
        out.print(
            f"    {change.before.value} -> {change.after.value}: package {change.package_id}, "
            f"/v1/screenings/{change.screening_id}",
            markup=False,
        )
    if len(comparison.changes) > SHOWN:
        out.print(f"    and {len(comparison.changes) - SHOWN} more{'' if report else ' (--report FILE has them all)'}")


def write_report(comparison: Comparison, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["screening_id", "participant", "package_id", "revision", "recorded", "before", "after"])
        for change in comparison.changes:
            writer.writerow(
                [
                    change.screening_id,
                    change.participant,
                    change.package_id,
                    change.revision,
                    change.recorded.value,
                    change.before.value,
                    change.after.value,
                ]
            )
    out.print(f"all that change are in {path}", markup=False)
