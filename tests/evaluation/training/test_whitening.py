"""A space is evened out, and the words follow."""

import pytest
import torch
from torch.nn.functional import normalize

from imagescreen.errors import BrokenModel
from imagescreen.evaluation.training.student import Student
from imagescreen.evaluation.training.whitening import whitened, whitening
from tests.evaluation.training.conftest import RECIPE


def uneven() -> torch.Tensor:
    """(2000, 16): every second direction has less spread than those before, and all are turned."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(2000, 16, generator=generator) * 0.8 ** torch.arange(8.0).repeat_interleave(2)
    turn: torch.Tensor = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q
    return vectors @ turn + 3


def spread(vectors: torch.Tensor) -> float:
    """Of the largest variance by the smallest."""
    variances = torch.linalg.eigvalsh(torch.cov(vectors.T))
    return float(variances[-1] / variances[0])


def test_whitening_evens_the_variances_out_as_far_as_it_is_told() -> None:
    vectors = uneven()
    torch.testing.assert_close(whitening(vectors, 0.0), torch.eye(16), rtol=0, atol=1e-5)
    before, half, whole = (spread(vectors @ whitening(vectors, share)) for share in (0.0, 0.5, 1.0))
    assert before > 15 and half == pytest.approx(before**0.5, rel=0.1) and whole == pytest.approx(1, rel=0.1)


def test_a_direction_without_any_variance_stays_finite() -> None:
    flat = uneven()
    flat[:, 3] = 1.0
    assert whitening(flat, 1.0).isfinite().all()


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_vectors_that_are_all_the_same_or_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(BrokenModel, match="not finite, or the same"):
        whitening(torch.full((20, 16), value), 0.4)


def test_a_whitened_model_gives_the_mapped_vectors_and_keeps_their_products_with_words() -> None:
    torch.manual_seed(0)
    student = Student(RECIPE, ("hat", "shirt", "chair", "apple", "pear")).eval()
    tensors = {name: value.clone() for name, value in student.towers.state_dict().items()}
    pictures = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    matrix = whitening(uneven(), 0.4)
    with torch.no_grad():
        before, words = student(pictures), student.towers.encode_text(student.tokens[0])
        student.towers.load_state_dict(whitened(tensors, matrix))
        after, mapped_words = student(pictures), student.towers.encode_text(student.tokens[0])
    torch.testing.assert_close(after, normalize(before @ matrix), rtol=0, atol=1e-4)
    # The product with each word is what it was, but for one factor for each picture.
    ratio = (after @ mapped_words.T) / (before @ words.T)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-2, atol=1e-3)
    assert {name for name in tensors if not torch.equal(tensors[name], student.towers.state_dict()[name])} == {
        "visual.head.proj.weight",
        "text_projection",
    }
