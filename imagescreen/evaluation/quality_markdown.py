"""Measured quality as a section in Markdown."""

from collections.abc import Sequence

from imagescreen.evaluation.promise import Promise
from imagescreen.evaluation.quality import Quality
from imagescreen.evaluation.quality_report import Heading
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


def markdown(
    heading: Heading,
    qualities: Sequence[Quality],
    promises: Sequence[Promise],
    remarks: Sequence[str],
    rejected: Sequence[tuple[str, str]],
) -> str:
    """A section for docs/quality.md."""
    lines = [
        f"## {heading.title}, {heading.on}",
        "",
        f"    {heading.command}",
        "",
        f"{heading.machine}. Model `{heading.model}`, fingerprint `{heading.fingerprint}`. {len(rejected):,} pictures "
        "could not be used. Brackets: 95 % bootstrap intervals.",
        "",
        *(f"- {remark}" for remark in remarks),
        *([""] if remarks else []),
    ]
    for quality in qualities:
        lines += [
            f"### {_plain(quality.name)}",
            "",
            *([quality.what, ""] if quality.what else []),
            about(quality),
            "",
            *_table(AT_RATE_HEADER, at_rate_rows(quality)),
            "",
            *(line for sentence in gain_sentences(quality) for line in (sentence, "")),
            *_table(RANKING_HEADER, ranking_rows(quality)),
            "",
        ]
    if promises:
        lines += [
            "### Is the promise kept?",
            "",
            promise_sentence(promises),
            "",
            *_table(PROMISE_HEADER, promise_rows(promises)),
            "",
        ]
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(header), _line(["---"] * len(header)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Text from outside on one line and without what ends a cell."""
    return " ".join(text.split()).replace("|", "\\|")
