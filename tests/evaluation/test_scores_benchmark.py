"""The benchmark of normalised scores, at a size that takes a moment."""

from datetime import date

from imagescreen.embedding.encoder import load_encoder
from imagescreen.evaluation.scores_benchmark import ScoresPlan, markdown, measure_scores
from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader
from imagescreen.settings import BUILT_IN_MODEL, Device, DType
from tests.conftest import ROOT


def test_what_normalisation_costs_is_measured_beside_the_line_and_written_down() -> None:
    encoder = load_encoder(BUILT_IN_MODEL, ROOT / "weights", dtype=DType.AUTO, device=Device.CPU, threads=1)
    reader = PictureReader(PictureLimits(20_000_000, 64_000_000, 32), DecodingBudget(128_000_000, 1))
    plan = ScoresPlan(packages=1, references=200, background=50, rounds=2)
    figures = measure_scores(plan, encoder, reader)
    assert len(figures.raw) == len(figures.normalised) == len(figures.terms) == 2
    assert all(0 < terms < line for terms, line in zip(figures.terms, figures.normalised, strict=True))
    section = markdown(plan, figures, model=BUILT_IN_MODEL, command="scripts/benchmark_scores.py", on=date(2026, 1, 2))
    assert "## Normalised scores, 2026-01-02" in section and f"{figures.share:.1%}" in section
