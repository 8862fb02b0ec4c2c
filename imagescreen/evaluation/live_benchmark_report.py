"""What the benchmarks of a live index say: tables for the terminal and for docs/performance.md."""

from collections.abc import Sequence
from datetime import date
from statistics import median

import numpy as np

from imagescreen.evaluation.http_load import LoadResult
from imagescreen.evaluation.live_benchmark_adding import Adding
from imagescreen.evaluation.live_benchmark_changes import Delays
from imagescreen.evaluation.live_benchmark_reload import Reload
from imagescreen.evaluation.machine import described
from imagescreen.evaluation.service_report import LIBRARIES

Rows = list[list[str]]


def changes_table(delays: Delays) -> Rows:
    """Header and rows: seconds until a change was served, in all and by kind."""
    groups = [("all changes", delays.all()), *((change.value, told) for change, told in delays.by_change.items())]
    rows = [["change", "seen", "p50 s", "p99 s", "max s"]]
    for name, told in groups:
        p50, p99 = np.percentile(told, (50, 99))
        rows.append([name, str(len(told)), f"{p50:.2f}", f"{p99:.2f}", f"{max(told):.2f}"])
    return rows


def reload_table(reloads: Sequence[Reload]) -> Rows:
    """Header and rows: each switch, and what it cost."""
    rows = [
        [
            "switch",
            "took s",
            "p50 / p99 / max ms before",
            "p50 / p99 / max ms meanwhile",
            "failed",
            "private MiB before / peak / after",
            "added / index size",
        ]
    ]
    for number, reload in enumerate(reloads, start=1):
        memory = (reload.private_before_mib, reload.private_peak_mib, reload.private_after_mib)
        rows.append(
            [
                str(number),
                f"{reload.switch_s:.1f}",
                _percentiles(reload.quiet_ms),
                _percentiles(reload.during_ms),
                str(reload.failed),
                " / ".join(f"{value:,.0f}" for value in memory),
                f"{reload.added_share:.2f}",
            ]
        )
    return rows


def adding_table(adding: Adding) -> Rows:
    """Header and rows: scoring without and with the script, and the ratio of the medians."""
    rows = [["scoring", "windows", "packages/s", "p50 ms", "p95 ms", "failed"]]
    for name, results in (("alone", adding.without), ("while references are added", adding.meanwhile)):
        rows.append(
            [
                name,
                str(len(results)),
                f"{_rate(results):.1f}",
                f"{median(result.p50_ms for result in results):.0f}",
                f"{median(result.p95_ms for result in results):.0f}",
                str(sum(sum(result.statuses.values()) - result.good for result in results)),
            ]
        )
    rows.append(["share that remains", "", f"{_rate(adding.meanwhile) / _rate(adding.without):.2f}", "", "", ""])
    rows.append(["references added", "", f"{adding.added / adding.adding_s:.1f}/s", "", "", ""])
    return rows


def markdown(title: str, rows: Rows, *, command: str, today: date, setup: str) -> str:
    """A section for docs/performance.md."""
    lines = [f"## {title}, {today.isoformat()}", "", f"`{command}`", "", f"{described(LIBRARIES)}. {setup}", ""]
    lines += ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(row) + " |" for row in rows[1:]]
    return "\n".join([*lines, ""])


def _percentiles(latencies_ms: np.ndarray) -> str:
    p50, p99 = np.percentile(latencies_ms, (50, 99))
    return f"{p50:.0f} / {p99:.0f} / {latencies_ms.max():.0f}"


def _rate(results: Sequence[LoadResult]) -> float:
    return median(result.rate for result in results)
