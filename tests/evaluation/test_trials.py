"""What packages score, against loops over pictures and references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagescreen.errors import WrongUse
from imagescreen.evaluation.normalising import background_means, normalised
from imagescreen.evaluation.trials import Ids, Scores, Trial, packages_of, pooled, score_trial


def unit_vectors(random: np.random.Generator, count: int) -> Scores:
    vectors = random.normal(size=(count, 4)).astype(np.float32)
    unit: Scores = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def random_trial(random: np.random.Generator) -> tuple[Scores, Ids, Trial]:
    references, positive, ordinary = (int(random.integers(1, most)) for most in (6, 9, 9))
    count = references + positive + ordinary + 5
    labels = np.full(count, -1, np.int64)
    labels[:references] = random.integers(0, 3, references)
    places = np.arange(count)
    packages = np.split(places[references : references + positive], np.sort(random.integers(1, positive + 1, 2)))
    packages = [package for package in packages if len(package)]
    for package in packages:
        labels[package] = random.choice(labels[:references])
    others = packages_of(places[references + positive : -5], int(random.integers(1, ordinary + 1)))
    return unit_vectors(random, count), labels, Trial(places[:references], packages, others, places[-5:])


@settings(deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 5))
def test_a_package_scores_as_its_best_picture_against_the_best_reference(seed: int, beta: float, top_k: int) -> None:
    vectors, labels, trial = random_trial(np.random.default_rng(seed))
    scored = score_trial(vectors, labels, trial, beta=beta, top_k=top_k)

    def score(picture: int, reference: int) -> float:
        background = sorted((float(vectors[picture] @ vectors[other]) for other in trial.background), reverse=True)
        return float(vectors[picture] @ vectors[reference]) - beta * sum(background[:top_k]) / top_k

    for at, package in enumerate(trial.positive):
        pairs = [(picture, reference) for picture in package for reference in trial.references]
        own = [pair for pair in pairs if labels[pair[0]] == labels[pair[1]]]
        assert scored.best[at] == pytest.approx(max(score(*pair) for pair in pairs), abs=1e-5)
        assert scored.right[at] == pytest.approx(max(score(*pair) for pair in own), abs=1e-5)
        assert scored.best[at] == pytest.approx(score(*scored.best_pair[at]), abs=1e-5)
        assert scored.right[at] == pytest.approx(score(*scored.right_pair[at]), abs=1e-5)
        assert scored.right_first[at] == (scored.best[at] == scored.right[at])
        assert set(scored.right_pair[at]) <= {*package, *trial.references}
    for at, package in enumerate(trial.ordinary):
        best = max(score(picture, reference) for picture in package for reference in trial.references)
        assert scored.ordinary[at] == pytest.approx(best, abs=1e-5)
        assert scored.ordinary[at] == pytest.approx(score(*scored.ordinary_pair[at]), abs=1e-5)
    both = pooled([scored, scored])
    assert len(both.right) == 2 * len(trial.positive) and len(both.ordinary_pair) == 2 * len(trial.ordinary)


def test_normalising_takes_the_same_off_every_reference_so_the_order_stays() -> None:
    random = np.random.default_rng(5)
    pictures, references, background = (unit_vectors(random, count) for count in (7, 9, 20))
    term = background_means(pictures, background, 4)
    scores = normalised((pictures @ references.T), term[:, None], 0.7)
    assert (scores.argsort(axis=1) == (pictures @ references.T).argsort(axis=1)).all()


def test_a_background_smaller_than_k_is_refused() -> None:
    vectors = unit_vectors(np.random.default_rng(1), 3)
    with pytest.raises(WrongUse, match="3 background pictures are too few: at least 4"):
        background_means(vectors, vectors, 4)
