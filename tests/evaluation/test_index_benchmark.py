"""The index benchmark measures what it says."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from imagescreen.evaluation.index_benchmark import Plan, measure_apart, prepare
from imagescreen.evaluation.index_benchmark_report import fact_rows, latency_rows, markdown
from imagescreen.evaluation.synthetic import Catalogue
from imagescreen.matching import IndexType


def test_synthetic_vectors_lie_in_clusters_of_unrelated_centres() -> None:
    catalogue = Catalogue(2000, 512, seed=3)
    vectors = np.concatenate(list(catalogue.blocks()))

    assert vectors.shape == (2000, 512)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    members = vectors[7 :: catalogue.clusters]
    pairs = (members @ members.T)[np.triu_indices(100, 1)]
    assert np.median(pairs) == pytest.approx(0.6, abs=0.01)
    assert abs(vectors[7] @ vectors[8]) < 0.2
    assert np.einsum("nd,nd->n", catalogue.moved(vectors), vectors) == pytest.approx(0.85, abs=1e-4)
    nearest = (catalogue.fresh_members(50) @ vectors.T).max(axis=1)
    assert (nearest > 0.6).all()
    assert (catalogue.unrelated(50) @ vectors.T).max() < 0.3


def test_the_same_seed_makes_the_same_vectors() -> None:
    first, again, other = (np.concatenate(list(Catalogue(550, 32, seed).blocks())) for seed in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(first) == 550


@pytest.mark.parametrize("index_type", [IndexType.EXACT, IndexType.IVF_SQ8])
def test_a_small_index_is_prepared_once_measured_and_reported(tmp_path: Path, index_type: IndexType) -> None:
    plan = Plan(vectors=3000, dimension=64, index_type=index_type, queries=64, seed=7)
    prepared = prepare(plan, tmp_path)
    assert prepare(plan, tmp_path) == prepared

    figures = measure_apart(tmp_path, prepared.version, rounds=2)

    assert figures.manifest.version == prepared.version
    assert figures.recall == 1.0 if index_type is IndexType.EXACT else figures.recall > 0.95
    assert all(len(rounds) == 2 and all(r.rate > 0 for r in rounds) for rounds in figures.rounds.values())
    assert figures.after.resident_mib > figures.after.private_mib > 0
    section = markdown(plan, prepared, figures, command="benchmark", on=date(2026, 3, 1))
    assert section.startswith("## Search in 3,000 vectors of 64 dimensions\n")
    assert all(row[0] in section for row in (*latency_rows(figures), *fact_rows(prepared, figures)))
    assert "Seed 7" in section
