"""The benchmark of the service as a picture (extra `plots`)."""

from pathlib import Path
from statistics import median

from imagescreen.errors import BrokenInstallation
from imagescreen.evaluation.service_benchmark import CLIENTS, STRAIGHTFORWARD_CLIENTS, Figures


def plot(figures: Figures, cores: int, path: Path) -> None:
    """Writes a PNG: rate and latency against requests at once. Raises BrokenInstallation without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter
    except ImportError:
        raise BrokenInstallation("plots need the extra `plots` (pip install '.[plots]')") from None
    picture = Figure(figsize=(11, 4.5), layout="constrained")
    rates, latencies = picture.subplots(1, 2)
    sides = (
        ("each upload another file", CLIENTS, figures.cold),
        ("the same files again", CLIENTS, figures.repeated),
        ("straightforward service", STRAIGHTFORWARD_CLIENTS, figures.straightforward),
    )
    for label, clients, results in sides:
        rates.plot(clients, [median(r.rate for r in results[c]) for c in clients], marker="o", label=label)
        latencies.plot(
            clients, [median(r.p50_ms for r in results[c]) for c in clients], marker="o", label=f"{label}, p50"
        )
        latencies.plot(
            clients,
            [median(r.p99_ms for r in results[c]) for c in clients],
            marker="x",
            linestyle="--",
            color=latencies.lines[-1].get_color(),
        )
    rates.axhline(figures.bound(cores), color="grey", linestyle=":", label="bound: encoder and scaled decode alone")
    rates.set(title="Pictures a second", xlabel="requests at once", xscale="log", yscale="log")
    latencies.set(title="Latency in ms: p50, and p99 dashed", xlabel="requests at once", xscale="log", yscale="log")
    for axes in (rates, latencies):
        axes.set_xticks(CLIENTS, [str(number) for number in CLIENTS])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    picture.savefig(path, dpi=120)
