"""Shows measured quality as tables."""

from collections.abc import Sequence

from _console import out
from rich.table import Table

from imagescreen.evaluation.promise import Promise
from imagescreen.evaluation.quality import Quality
from imagescreen.evaluation.quality_tables import (
    AT_RATE_HEADER,
    PROMISE_HEADER,
    RANKING_HEADER,
    about,
    at_rate_rows,
    gain_sentences,
    promise_rows,
    promise_sentence,
    ranking_rows,
)

_MOST_REJECTED = 20


def show_evaluation(
    qualities: Sequence[Quality],
    promises: Sequence[Promise],
    remarks: Sequence[str],
    rejected: Sequence[tuple[str, str]],
) -> None:
    for quality in qualities:
        out.print(f"\n{quality.name}", style="bold", markup=False)
        out.print(about(quality), markup=False)
        _show(AT_RATE_HEADER, at_rate_rows(quality))
        for sentence in gain_sentences(quality):
            out.print(sentence, markup=False)
        _show(RANKING_HEADER, ranking_rows(quality))
    if promises:
        out.print(f"\n{promise_sentence(promises)}", markup=False)
        _show(PROMISE_HEADER, promise_rows(promises))
    for remark in remarks:
        out.print(remark, markup=False)
    for name, why in rejected[:_MOST_REJECTED]:
        out.print(f"not used: {name}: {why}", markup=False)
    if rejected:
        out.print(f"{len(rejected):,} pictures could not be used", markup=False)


def _show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    out.print(table)
