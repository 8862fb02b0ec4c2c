"""What normalising scores costs beside the rest of the line: decoding, embedding, search."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import numpy as np

from imagescreen.calibration.normalisation import NormalisationWish, Normaliser
from imagescreen.calibration.scale import RAW_SCORES, Scale
from imagescreen.embedding.encoder import Encoder
from imagescreen.evaluation.listing_photos import drawn_photos
from imagescreen.evaluation.machine import described
from imagescreen.evaluation.synthetic import Catalogue
from imagescreen.matching import IndexSnapshot, PictureChange, nearest_rows
from imagescreen.pictures import PictureReader
from imagescreen.serving.embed import prepare

_SEED = 7
_WISH = NormalisationWish()


@dataclass(frozen=True, slots=True)
class ScoresPlan:
    """Packages of one picture each, against so many references, with a background of so many pictures."""

    packages: int
    references: int
    background: int
    rounds: int


@dataclass(frozen=True, slots=True)
class ScoresFigures:
    """Processor time in ms a package, of each round: of the line without and with normalised scores, and of the
    normalisation alone.
    """

    raw: Sequence[float]
    normalised: Sequence[float]
    terms: Sequence[float]

    @property
    def share(self) -> float:
        """What normalisation takes of the line without it, from the medians."""
        return statistics.median(self.terms) / statistics.median(self.raw)


def measure_scores(plan: ScoresPlan, encoder: Encoder, reader: PictureReader) -> ScoresFigures:
    """The two lines in turn, with the same pictures, so that whatever else the machine does meets both."""
    catalogue = Catalogue(plan.references, encoder.dimension, _SEED)
    vectors = np.concatenate(list(catalogue.blocks()))
    changes = [PictureChange(row + 1, UUID(int=row + 1), vector) for row, vector in enumerate(vectors)]
    snapshot = IndexSnapshot.empty(encoder.fingerprint, encoder.dimension).with_changes(changes, 1)
    background = catalogue.unrelated(plan.background)
    scale = Scale(normaliser=Normaliser(background, _WISH.beta, _WISH.k, nearest_rows))
    photos = drawn_photos(plan.packages)
    rounds: list[tuple[float, float, float]] = []
    for _ in range(plan.rounds + 1):
        raw, _ = _line(photos, encoder, reader, snapshot, RAW_SCORES)
        rounds.append((raw, *_line(photos, encoder, reader, snapshot, scale)))
    # The first round warms up.
    return ScoresFigures(*([1000 * spent / plan.packages for spent in told] for told in zip(*rounds[1:], strict=True)))


def _line(
    photos: Sequence[bytes], encoder: Encoder, reader: PictureReader, snapshot: IndexSnapshot, scale: Scale
) -> tuple[float, float]:
    """Processor seconds of everything, and of the normalisation."""
    in_terms = 0.0
    started = time.process_time()
    for photo in photos:
        query = encoder.encode(prepare(reader, encoder, photo, reader.header(photo))[np.newaxis])
        before = time.process_time()
        terms = scale.terms(query)
        in_terms += time.process_time() - before
        snapshot.search(query, count=5, at_least=scale.floors(terms))
    return time.process_time() - started, in_terms


def rows(figures: ScoresFigures) -> list[tuple[str, str]]:
    """Medians over the rounds, and in brackets the lowest and highest."""
    return [
        ("the line with raw scores, ms a picture", _told(figures.raw)),
        ("the line with normalised scores, ms a picture", _told(figures.normalised)),
        ("normalisation alone, ms a picture", _told(figures.terms)),
        ("normalisation, share of the line", f"{figures.share:.1%}"),
    ]


def markdown(plan: ScoresPlan, figures: ScoresFigures, *, model: str, command: str, on: date) -> str:
    """A section for docs/performance.md."""
    lines = [
        f"## Normalised scores, {on.isoformat()}",
        "",
        f"{described(('numpy', 'torch'))}. Model {model}, {plan.background:,} background pictures, "
        f"{plan.references:,} references, {plan.packages} single pictures, {plan.rounds} rounds. Processor time.",
        "",
        f"    {command}",
        "",
        "| what | |",
        "| --- | --- |",
        *(f"| {what} | {figure} |" for what, figure in rows(figures)),
        "",
    ]
    return "\n".join(lines)


def _told(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
