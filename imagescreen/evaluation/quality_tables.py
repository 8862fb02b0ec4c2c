"""Measured quality as rows of text: for the terminal, the HTML report and Markdown alike."""

from collections.abc import Sequence

from imagescreen.evaluation.promise import Pooled, Promise, pooled_rate
from imagescreen.evaluation.quality import Figure, Kind, Quality

OVERVIEW_HEADER = ("task", "false flags", *(f"recall, {kind.value}" for kind in Kind))
AT_RATE_HEADER = ("false flags", "score", "recall", "false flags measured")
RANKING_HEADER = ("score", "right reference first", "average precision", "recall at 90 % precision")
PROMISE_HEADER = ("ordinary packages", "promised", "calibrated on", "cells inside their interval", "pooled rate")


def one_in(rate: float) -> str:
    return f"1 in {1 / rate:,.4g}"


def about(quality: Quality) -> str:
    counts = quality.counts
    labels = "1 label" if counts.labels == 1 else f"{counts.labels:,} labels"
    told = (
        f"{counts.references:,} reference pictures of {labels}; {counts.queries:,} labelled packages "
        f"({counts.query_pictures:,} pictures), {counts.ordinary:,} ordinary ones ({counts.ordinary_pictures:,})"
    )
    if not counts.background:
        return f"{told}; no background, so scores are raw and the calibrated figures are of the raw score."
    return f"{told}; {counts.background:,} background pictures, beta {quality.beta:g}, k {quality.top_k}."


def overview_rows(qualities: Sequence[Quality]) -> list[tuple[str, ...]]:
    """A row for each task and rate."""
    rows: list[tuple[str, ...]] = []
    for quality in qualities:
        recalls = {(entry.rate, entry.kind): entry.recall for entry in quality.at_rates}
        for rate in sorted({entry.rate for entry in quality.at_rates}, reverse=True):
            told = [recalls.get((rate, kind)) for kind in Kind]
            cells = ["-" if recall is None else f"{recall.value:.3f}" for recall in told]
            rows.append((quality.name, one_in(rate), *cells))
    return rows


def at_rate_rows(quality: Quality) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for entry in sorted(quality.at_rates, key=lambda entry: (-entry.rate, list(Kind).index(entry.kind))):
        if entry.recall is None or entry.false_flags is None:
            needed = f"needs {entry.needed:,} ordinary packages"
            rows.append((one_in(entry.rate), entry.kind.value, "-", needed))
        elif entry.kind is Kind.CALIBRATED:
            rows.append((one_in(entry.rate), entry.kind.value, figure(entry.recall), percent(entry.false_flags)))
        else:
            rows.append((one_in(entry.rate), entry.kind.value, figure(entry.recall), f"{entry.false_flags.value:.2%}"))
    return rows


def ranking_rows(quality: Quality) -> list[tuple[str, ...]]:
    return [
        (
            ranking.kind.value,
            figure(ranking.right_first),
            figure(ranking.average_precision),
            figure(ranking.recall_at_90_precision),
        )
        for ranking in quality.rankings
    ]


def gain_sentences(quality: Quality) -> list[str]:
    """What normalisation changes, a sentence for each rate."""
    told = []
    for gain in quality.gains:
        change = f"{gain.difference.value:+.3f} ({gain.difference.low:+.3f} to {gain.difference.high:+.3f})"
        ratio = "" if gain.ratio is None else f", {gain.ratio:.2f} times raw"
        gone = gain.misses_removed or 0.0
        misses = f", {gone:.0%} of raw's misses gone" if gone > 0 else ""
        goal = "reached" if gain.reached else "missed"
        told.append(f"Normalised at {one_in(gain.rate)}: recall {change}{ratio}{misses}; goal {goal}.")
    return told


def promise_rows(promises: Sequence[Promise]) -> list[tuple[str, ...]]:
    return [
        (
            promise.name,
            one_in(promise.rate),
            f"{promise.cells[0].calibrated:,}",
            f"{promise.inside} of {len(promise.cells)}",
            _pooled(pooled_rate([promise])),
        )
        for promise in promises
    ]


def promise_sentence(promises: Sequence[Promise]) -> str:
    cells = sum(len(promise.cells) for promise in promises)
    inside = sum(promise.inside for promise in promises)
    rows = sum(pooled_rate([promise]).inside for promise in promises)
    told = [
        f"Over random halves of the ordinary packages, one calibrating and one counted, {inside} of {cells} cells "
        f"({inside / cells:.1%}) lie inside their 95 % interval, and so does the pooled rate in {rows} of "
        f"{len(promises)} rows."
    ]
    rates = sorted({promise.rate for promise in promises}, reverse=True)
    together = {rate: pooled_rate([promise for promise in promises if promise.rate == rate]) for rate in rates}
    told += [f"All rows of {one_in(rate)} together: {_pooled(pooled)}." for rate, pooled in together.items()]
    return " ".join(told)


def _pooled(pooled: Pooled) -> str:
    return f"{pooled.rate:.3%} ({'inside' if pooled.inside else 'outside'} {pooled.low:.3%} to {pooled.high:.3%})"


def figure(measured: Figure) -> str:
    return f"{measured.value:.3f} ({measured.low:.3f}-{measured.high:.3f})"


def percent(measured: Figure) -> str:
    return f"{measured.value:.2%} ({measured.low:.2%}-{measured.high:.2%})"
