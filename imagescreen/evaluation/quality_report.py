"""One HTML file that shows an evaluation: it needs nothing from outside, and everything from outside is escaped."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from imagescreen.evaluation.picture_pairs import Pair, Shown
from imagescreen.evaluation.promise import Promise
from imagescreen.evaluation.quality import Kind, Quality
from imagescreen.evaluation.quality_tables import (
    AT_RATE_HEADER,
    OVERVIEW_HEADER,
    PROMISE_HEADER,
    RANKING_HEADER,
    about,
    at_rate_rows,
    gain_sentences,
    one_in,
    overview_rows,
    promise_rows,
    promise_sentence,
    ranking_rows,
)

MOST_REJECTED = 200

# Nothing but inline styles and data URIs may load, whatever a name smuggles in.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin-bottom: .4rem; }
.quiet { color: #59636e; } code { background: #f3f4f6; padding: .1rem .3rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: .8rem 0; } th, td { padding: .3rem .8rem .3rem 0; text-align: left;
  border-bottom: 1px solid #e3e6ea; vertical-align: top; }
th { font-weight: 600; } td { font-variant-numeric: tabular-nums; }
img.plot { max-width: 100%; height: auto; display: block; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(17.4rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid #e3e6ea; padding: .5rem; font-size: .8rem; }
figure div { display: flex; gap: .5rem; } figure div span { flex: 1; min-width: 0; overflow-wrap: anywhere; }
figure img, figure .none { width: 100%; height: 132px; object-fit: scale-down; background: #f3f4f6; display: block; }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One measured task with its plots as PNG bytes and its pairs; `judged_by` is the score that chose the pairs."""

    quality: Quality
    curves: bytes
    histograms: bytes
    false_flags: Sequence[Pair]
    misses: Sequence[Pair]
    judged_by: Kind


@dataclass(frozen=True, slots=True)
class Heading:
    """What all sections share: what ran, on what, when, with which model."""

    title: str
    command: str
    machine: str
    on: str
    model: str
    fingerprint: str


def html_report(
    heading: Heading,
    sections: Sequence[Section],
    promises: Sequence[Promise],
    remarks: Sequence[str],
    rejected: Sequence[tuple[str, str]],
) -> str:
    """The whole page. `rejected` are the pictures that could not be used: (name, why)."""
    body = "\n".join(
        [
            f"<h1>{escape(heading.title)}</h1>",
            f'<p class="quiet">{escape(heading.on)}. Model <code>{escape(heading.model)}</code>, fingerprint '
            f"<code>{escape(heading.fingerprint)}</code>. {escape(heading.machine)}.</p>",
            f"<p><code>{escape(heading.command)}</code></p>",
            "<p>A package counts as caught when a reference of its own label scores above the threshold. Figures in "
            "brackets are 95&nbsp;% bootstrap intervals.</p>",
            *(f"<p>{escape(remark)}</p>" for remark in remarks),
            _table(OVERVIEW_HEADER, overview_rows([section.quality for section in sections])),
            *map(_section, sections),
            _promises(promises),
            _rejected(rejected),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(heading.title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _section(section: Section) -> str:
    quality = section.quality
    rate = max(entry.rate for entry in quality.at_rates)
    return "\n".join(
        [
            f"<h2>{escape(quality.name)}</h2>",
            f"<p>{escape(quality.what)}</p>" if quality.what else "",
            f'<p class="quiet">{escape(about(quality))}</p>',
            _table(AT_RATE_HEADER, at_rate_rows(quality)),
            *(f"<p>{escape(sentence)}</p>" for sentence in gain_sentences(quality)),
            _table(RANKING_HEADER, ranking_rows(quality)),
            _plot(section.curves, "Precision against recall, and recall against the share of false flags"),
            _plot(section.histograms, "Histograms of scores"),
            f"<h3>Worst false flags by {escape(section.judged_by.value)} score</h3>",
            _pairs(section.false_flags, "No ordinary package was measured."),
            f"<h3>Worst misses by {escape(section.judged_by.value)} score at {escape(one_in(rate))}</h3>",
            _pairs(section.misses, "Nothing was missed."),
        ]
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _plot(png: bytes, what: str) -> str:
    return f'<img class="plot" alt="{escape(what)}" src="data:image/png;base64,{b64encode(png).decode()}">'


def _pairs(pairs: Sequence[Pair], none: str) -> str:
    if not pairs:
        return f"<p>{escape(none)}</p>"
    return '<div class="pairs">' + "\n".join(map(_pair, pairs)) + "</div>"


def _pair(pair: Pair) -> str:
    return (
        f"<figure><div>{_picture(pair.screened, 'screened')}{_picture(pair.reference, 'reference')}</div>"
        f"<figcaption>score {pair.score:.4f}</figcaption></figure>"
    )


def _picture(shown: Shown, what: str) -> str:
    name = escape(shown.name)
    image = '<div class="none"></div>'
    if shown.data_uri:
        image = f'<img alt="{what}: {name}" src="{escape(shown.data_uri)}">'
    return f"<span>{image}{what}: {name}</span>"


def _promises(promises: Sequence[Promise]) -> str:
    if not promises:
        return ""
    told = escape(promise_sentence(promises))
    return f"<h2>Is the promise kept?</h2>\n<p>{told}</p>\n{_table(PROMISE_HEADER, promise_rows(promises))}"


def _rejected(rejected: Sequence[tuple[str, str]]) -> str:
    if not rejected:
        return '<h2>Pictures that could not be used</h2>\n<p class="quiet">None.</p>'
    more = len(rejected) - MOST_REJECTED
    return (
        f"<h2>Pictures that could not be used: {len(rejected):,}</h2>\n"
        + _table(("picture", "why"), rejected[:MOST_REJECTED])
        + (f"<p>and {more:,} more, which the JSON file lists</p>" if more > 0 else "")
    )
