"""What the student is pulled towards, and the names that its text side learns."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from imagescreen.evaluation.training.losses import Batch, losses
from imagescreen.evaluation.training.names import class_name, class_names
from tests.evaluation.training.conftest import RECIPE


@pytest.fixture
def matching() -> Batch:
    """A student that does all right: both views are the target, and the word of each class lies there too."""
    vectors = normalize(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)))
    none = torch.zeros(8, dtype=torch.bool)
    return Batch(vectors, vectors, vectors, vectors, torch.arange(8), none, none, torch.empty(0, 16))


def test_every_loss_is_smaller_for_matching_vectors_than_for_permuted_ones(matching: Batch) -> None:
    turned = matching.first.roll(1, 0)
    right = losses(matching, RECIPE)
    both = losses(replace(matching, first=turned, second=turned), RECIPE)
    one = losses(replace(matching, first=turned), RECIPE)
    for name in ("cosine", "teachers", "words"):
        assert right[name] < both[name]
    assert right["copies"] < one["copies"]


def test_pictures_of_one_product_are_no_wrong_answers_to_each_other(matching: Batch) -> None:
    first = matching.first.clone()
    first[1] = first[0]
    same = replace(matching, first=first, second=first, classes=torch.tensor([0, 0, 2, 3, 4, 5, 6, 7]))
    kinds = losses(same, RECIPE)["copies"]
    products = losses(replace(same, products=torch.ones(8, dtype=torch.bool)), RECIPE)["copies"]
    assert products < kinds
    nameless = replace(same, classes=torch.full((8,), -1), products=torch.ones(8, dtype=torch.bool))
    assert losses(nameless, RECIPE)["copies"] == kinds


def test_cut_outs_are_pulled_to_photographs_of_the_same_product_and_of_no_other(matching: Batch) -> None:
    recipe = replace(RECIPE, products_weight=1.0)
    # Four photographs, then cut-outs of the same four products; the last pair has no name.
    vectors = matching.first[:4].repeat(2, 1)
    classes = torch.tensor([0, 1, 2, -1, 0, 1, 2, -1])
    on_white = torch.arange(8) >= 4
    batch = replace(
        matching, first=vectors, second=vectors, classes=classes, products=torch.ones(8).bool(), on_white=on_white
    )
    right = losses(batch, recipe)["products"]
    crossed = vectors.clone()
    crossed[4:7] = vectors[4:7].roll(1, 0)
    assert right < losses(replace(batch, first=crossed, second=crossed), recipe)["products"]
    # What has no name, and what is no product, neither finds nor is found.
    nameless = vectors.clone()
    nameless[7] = -nameless[7]
    assert losses(replace(batch, first=nameless, second=nameless), recipe)["products"] == right
    assert losses(replace(batch, products=torch.zeros(8).bool()), recipe)["products"] == 0
    assert losses(replace(batch, on_white=torch.zeros(8).bool()), recipe)["products"] == 0
    assert "products" not in losses(batch, RECIPE)


def test_goods_are_compared_in_the_directions_in_which_they_differ_and_nothing_else_is(matching: Batch) -> None:
    recipe = replace(RECIPE, goods_weight=1.0)
    assert "goods" not in losses(matching, recipe)
    products, directions = torch.arange(8) < 5, torch.eye(16)[:4]
    batch = replace(matching, products=products, directions=directions)
    assert "goods" not in losses(batch, RECIPE)
    right = losses(batch, recipe)["goods"]
    # Whatever else a view has in it, and how long it is where goods differ.
    beside = torch.randn(8, 16, generator=torch.Generator().manual_seed(1)) * 3
    beside[:, :4] = matching.first[:, :4] * 0.1
    torch.testing.assert_close(losses(replace(batch, first=normalize(beside)), recipe)["goods"], right)
    turned = matching.first.roll(1, 0)
    assert losses(replace(batch, first=turned, second=turned), recipe)["goods"] > right
    others = torch.where(products[:, None], matching.first, -matching.first)
    assert losses(replace(batch, first=others, second=others), recipe)["goods"] == right
    assert losses(replace(batch, products=torch.zeros(8).bool()), recipe)["goods"] == 0


def test_a_batch_without_any_name_has_no_words_to_learn_and_is_still_finite(matching: Batch) -> None:
    found = losses(replace(matching, classes=torch.full((8,), -1)), RECIPE)
    assert found["words"] == 0
    assert all(value.isfinite() for value in found.values())


def test_pictures_without_a_name_do_not_count_in_the_mean_of_the_named_ones(matching: Batch) -> None:
    half = replace(matching, classes=torch.tensor([0, 1, 2, 3, -1, -1, -1, -1]))
    first, second, targets, classes, products, on_white = (
        value[:4] for value in (half.first, half.second, half.targets, half.classes, half.products, half.on_white)
    )
    named = Batch(first, second, targets, half.words, classes, products, on_white, half.directions)
    torch.testing.assert_close(losses(half, RECIPE)["words"], losses(named, RECIPE)["words"])


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Fruit/Apple/Golden-Delicious", "golden delicious apple"),
        ("Packages/Milk/Oat-Milk", "oat milk"),
        ("Fruit/Banana", "banana"),
        ("grand_piano", "grand piano"),
        ("T-Shirt", "t shirt"),
    ],
)
def test_a_label_becomes_a_name_with_its_kind_of_goods(label: str, name: str) -> None:
    assert class_name(label) == name


def test_names_come_once_in_order_and_without_what_has_none() -> None:
    assert class_names(["hat", "BACKGROUND_Google", "Hat", "cap", "Fruit/Apple"]) == ("apple", "cap", "hat")
