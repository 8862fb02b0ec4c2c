"""What tells known goods apart is a part of a vector of its own, there as far as a picture shows goods."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from imagescreen.embedding.encoder import load_encoder
from imagescreen.embedding.trunks import GOODS_COMPONENTS
from imagescreen.errors import BrokenModel, WrongUse
from imagescreen.evaluation.photos import PhotoRow
from imagescreen.evaluation.training.card import CARD_FILE
from imagescreen.evaluation.training.checks import check_recipe, check_rows
from imagescreen.evaluation.training.goods import product_directions, with_goods
from imagescreen.evaluation.training.levels import with_middle, without_middle
from imagescreen.evaluation.training.pictures import TrainingPictures
from imagescreen.evaluation.training.place import Place, Stage, State
from imagescreen.evaluation.training.recipe import finishing, going_on, usual_goods_share
from imagescreen.evaluation.training.run import Outcome, train
from imagescreen.evaluation.training.start import start_from
from imagescreen.evaluation.training.student import Student, write_model
from imagescreen.evaluation.training.teachers import Teachers
from imagescreen.references.sample.rendered import render_product
from imagescreen.settings import Device, DType
from tests.evaluation.training.conftest import RECIPE

WIDE = replace(RECIPE, dimension=64, middle_share=0.5, goods_share=2.0)
PRODUCTS, EACH = 40, 3
SPANNED = 34
"""Of 64 directions, those in which the drawn products lie; the rest is noise of the photograph."""


def goods() -> tuple[Tensor, Tensor, Tensor]:
    """Vectors, classes and which are products: 40 products of three pictures each, and as many other pictures."""
    generator = torch.Generator().manual_seed(0)
    means = torch.zeros(PRODUCTS, 64)
    means[:, :SPANNED] = torch.randn(PRODUCTS, SPANNED, generator=generator)
    of_goods = means.repeat(EACH, 1) + 0.1 * torch.randn(PRODUCTS * EACH, 64, generator=generator)
    others = torch.zeros(len(of_goods), 64)
    others[:, SPANNED:] = torch.randn(len(of_goods), 64 - SPANNED, generator=generator)
    classes = torch.cat((torch.arange(PRODUCTS).repeat(EACH), torch.arange(len(others)) % 7 + PRODUCTS))
    return normalize(torch.cat((of_goods, others))), classes, torch.arange(2 * len(of_goods)) < len(of_goods)


def test_the_directions_are_those_in_which_products_differ() -> None:
    vectors, classes, products = goods()
    directions = product_directions(vectors, classes, products)
    torch.testing.assert_close(directions @ directions.T, torch.eye(GOODS_COMPONENTS), rtol=0, atol=1e-4)
    within = (vectors @ directions.T).norm(dim=1)
    assert within[products].min() > 0.8 and within[~products].max() < 0.4


def test_a_photograph_of_another_kind_is_still_found_by_its_goods() -> None:
    vectors, classes, products = goods()
    directions = product_directions(vectors, classes, products)
    # A catalogue's pictures, in which most is not what they are of, but all have it alike.
    own = vectors[:PRODUCTS]
    beside = torch.zeros(64)
    beside[SPANNED:] = normalize(torch.randn(64 - SPANNED, generator=torch.Generator().manual_seed(3)), dim=0)
    strength = torch.rand(PRODUCTS, 1, generator=torch.Generator().manual_seed(4)) * 3
    catalogue = normalize(own + strength * beside)
    noise = normalize(torch.randn(PRODUCTS, 64, generator=torch.Generator().manual_seed(5)))
    photographs = vectors[PRODUCTS : 2 * PRODUCTS] + 0.8 * noise

    def found(kept: Tensor) -> float:
        left, right = normalize(photographs @ kept.T), normalize(catalogue @ kept.T)
        return float(((left @ right.T).argmax(1) == torch.arange(PRODUCTS)).float().mean())

    assert found(directions) > found(torch.eye(64))


def written(folder: Path) -> tuple[Student, dict[str, Tensor], Tensor]:
    torch.manual_seed(0)
    made = Student(WIDE, ("hat", "shirt", "chair")).eval()
    with torch.no_grad():
        seen = made.middle(torch.rand(300, 3, 64, 64))
    directions = torch.linalg.qr(torch.randn(64, GOODS_COMPONENTS)).Q.T
    tensors = with_goods(with_middle(made.towers.state_dict(), seen, 0.5), directions, WIDE.goods_share)
    write_model(tensors, WIDE, folder)
    return made, tensors, directions


def encoded(folder: Path, images: list[Image.Image]) -> Tensor:
    encoder = load_encoder("tiny", folder, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    return torch.from_numpy(encoder.encode(np.stack([encoder.preprocess(image) for image in images])))


def learned_by(made: Student, images: list[Image.Image]) -> Tensor:
    with torch.no_grad():
        learned: Tensor = made(
            torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 for image in images])
        )
    return learned


def some_images(count: int) -> list[Image.Image]:
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")
    return [Image.fromarray((picture.permute(1, 2, 0) * 255).byte().numpy()) for picture in fine]


def test_the_written_model_gives_all_three_parts_and_words_meet_the_first_alone(tmp_path: Path) -> None:
    made, tensors, directions = written(tmp_path)
    encoder = load_encoder("tiny", tmp_path, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    assert encoder.dimension == 64 + 256 + GOODS_COMPONENTS
    assert not encoder.encode_words(["a photo of a hat"])[:, 64:].any()
    images = some_images(8)
    within = learned_by(made, images) @ directions.T
    lengths = within.norm(dim=1)
    # So that half of them lie between the ends.
    low, high = lengths.quantile(torch.tensor([0.2, 0.7])).tolist()
    ends = {"visual.trunk.goods_from": torch.tensor(low), "visual.trunk.goods_to": torch.tensor(high)}
    write_model(tensors | ends, WIDE, tmp_path)
    vectors = encoded(tmp_path, images)
    there = vectors[:, 64 + 256 :].norm(dim=1) / vectors[:, :64].norm(dim=1)
    assert (there[lengths > high + 0.02] > 1.9).all() and (there[lengths < low - 0.02] < 0.1).all()
    order = lengths.argsort()
    assert (there[order].diff() > -0.1).all() and ((there > 0.1) & (there < 1.9)).any()
    full = there > 1
    torch.testing.assert_close(normalize(vectors[full, 320:]), normalize(within[full]), rtol=0, atol=0.03)


def test_of_what_lies_in_none_of_the_directions_nothing_is_said(tmp_path: Path) -> None:
    made, tensors, directions = written(tmp_path)
    image = some_images(1)
    learned = learned_by(made, image)[0]
    assert encoded(tmp_path, image)[0, 320:].norm() > 0.1
    # The same number of directions, all of them across this picture's vector.
    across = torch.linalg.qr(torch.cat((learned[None], directions)).T).Q[:, 1 : GOODS_COMPONENTS + 1].T
    write_model(tensors | {"visual.trunk.goods.weight": across.contiguous()}, WIDE, tmp_path)
    assert not encoded(tmp_path, image)[0, 320:].any()


def test_taken_off_again_it_is_the_model_that_it_was(tmp_path: Path) -> None:
    made, tensors, _ = written(tmp_path)
    before, after = made.towers.state_dict(), without_middle(tensors)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    # A run starts from it as from any other.
    start = start_from(tmp_path / "tiny", WIDE)
    assert start.tensors.keys() == before.keys()


def test_the_same_for_all_products_is_a_damaged_model() -> None:
    vectors, classes, products = goods()
    with pytest.raises(BrokenModel, match="same for all products"):
        product_directions(torch.ones_like(vectors), classes, products)
    with pytest.raises(BrokenModel, match="not finite"):
        product_directions(vectors * float("nan"), classes, products)


def test_it_takes_more_products_than_directions_and_the_second_part_beside_it() -> None:
    rows = [PhotoRow("grocery", f"{n}.jpg", f"Fruit/Apple/Kind-{n}", "train", "train") for n in range(80)]
    assert usual_goods_share(WIDE, rows) > 0
    assert usual_goods_share(WIDE, rows[:32]) == 0 and usual_goods_share(replace(WIDE, middle_share=0.0), rows) == 0
    check_rows(rows, WIDE)
    kinds = [replace(row, label=f"Fruit/Apple/Kind-{n % 32}") for n, row in enumerate(rows)]
    with pytest.raises(WrongUse, match="give --goods 0"):
        check_rows(kinds, WIDE)
    with pytest.raises(WrongUse, match="give --goods 0"):
        check_recipe(replace(WIDE, middle_share=0.0))
    with pytest.raises(WrongUse, match="of what goods add is not between 0 and 4"):
        check_recipe(replace(WIDE, goods_share=4.5))
    # As many directions as a vector has components tell nothing apart.
    narrow = replace(WIDE, dimension=32)
    assert usual_goods_share(narrow, rows) == 0
    with pytest.raises(WrongUse, match="give --goods 0 or a larger --dimension"):
        check_recipe(narrow)


def test_a_run_learns_goods_and_ends_with_them_and_how_long_they_are_can_be_chosen_after(
    teachers_dir: Path, tmp_path: Path
) -> None:
    # Others come first, so that a picture's place is not its place among the products.
    others = [PhotoRow("clothing", f"{n}.jpg", "hat", "train", "train") for n in range(10)]
    goods = [PhotoRow("grocery", f"{n}.jpg", f"Fruit/Apple/Kind-{n % 36}", "train", "train") for n in range(46)]
    images = [render_product(900_000 + n, size=(64, 64)).image for n in range(56)]
    pixels = np.ascontiguousarray(np.stack([np.asarray(image).transpose(2, 0, 1) for image in images]))
    pictures = TrainingPictures([*others, *goods], pixels, np.ones((56, 2), np.float32))
    recipe = replace(
        finishing(replace(RECIPE, dimension=48), ""), passes=1, batch=16, cut_outs=2, frozen=(), whitening=0.0
    )
    recipe = replace(recipe, middle_share=1.0, goods_share=0.5)
    told: list[State] = []
    place = Place(tmp_path, "cpu", tell_every_s=0)
    outcome = train(pictures, Teachers(teachers_dir), recipe, place, told.append, licences={})
    assert isinstance(outcome, Outcome)
    steps = [state for state in told if state.stage is Stage.TRAINING]
    assert len(steps) == 3 and all(state.losses["goods"] > 0 for state in steps)
    assert "| third part of a vector | of the first, the 32 directions" in (outcome.folder / CARD_FILE).read_text()
    lengths = []
    for share in (0.5, 1.0):
        chosen = replace(recipe, goods_share=share)
        again = train(pictures, Teachers(teachers_dir), chosen, place, told.append, licences={})
        assert isinstance(again, Outcome) and len([s for s in told if s.stage is Stage.TRAINING]) == 3
        vectors = encoded(tmp_path / "weights", images[10:20])
        assert vectors.shape[1] == 48 + 256 + 32
        lengths.append(vectors[:, 304:].norm(dim=1) / vectors[:, :48].norm(dim=1))
    torch.testing.assert_close(lengths[1], 2 * lengths[0], rtol=0.02, atol=0.01)
    assert lengths[0].max() > 0.25


def test_the_long_recipe_can_be_trained() -> None:
    check_recipe(replace(going_on(replace(WIDE, dimension=64), "something"), trunk="resnet10t"))
