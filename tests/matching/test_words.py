"""Words find what looking at every cosine finds, and what does not match any more is found no more."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imagescreen.matching import NO_WORDS, DescribedReference, Fit, WordMatcher
from tests.matching.material import unit_vectors

DIMENSION = 16
VECTORS = unit_vectors(40, DIMENSION, seed=3)
QUERIES = unit_vectors(5, DIMENSION, seed=4)
CENTRE = VECTORS.mean(axis=0, dtype=np.float64)
IDS = [uuid4() for _ in range(4)]


def reference(number: int, phrases: Sequence[int], contrast: Sequence[int] = ()) -> DescribedReference:
    """Of the vectors at those rows."""
    names = tuple(f"phrase {row}" for row in phrases)
    return DescribedReference(IDS[number], names, VECTORS[list(phrases)], VECTORS[list(contrast)])


def score_of(one: DescribedReference, query: NDArray[np.float32]) -> float:
    """As the documents say it."""
    wide = query.astype(np.float64)
    own = float(np.mean([(wide - 0) @ v - CENTRE @ v for v in one.vectors.astype(np.float64)]))
    contrast = [float(wide @ v - CENTRE @ v) for v in one.contrast.astype(np.float64)]
    return own - max([0.0, *(each - own for each in contrast)])


phrases = st.lists(st.integers(0, 19), min_size=1, max_size=3, unique=True)
contrasts = st.lists(st.integers(20, 39), max_size=3, unique=True)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), phrases, contrasts, st.booleans()), max_size=8))
def test_after_any_changes_only_what_was_told_last_is_found_with_the_score_of_the_documents(
    told: list[tuple[int, list[int], list[int], bool]],
) -> None:
    matcher, model = NO_WORDS, dict[UUID, DescribedReference]()
    for number, own, contrast, matches in told:
        one = reference(number, own, contrast)
        matcher = matcher.with_changes([IDS[number]], [one] if matches else [], [])
        model.pop(IDS[number], None)
        if matches:
            model[IDS[number]] = one
    assert len(matcher) == len(model)
    for query, found in zip(QUERIES, matcher.fits(QUERIES, CENTRE, count=9, above=np.inf), strict=True):
        assert {fit.reference_id for fit in found} == set(model)
        assert [fit.score for fit in found] == sorted((fit.score for fit in found), reverse=True)
        for fit in found:
            one = model[fit.reference_id]
            cosines = one.vectors @ query
            assert fit.score == pytest.approx(score_of(one, query), abs=1e-9)
            assert fit.similarity == pytest.approx(float(cosines.mean()), abs=1e-6)
            assert fit.phrase == one.phrases[int(cosines.argmax())]


def test_contrast_lowers_what_it_fits_better_and_changes_nothing_else() -> None:
    plain = WordMatcher.of([reference(0, [0])])
    contrasted = WordMatcher.of([reference(0, [0], [20])])
    toy = VECTORS[20][np.newaxis]
    item = VECTORS[0][np.newaxis]

    def score(matcher: WordMatcher, query: NDArray[np.float32]) -> float:
        (found,) = matcher.fits(query, CENTRE, count=1, above=np.inf)
        return found[0].score

    assert score(contrasted, item) == pytest.approx(score(plain, item), abs=1e-12)
    assert score(contrasted, toy) < score(plain, toy) - 0.3


def test_whatever_exceeds_is_listed_however_many_are_wanted() -> None:
    matcher = WordMatcher.of([reference(number, [number]) for number in range(4)])
    (everything,) = matcher.fits(QUERIES[:1], CENTRE, count=4, above=np.inf)
    (found,) = matcher.fits(QUERIES[:1], CENTRE, count=1, above=everything[2].score)
    assert found == everything[:2]
    assert matcher.highest(QUERIES[:1], CENTRE)[0] == np.float32(everything[0].score)


def test_a_score_does_not_depend_on_who_asks_at_the_same_time() -> None:
    matcher = WordMatcher.of([reference(number, [number, 9], [30]) for number in range(4)])
    together = matcher.fits(QUERIES, CENTRE, count=4, above=np.inf)
    alone: list[list[Fit]] = [matcher.fits(query[np.newaxis], CENTRE, count=4, above=np.inf)[0] for query in QUERIES]
    for one, other in zip(together, alone, strict=True):
        assert [fit.reference_id for fit in one] == [fit.reference_id for fit in other]
        assert [fit.score for fit in one] == pytest.approx([fit.score for fit in other], abs=1e-12)


def test_what_lacks_a_vector_is_told_until_it_has_one_or_goes() -> None:
    matcher = NO_WORDS.with_changes(IDS[:2], [], IDS[:2])
    assert (len(matcher), matcher.lacking) == (0, frozenset(IDS[:2]))
    matcher = matcher.with_changes([IDS[0]], [reference(0, [0])], [])
    assert (len(matcher), matcher.lacking) == (1, frozenset([IDS[1]]))
    assert matcher.with_changes([IDS[1]], [], []).lacking == frozenset()
