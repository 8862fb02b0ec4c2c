import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagescreen.calibration.normalisation import (
    Normalisation,
    Normaliser,
    decode_normalisation,
    encode_normalisation,
)
from imagescreen.errors import BrokenIndex
from imagescreen.matching import nearest_rows
from tests.matching.material import unit_vectors


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.floats(0, 2), st.integers(1, 70), st.integers(0, 99))
def test_the_term_is_beta_times_the_mean_of_the_highest_similarities(
    pictures: int, k: int, beta: float, queries: int, seed: int
) -> None:
    background, asked = unit_vectors(pictures, 24, seed), unit_vectors(queries, 24, seed + 1000)
    terms = Normaliser(background, beta, k).terms(asked)
    assert Normaliser(background, beta, k, nearest_rows).terms(asked) == pytest.approx(terms, abs=1e-9)
    highest = np.sort(asked.astype(np.float64) @ background.astype(np.float64).T, axis=1)[:, -k:]
    assert terms == pytest.approx(beta * highest.mean(axis=1), abs=1e-9)


def test_a_query_has_the_same_term_alone_and_among_others() -> None:
    normaliser = Normaliser(unit_vectors(500, 64), 0.5, 10, nearest_rows)
    queries = unit_vectors(40, 64, seed=1)
    together = normaliser.terms(queries)
    assert together.tolist() == [normaliser.terms(query[np.newaxis])[0] for query in queries]


def test_a_background_of_another_model_or_a_damaged_one_is_refused() -> None:
    told = Normalisation("b1", 10, 0, 0.5, 10, "f" * 64)
    assert decode_normalisation(encode_normalisation(told), fingerprint="f" * 64) == told
    with pytest.raises(BrokenIndex, match="background belongs to model f"):
        decode_normalisation(encode_normalisation(told), fingerprint="e" * 64)
    with pytest.raises(BrokenIndex, match="cannot be read"):
        decode_normalisation(b"\xff{", fingerprint="f" * 64)
