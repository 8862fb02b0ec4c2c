"""The stage before the last is added to what was learned, and can be taken off again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from imagescreen.embedding.encoder import load_encoder
from imagescreen.errors import BrokenModel, WrongUse
from imagescreen.evaluation.photos import PhotoSet
from imagescreen.evaluation.training.card import CARD_FILE
from imagescreen.evaluation.training.checks import check_recipe
from imagescreen.evaluation.training.levels import with_middle, without_middle
from imagescreen.evaluation.training.place import Place
from imagescreen.evaluation.training.recipe import finishing, usual_middle_share
from imagescreen.evaluation.training.run import Outcome, read_pictures, train
from imagescreen.evaluation.training.start import start_from
from imagescreen.evaluation.training.student import Student, write_model
from imagescreen.evaluation.training.teachers import Teachers
from imagescreen.settings import Device, DType
from tests.evaluation.training.conftest import RECIPE

SHARE = 0.5
DIMENSION, CHANNELS = 16, 256


def nothing(*_: object) -> None:
    pass


def student() -> Student:
    torch.manual_seed(0)
    made = Student(RECIPE, ("hat", "shirt", "chair")).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        # Batch norms as after some training, not all alike.
        for name, value in made.towers.visual.state_dict().items():
            if "running_mean" in name:
                value.add_(torch.randn(value.shape, generator=generator) * 0.02)
    return made


def pictures(count: int, seed: int) -> torch.Tensor:
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")


def test_the_written_model_gives_both_parts_and_words_meet_the_first_alone(tmp_path: Path) -> None:
    made, some = student(), pictures(6, 2)
    with torch.no_grad():
        seen = made.middle(pictures(300, 3))
        learned, words = made(some), made.words(torch.zeros(3, dtype=torch.long))
        middle = made.middle(some)
    tensors = with_middle(made.towers.state_dict(), seen, SHARE)
    write_model(tensors, replace(RECIPE, middle_share=SHARE), tmp_path)
    encoder = load_encoder("tiny", tmp_path, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
    assert encoder.dimension == DIMENSION + CHANNELS
    images = [Image.fromarray((picture.permute(1, 2, 0) * 255).byte().numpy()) for picture in some]
    vectors = torch.from_numpy(encoder.encode(np.stack([encoder.preprocess(image) for image in images])))
    whole = (1 + SHARE**2) ** 0.5
    # Float16 on disk, bytes in the pictures.
    torch.testing.assert_close(vectors[:, :DIMENSION] * whole, learned, rtol=0, atol=0.02)
    torch.testing.assert_close(vectors[:, DIMENSION:].norm(dim=1), torch.full((6,), SHARE / whole), rtol=0.01, atol=0)
    phrases = torch.from_numpy(encoder.encode_words(["a photo of a hat"]))
    assert not phrases[:, DIMENSION:].any()
    assert words.shape == (3, DIMENSION)
    mapped = middle @ tensors["visual.trunk.middle.weight"].T + tensors["visual.trunk.middle.bias"]
    assert ((normalize(mapped) * normalize(vectors[:, DIMENSION:])).sum(1) > 0.95).all()


def test_the_second_part_is_evened_out() -> None:
    made = student()
    with torch.no_grad():
        seen = made.middle(pictures(300, 3))
    tensors = with_middle(made.towers.state_dict(), seen, SHARE)
    mapped = seen @ tensors["visual.trunk.middle.weight"].T + tensors["visual.trunk.middle.bias"]
    torch.testing.assert_close(mapped.mean(0), torch.zeros(CHANNELS), rtol=0, atol=1e-3)

    def spread(vectors: torch.Tensor) -> float:
        variances = torch.linalg.eigvalsh(torch.cov(vectors.T).double())
        return float(variances[-1] / variances[-60])

    assert spread(mapped) < spread(seen) ** 0.5


def test_taken_off_again_it_is_the_model_that_it_was() -> None:
    made = student()
    before = made.towers.state_dict()
    with torch.no_grad():
        seen = made.middle(pictures(40, 3))
    after = without_middle(with_middle(before, seen, SHARE))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(KeyError):
        without_middle(before)


def test_a_stage_that_sees_nothing_is_no_part_of_a_model() -> None:
    with pytest.raises(BrokenModel, match="not finite, or the same"):
        with_middle(student().towers.state_dict(), torch.ones(20, CHANNELS), SHARE)


def test_only_some_trunks_have_two_levels() -> None:
    assert [usual_middle_share(trunk) for trunk in ("resnet18d", "resnet10t", "vit_tiny_patch16_224", "none")] == [
        1.0,
        1.0,
        0.0,
        0.0,
    ]
    with pytest.raises(WrongUse, match="give --middle 0"):
        check_recipe(replace(RECIPE, trunk="regnetx_002", middle_share=1.0))
    with pytest.raises(WrongUse, match="not between 0 and 4"):
        check_recipe(replace(RECIPE, middle_share=5.0))


def test_a_run_ends_with_it_and_another_one_starts_from_that_model(
    train_only: Path, teachers_dir: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, passes=1, middle_share=1.0)
    some = read_pictures(PhotoSet(train_only), recipe, nothing)
    outcome = train(some, Teachers(teachers_dir), recipe, Place(tmp_path / "run", "cpu"), nothing, licences={})
    assert isinstance(outcome, Outcome)
    assert "| second part of a vector | generalized mean of the stage before the last" in (
        outcome.folder / CARD_FILE
    ).read_text(encoding="utf-8")
    start = start_from(outcome.folder, RECIPE)
    again = replace(finishing(RECIPE, start.told), name="again", passes=0, whitening=0.0, middle_share=0.25)
    longer = train(
        some, Teachers(teachers_dir), again, Place(tmp_path / "again", "cpu"), nothing, licences={}, start=start
    )
    assert isinstance(longer, Outcome)
    one, other = (
        load_encoder(name, folder, dtype=DType.FLOAT32, device=Device.CPU, threads=1)
        for name, folder in (("tiny", tmp_path / "run" / "weights"), ("again", tmp_path / "again" / "weights"))
    )
    image = one.preprocess(Image.new("RGB", (64, 64), (200, 30, 90)))[None]
    first, second = (normalize(torch.from_numpy(encoder.encode(image))[:, :DIMENSION]) for encoder in (one, other))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-3)
