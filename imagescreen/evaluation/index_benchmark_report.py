"""The figures of the index benchmark as rows of a table and as a section in Markdown."""

import statistics
from collections.abc import Callable, Sequence
from datetime import date

from imagescreen.evaluation.index_benchmark import Plan, Prepared
from imagescreen.evaluation.index_measurement import Figures, Latency
from imagescreen.evaluation.machine import described

HEADER = ("question", "p50, ms a query", "p95, ms a query", "queries/s")


def latency_rows(figures: Figures) -> list[tuple[str, ...]]:
    """Median over the rounds, and in brackets the lowest and highest round."""
    first = ("one query, first pass after opening", *_figures([figures.first]))
    return [*((kind, *_figures(rounds)) for kind, rounds in figures.rounds.items()), first]


def fact_rows(prepared: Prepared, figures: Figures) -> list[tuple[str, str]]:
    manifest = figures.manifest
    parameters = ", ".join(f"{name} {_short(value)}" for name, value in manifest.parameters.items())
    stages = ", ".join(f"{what} {spent:.0f} s" for what, spent in prepared.stages_s.items())
    return [
        ("structure", f"{manifest.index_type}" + (f" ({parameters})" if parameters else "")),
        ("recall@10 against exact", f"{figures.recall:.4f}"),
        ("recall@10 of unrelated queries", f"{figures.unrelated_recall:.4f}"),
        ("recall@10 that the build measured", f"{manifest.recall:.4f} ({manifest.recall_queries} queries)"),
        ("build from the vectors on disk", f"{prepared.build_s:.0f} s ({stages})"),
        ("making the vectors and writing them", f"{prepared.generate_s:.0f} s"),
        ("open, with every hash checked", f"{figures.load_s:.2f} s"),
        ("size on disk", f"{figures.size_mib:,.0f} MiB"),
        ("resident memory after the queries", f"{figures.after.resident_mib:,.0f} MiB"),
        ("private memory after the queries", f"{figures.after.private_mib:,.0f} MiB"),
        ("private memory that opening added", f"{figures.loaded.private_mib - figures.before.private_mib:,.1f} MiB"),
    ]


def markdown(plan: Plan, prepared: Prepared, figures: Figures, *, command: str, on: date) -> str:
    """A section for docs/performance.md."""
    lines = [
        f"## Search in {plan.vectors:,} vectors of {plan.dimension} dimensions",
        "",
        f"{on.isoformat()}, {described(('faiss-cpu', 'numpy'))}. Seed {plan.seed}, {plan.queries} queries.",
        "",
        f"    {command}",
        "",
        *_table(HEADER, latency_rows(figures)),
        "",
        *_table(("", ""), fact_rows(prepared, figures)),
        "",
    ]
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(header), _line(["---"] * len(header)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figures(rounds: Sequence[Latency]) -> tuple[str, str, str]:
    return (
        _spread(rounds, lambda latency: latency.p50_ms, 2),
        _spread(rounds, lambda latency: latency.p95_ms, 2),
        _spread(rounds, lambda latency: latency.rate, 0),
    )


def _spread(rounds: Sequence[Latency], value: Callable[[Latency], float], digits: int) -> str:
    values = [value(latency) for latency in rounds]
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def _short(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
