"""The HTML report and the Markdown of an evaluation: one file, nothing from outside but as text."""

import re
from html.parser import HTMLParser

import msgspec
import numpy as np

from imagescreen.errors import UnreadablePicture
from imagescreen.evaluation.photo_tasks import PhotoPicture
from imagescreen.evaluation.photos import PhotoRow
from imagescreen.evaluation.picture_pairs import show_pairs, worst_false_flags, worst_misses
from imagescreen.evaluation.promise import drawn_packages, keep_promise
from imagescreen.evaluation.quality import Counts, Kind, measure_quality
from imagescreen.evaluation.quality_json import Document, document
from imagescreen.evaluation.quality_markdown import markdown
from imagescreen.evaluation.quality_plots import plot_curves, plot_scores
from imagescreen.evaluation.quality_report import Heading, Section, html_report
from imagescreen.evaluation.trials import Trial, score_trial
from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader
from tests.material import product

READER = PictureReader(PictureLimits(1 << 20, 1 << 22, 32), DecodingBudget(1 << 24, 1))
EVIL = "<script src=//x.example/a.js></script>\"'><img src=x onerror=alert(1)>|`"
HEADING = Heading(EVIL, EVIL, EVIL, "2026-01-31", EVIL, EVIL)


def gone() -> bytes:
    raise UnreadablePicture("gone")


class Parsed(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def evaluation() -> tuple[list[Section], list[tuple[str, str]]]:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(160, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = np.arange(160)
    trial = Trial(places[:4], np.split(places[4:24], 20), np.split(places[24:144], 120), places[144:])
    labels = np.zeros(160, np.int64)
    scored = {
        kind: score_trial(vectors, labels, trial, beta=beta, top_k=3)
        for kind, beta in ((Kind.RAW, 0.0), (Kind.NORMALISED, 1.0))
    }
    counts = Counts(
        references=4, labels=1, queries=20, query_pictures=20, ordinary=120, ordinary_pictures=120, background=16
    )
    quality = measure_quality(EVIL, EVIL, counts, scored, rates=[0.05], beta=1.0, top_k=3, seed=0, rounds=100)
    pictures = [
        PhotoPicture(PhotoRow(EVIL, str(place), "", "", "test"), False, gone if place % 2 else lambda: product(1))
        for place in places
    ]
    raw = scored[Kind.RAW]
    section = Section(
        quality,
        plot_curves(quality, scored),
        plot_scores(scored),
        show_pairs(worst_false_flags(raw, 6), pictures, READER),
        show_pairs(worst_misses(raw, 2.0, 3), pictures, READER),
        Kind.RAW,
    )
    return [section], [(EVIL, EVIL)]


def test_the_report_is_one_file_that_loads_nothing_and_holds_what_is_from_outside_as_text_only() -> None:
    shown, rejected = evaluation()
    page = html_report(HEADING, shown, [], [EVIL], rejected)
    parsed = Parsed(page)
    assert {tag for tag, _ in parsed.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "svg"})
    for tag, attributes in parsed.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:image/").startswith("data:image/"), tag
    assert not re.search(r"url\(|@import", page)
    assert parsed.text.count(EVIL) >= 8
    # Every task and rate at a glance, before the sections.
    overview = parsed.text[: parsed.text.index("Worst false flags")]
    assert "recall, normalised" in overview and f"{shown[0].quality.at_rates[0].recall.value:.3f}" in overview  # type: ignore[union-attr]
    images = [attributes["src"] for tag, attributes in parsed.tags if tag == "img"]
    assert sum(str(image).startswith("data:image/png") for image in images) == 2
    assert 0 < sum(str(image).startswith("data:image/jpeg") for image in images) < 18
    policy = next(attributes for tag, attributes in parsed.tags if "http-equiv" in attributes)
    assert "default-src 'none'" in str(policy["content"])


def test_the_pairs_are_the_worst_and_come_in_order() -> None:
    [section], _ = evaluation()
    scores = [pair.score for pair in section.false_flags]
    assert scores == sorted(scores, reverse=True) and len(scores) == 6
    assert [pair.score for pair in section.misses] == sorted(pair.score for pair in section.misses)
    assert {bool(pair.screened.data_uri) for pair in section.false_flags} <= {True, False}


def test_the_markdown_keeps_its_table_whatever_names_hold_and_json_gives_every_figure_back() -> None:
    [section], rejected = evaluation()
    pool = np.arange(400, dtype=np.float32)
    promise = keep_promise("ordinary", lambda random: drawn_packages(pool, 1, random), rate=0.01, splits=4, seed=0)
    heading = Heading("Quality", "evaluate", "machine", "2026-01-31", "a-model", "f00d")
    told = markdown(heading, [section.quality], [promise], ["a remark"], rejected)
    rows = [line for line in told.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} <= {5, 6}
    assert "fingerprint `f00d`" in told and "- a remark" in told and "4 cells" in told
    read = msgspec.json.decode(document(heading, [section.quality], [promise], ["a remark"], rejected), type=Document)
    assert read.tasks == [section.quality]
    assert read.promises[0].cells == list(promise.cells)
    assert (read.rejected[0].picture, read.heading.fingerprint) == (EVIL, "f00d")
