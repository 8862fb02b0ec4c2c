"""What the benchmark of the service says: tables for the terminal and for docs/performance.md, and the plot's data."""

from collections.abc import Callable, Sequence
from datetime import date
from statistics import median

from imagescreen.evaluation.http_load import LoadResult
from imagescreen.evaluation.machine import described
from imagescreen.evaluation.overload import Overload
from imagescreen.evaluation.service_benchmark import BATCHES, CLIENTS, STRAIGHTFORWARD_CLIENTS, Figures

LIBRARIES = ("torch", "open-clip-torch", "faiss-cpu", "pillow", "litestar", "uvicorn")


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median, and the lowest to the highest of several rounds."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def tables(figures: Figures, cores: int) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, header, rows) of each table."""
    overload = figures.overload
    return [
        ("Bare parts, pictures a second", ["part", "median (lowest to highest)"], _bare_rows(figures)),
        (
            "The whole service over HTTP",
            ["side", "at once", "pictures/s", "p50 ms", "p95 ms", "p99 ms", "refused or failed", "generator CPU s"],
            _service_rows(figures),
        ),
        ("Ratios of this run", ["what", "measured", "goal"], _ratio_rows(figures, cores)),
        *([] if overload is None else [("Overload", ["what", "measured", "goal"], _overload_rows(overload))]),
    ]


def markdown(figures: Figures, *, cores: int, command: str, today: date, setup: str) -> str:
    """A section for docs/performance.md."""
    lines = [f"## Service, {today.isoformat()}", "", f"`{command}`", "", f"{described(LIBRARIES)}. {setup}", ""]
    for title, header, rows in tables(figures, cores):
        lines += [f"{title}:", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _bare_rows(figures: Figures) -> list[list[str]]:
    rows = [
        [f"encoder, {figures.dtype} on {figures.device}, batch {batch}", spread(figures.encode[batch])]
        for batch in BATCHES
    ]
    return [*rows, ["scaled decode, one core", spread(figures.decode)]]


def _service_rows(figures: Figures) -> list[list[str]]:
    rows = [_load_row("service, each upload another file", clients, figures.cold[clients]) for clients in CLIENTS]
    rows += [_load_row("service, the same files again", clients, figures.repeated[clients]) for clients in CLIENTS]
    return rows + [
        _load_row("straightforward service", clients, figures.straightforward[clients])
        for clients in STRAIGHTFORWARD_CLIENTS
    ]


def _load_row(side: str, clients: int, results: Sequence[LoadResult]) -> list[str]:
    failed = sum(sum(result.statuses.values()) - result.good for result in results)
    return [
        side,
        str(clients),
        _each(results, lambda result: result.rate),
        _each(results, lambda result: result.p50_ms, 0),
        _each(results, lambda result: result.p95_ms, 0),
        _each(results, lambda result: result.p99_ms, 0),
        str(failed),
        _each(results, lambda result: result.generator_cpu_s),
    ]


def _each(results: Sequence[LoadResult], value: Callable[[LoadResult], float], digits: int = 1) -> str:
    return spread([value(result) for result in results], digits)


def _ratio_rows(figures: Figures, cores: int) -> list[list[str]]:
    bound = figures.bound(cores)
    at_16 = [result.rate for result in figures.cold[16]]
    pairs = list(zip(figures.cold[16], figures.straightforward[16], strict=True))
    alone = list(zip(figures.cold[1], figures.straightforward[1], strict=True))
    return [
        ["bound 1 / (1/E + D/cores), pictures/s", f"{bound:.1f}", ""],
        ["share of the bound at 16 at once", spread([rate / bound for rate in at_16], 2), "≥ 0.85"],
        ["pictures/s against the straightforward service, 16 at once", _ratio(pairs, lambda r: r.rate), "≥ 6"],
        ["p50 against the straightforward service, alone", _ratio(alone, lambda r: r.p50_ms), "≤ 0.35"],
        ["p99 / p50 at 16 at once", spread([r.p99_ms / r.p50_ms for r in figures.cold[16]], 2), "≤ 3"],
        ["known pictures, packages/s, 16 at once", spread([r.rate for r in figures.repeated[16]]), "≥ 300"],
        ["resident memory of the service, MiB", f"{figures.resident_mib:.0f}", "≤ 1536"],
    ]


def _ratio(pairs: Sequence[tuple[LoadResult, LoadResult]], value: Callable[[LoadResult], float]) -> str:
    return spread([value(ours) / value(theirs) for ours, theirs in pairs], 2)


def _overload_rows(overload: Overload) -> list[list[str]]:
    during = overload.during
    return [
        ["answers/s before, 16 at once", f"{overload.before.rate:.1f}", ""],
        ["offered for so long", f"{overload.offered_rate:.1f}/s for {overload.seconds / 60:.1f} min", ""],
        ["sent late, for want of a connection", f"{overload.late} of {len(during.answers)}", "0"],
        ["answered", f"{during.good} ({during.good / during.wall_s:.1f}/s)", ""],
        ["latency of those, p50 / p99", f"{during.p50_ms / 1000:.1f} / {during.p99_ms / 1000:.1f} s", ""],
        ["refused (503)", str(overload.refused), ""],
        ["broken connections", str(during.statuses.get(0, 0)), "0"],
        ["accepted and lost", str(overload.lost), "0"],
        [
            "refusals answered within, p50 / p99 / all",
            " / ".join(f"{overload.refusal_ms(percent):.0f}" for percent in (50, 99, 100)) + " ms",
            "≤ 100 ms",
        ],
        [
            "resident memory before / first tenth after two / last tenth",
            f"{overload.memory_before_mib:.0f} / {overload.memory_in(0.2, 0.3):.0f} / "
            f"{overload.memory_in(0.9, 1):.0f} MiB",
            "flat",
        ],
        [
            "answers/s from 5 s after the end on, against before",
            f"{overload.after_rate:.1f} ({overload.after_rate / overload.before.rate:.2f})",
            "1",
        ],
    ]
