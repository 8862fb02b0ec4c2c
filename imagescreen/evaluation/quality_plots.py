"""Plots of an evaluation as PNG bytes (extra `plots`). No text from outside gets into them."""

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from imagescreen.errors import BrokenInstallation
from imagescreen.evaluation.curves import precision_recall_curve, recall_curve
from imagescreen.evaluation.quality import Kind, Quality, flags
from imagescreen.evaluation.trials import Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {Kind.RAW: "#8a8f98", Kind.NORMALISED: "#1f6fb4", Kind.CALIBRATED: "#c2410c"}
_CAUGHT, _ORDINARY = "#1f6fb4", "#c2410c"
_BINS = 60


def check_plots() -> None:
    """Raises BrokenInstallation without matplotlib."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise BrokenInstallation("the HTML report's plots need the extra `plots` (pip install '.[plots]')") from None


def plot_curves(quality: Quality, scored: Mapping[Kind, Scored]) -> bytes:
    """Precision against recall, and recall against the rate of false flags on a log axis."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(11, 4.2), layout="constrained")
    precisions, recalls = picture.subplots(1, 2)
    ordinary = quality.counts.ordinary
    for kind, scores in scored.items():
        flagged, correct = flags(scores)
        precision, recall = precision_recall_curve(flagged, correct, len(scores.best))
        precisions.step(recall, precision, where="post", color=COLOURS[kind], label=kind.value)
        rates, caught = recall_curve(scores.right, scores.ordinary)
        recalls.step(rates[1:], caught[1:], where="post", color=COLOURS[kind], label=kind.value)
    for entry in quality.at_rates:
        if entry.kind is Kind.CALIBRATED and entry.recall is not None and entry.false_flags is not None:
            recalls.errorbar(
                [max(entry.false_flags.value, 0.5 / ordinary)],
                [entry.recall.value],
                yerr=[[entry.recall.value - entry.recall.low], [entry.recall.high - entry.recall.value]],
                color=COLOURS[Kind.CALIBRATED],
                marker="o",
                capsize=3,
                label=f"calibrated to 1 in {1 / entry.rate:,.0f}",
            )
    precisions.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="Precision against recall")
    recalls.set(
        xscale="log",
        xlim=(0.7 / ordinary, 1),
        ylim=(0, 1.02),
        xlabel="share of ordinary packages flagged",
        ylabel="recall",
        title="Recall against false flags",
    )
    for axes in (precisions, recalls):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="best")
    return _png(picture)


def plot_scores(scored: Mapping[Kind, Scored]) -> bytes:
    """Histograms of the scores of packages that show a known item, and of ordinary ones."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (kind, scores) in zip(np.atleast_1d(picture.subplots(1, len(scored))), scored.items(), strict=True):
        low = min(scores.right.min(), scores.ordinary.min())
        bins = np.linspace(low, max(scores.right.max(), scores.ordinary.max(), low + 1e-3), _BINS)
        for values, colour, label in (
            (scores.ordinary, _ORDINARY, "ordinary, best match"),
            (scores.right, _CAUGHT, "shows a known item, right match"),
        ):
            shares = np.full(len(values), 1 / len(values))
            axes.hist(values, bins, weights=shares, color=colour, alpha=0.55, label=label)
        axes.set(xlabel=f"{kind.value} score", ylabel="share of packages", title=f"{kind.value.capitalize()} scores")
        axes.legend(fontsize="small", loc="best")
        axes.grid(alpha=0.3)
    return _png(picture)


def _png(picture: "Figure") -> bytes:
    buffer = BytesIO()
    picture.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
