"""A model that has learned already is finished: what it starts from, what it is pulled to, and what stays as it is."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from imagescreen.errors import WrongUse
from imagescreen.evaluation.photos import PhotoSet
from imagescreen.evaluation.training.card import CARD_FILE
from imagescreen.evaluation.training.fitting import Fitted, fitted_to_labels, turned_to
from imagescreen.evaluation.training.place import Place, Stage, State
from imagescreen.evaluation.training.recipe import Recipe, finishing
from imagescreen.evaluation.training.run import Outcome, read_pictures, train
from imagescreen.evaluation.training.start import start_from
from imagescreen.evaluation.training.teachers import Reduction, Teachers
from tests.evaluation.training.conftest import RECIPE

WEIGHTS = "open_clip_model.safetensors"
FROZEN = tuple(f"visual.trunk.{part}." for part in ("conv1", "bn1", "layer1", "layer2", "layer3"))


def nothing(*_: object) -> None:
    pass


def small(recipe: Recipe) -> Recipe:
    return replace(recipe, name="finished", batch=8, passes=1, kept_share=0, whitening=0)


@pytest.fixture(scope="module")
def begun(train_only: Path, teachers_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that was trained from random weights."""
    place = Place(tmp_path_factory.mktemp("begun"), "cpu")
    pictures = read_pictures(PhotoSet(train_only), RECIPE, nothing)
    outcome = train(pictures, Teachers(teachers_dir), RECIPE, place, nothing, licences={})
    assert isinstance(outcome, Outcome)
    return outcome.folder


@pytest.fixture(scope="module")
def finished(
    begun: Path, train_only: Path, teachers_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome, list[State]]:
    """The run's folder, what came of it and what it said."""
    start = start_from(begun, RECIPE)
    recipe = small(finishing(RECIPE, start.told))
    place = Place(tmp_path_factory.mktemp("finished"), "cpu", tell_every_s=0)
    told: list[State] = []
    pictures = read_pictures(PhotoSet(train_only), recipe, nothing)
    outcome = train(pictures, Teachers(teachers_dir), recipe, place, told.append, licences={}, start=start)
    assert isinstance(outcome, Outcome)
    return place.folder, outcome, told


def test_what_is_frozen_is_what_the_run_started_from_and_the_rest_has_learned(
    begun: Path, finished: tuple[Path, Outcome, list[State]]
) -> None:
    before, after = load_file(begun / WEIGHTS), load_file(finished[1].folder / WEIGHTS)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        kept = name.startswith(FROZEN) or "running_" in name or "num_batches" in name
        assert torch.equal(tensor, after[name]) or not kept, name
    for learned in ("visual.trunk.layer4.0.conv1.weight", "visual.head.proj.weight", "text_projection"):
        assert not torch.equal(before[learned], after[learned]), learned


def test_the_teachers_see_cut_outs_and_the_card_tells_all_of_it(finished: tuple[Path, Outcome, list[State]]) -> None:
    folder, outcome, told = finished
    totals = {state.total for state in told if state.stage is Stage.TEACHERS}
    # Whole, a crop and a mixture of each of 24 pictures, and fifteen cut-outs of each of 12 of products.
    assert totals == {252}
    assert load_file(folder / "targets" / "cut-out-14.safetensors")["vectors"].shape == (12, 1856)
    card = (outcome.folder / CARD_FILE).read_text(encoding="utf-8")
    for fact in (
        "| started from | tiny, weights sha256 ",
        "| saturation | 0.3 to 1.6 | 0.7 to 1.3 |",
        "| rotation | 12 degrees; mirrored for half | mirrored for half |",
        "15 cut-outs of it on white",
        "fitted to the class names",
    ):
        assert fact in card, fact


def test_a_finishing_run_goes_on_only_from_the_same_weights(
    finished: tuple[Path, Outcome, list[State]], begun: Path, train_only: Path, teachers_dir: Path, tmp_path: Path
) -> None:
    # A folder of the same name, so that the weights alone differ.
    start = start_from(Path(shutil.copytree(finished[1].folder, tmp_path / begun.name)), RECIPE)
    recipe = small(finishing(RECIPE, start.told))
    pictures = read_pictures(PhotoSet(train_only), recipe, nothing)
    with pytest.raises(WrongUse, match="another recipe"):
        train(pictures, Teachers(teachers_dir), recipe, Place(finished[0], "cpu"), nothing, licences={}, start=start)


def test_how_much_is_kept_of_the_start_can_be_chosen_after_the_run(
    finished: tuple[Path, Outcome, list[State]], begun: Path, train_only: Path, teachers_dir: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "run"))
    start = start_from(begun, RECIPE)
    recipe = small(finishing(RECIPE, start.told))
    told: list[State] = []
    pictures = read_pictures(PhotoSet(train_only), recipe, nothing)
    key = "visual.head.proj.weight"
    before, after = (load_file(path / WEIGHTS)[key].float() for path in (begun, finished[1].folder))
    whole_way = (after - before).norm()
    card = ""
    for share, wanted in ((1.0, 0.0), (0.25, 0.75)):
        recipe = replace(recipe, kept_share=share)
        outcome = train(
            pictures, Teachers(teachers_dir), recipe, Place(folder, "cpu"), told.append, licences={}, start=start
        )
        assert isinstance(outcome, Outcome) and not told
        way = (load_file(outcome.folder / WEIGHTS)[key].float() - before).norm()
        # Float16 on disk.
        assert way / whole_way == pytest.approx(wanted, abs=0.05)
        card = (outcome.folder / CARD_FILE).read_text(encoding="utf-8")
    assert "25% of the weights are its own still" in card


def test_how_far_vectors_are_whitened_can_be_chosen_after_the_run_and_is_on_the_card(
    finished: tuple[Path, Outcome, list[State]], begun: Path, train_only: Path, teachers_dir: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "run"))
    start = start_from(begun, RECIPE)
    recipe = replace(small(finishing(RECIPE, start.told)), whitening=0.8)
    told: list[State] = []
    pictures = read_pictures(PhotoSet(train_only), recipe, nothing)
    outcome = train(
        pictures, Teachers(teachers_dir), recipe, Place(folder, "cpu"), told.append, licences={}, start=start
    )
    assert isinstance(outcome, Outcome) and not told
    before, after = (load_file(path / WEIGHTS) for path in (finished[1].folder, outcome.folder))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"visual.head.proj.weight", "text_projection"}
    assert "| whitened in the end | 80% of the way |" in (outcome.folder / CARD_FILE).read_text(encoding="utf-8")
    # The picture side by the matrix, the text side by its inverse: their product stays.
    sides = [
        tensors["text_projection"].float() @ tensors["visual.head.proj.weight"].float() for tensors in (before, after)
    ]
    torch.testing.assert_close(sides[0], sides[1], rtol=0.02, atol=0.02 * float(sides[0].abs().max()))


def test_half_of_a_batch_are_products_most_of_them_on_white(
    begun: Path, train_only: Path, teachers_dir: Path, tmp_path: Path
) -> None:
    start = start_from(begun, RECIPE)
    told: list[State] = []
    recipe = replace(small(finishing(RECIPE, start.told)), passes=2)
    assert (recipe.product_share, recipe.cut_out_share, recipe.products_weight) == (0.5, 0.4, 0.5)
    pictures = read_pictures(PhotoSet(train_only), recipe, nothing)
    place = Place(tmp_path, "cpu", tell_every_s=0)
    outcome = train(pictures, Teachers(teachers_dir), recipe, place, told.append, licences={}, start=start)
    assert isinstance(outcome, Outcome)
    steps = [state for state in told if state.stage is Stage.TRAINING]
    # Photographs and cut-outs of three products: some batches have both of one.
    assert any(state.losses["products"] > 0 for state in steps)
    card = (outcome.folder / CARD_FILE).read_text(encoding="utf-8")
    assert "50% of a batch, rare ones oftener" in card and "photographs and cut-outs of products (0.5" in card


def test_without_any_pass_the_start_is_whitened_and_nothing_is_trained(
    begun: Path, train_only: Path, teachers_dir: Path, tmp_path: Path
) -> None:
    start = start_from(begun, RECIPE)
    recipe = replace(finishing(RECIPE, start.told), name="whitened", passes=0)
    told: list[State] = []
    pictures = read_pictures(PhotoSet(train_only), recipe, nothing)
    place = Place(tmp_path, "cpu", tell_every_s=0)
    outcome = train(pictures, Teachers(teachers_dir), recipe, place, told.append, licences={}, start=start)
    assert isinstance(outcome, Outcome) and not told
    before, after = load_file(begun / WEIGHTS), load_file(outcome.folder / WEIGHTS)
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "visual.head.proj.weight",
        "text_projection",
    }
    card = (outcome.folder / CARD_FILE).read_text(encoding="utf-8")
    assert "nothing was trained" in card and "| whitened | 20% of the way, by its vectors of 24 " in card
    assert "| pictures | whitened by | licence |" in card
    assert "Edits of a view" not in card and "optimiser" not in card


def test_a_finishing_run_that_was_ended_goes_on_to_the_same_weights_also_when_the_map_is_made_anew(
    finished: tuple[Path, Outcome, list[State]], begun: Path, train_only: Path, teachers_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished[0] / "targets", tmp_path / "targets")
    start = start_from(begun, RECIPE)
    recipe = small(finishing(RECIPE, start.told))
    pictures, teachers = read_pictures(PhotoSet(train_only), recipe, nothing), Teachers(teachers_dir)
    place = Place(tmp_path, "cpu", tell_every_s=0, save_every_s=0)

    def fail_after_the_second(state: State) -> None:
        if state.stage is Stage.TRAINING and state.done == 2:
            raise OSError("the power is gone")

    with pytest.raises(OSError, match="power"):
        train(pictures, teachers, recipe, place, fail_after_the_second, licences={}, start=start)
    (tmp_path / "targets" / "reduction.safetensors").unlink()
    outcome = train(pictures, teachers, recipe, place, nothing, licences={}, start=start)
    assert isinstance(outcome, Outcome)
    wanted = load_file(finished[1].folder / WEIGHTS)
    for name, tensor in load_file(outcome.folder / WEIGHTS).items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("missing", "holds no model to start from"),
        ("cut", "holds no model to start from"),
        ("no config", "holds no model to start from"),
        ("another side", "is built otherwise than resnet10t at 64 pixels"),
        ("other tensors", "are not those of"),
        ("no numbers", "not all finite"),
    ],
)
def test_what_cannot_be_started_from_is_said_in_one_sentence(begun: Path, tmp_path: Path, harm: str, said: str) -> None:
    folder = Path(shutil.copytree(begun, tmp_path / "model"))
    config, weights = folder / "open_clip_config.json", folder / WEIGHTS
    if harm == "missing":
        folder = tmp_path / "nowhere"
    elif harm == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif harm == "no config":
        config.unlink()
    elif harm == "another side":
        told = json.loads(config.read_text(encoding="utf-8"))
        told["model_cfg"]["vision_cfg"]["image_size"] = 128
        config.write_text(json.dumps(told), encoding="utf-8")
    elif harm == "other tensors":
        save_file({"weight": torch.zeros(2)}, weights)
    else:
        tensors = load_file(weights)
        tensors["visual.head.proj.weight"][0, 0] = float("nan")
        save_file(tensors, weights)
    with pytest.raises(WrongUse, match=said):
        start_from(folder, RECIPE)


def clouds(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(600, 1856) of 6 classes, each in two places (as photographs and catalogue pictures are), and their classes."""
    classes = torch.arange(600) % 6
    kinds = torch.randn(6, 1856, generator=generator)
    places = torch.randn(2, 1856, generator=generator) * 2
    # Light, backgrounds and the like, which differ more than the classes do.
    beside = torch.randn(600, 30, generator=generator) @ torch.randn(30, 1856, generator=generator)
    return normalize(kinds[classes] + places[(torch.arange(600) // 6) % 2] + beside), classes


def test_the_fitted_map_brings_together_what_has_one_name() -> None:
    vectors, classes = clouds(torch.Generator().manual_seed(1))
    principal = Reduction.of(vectors, 16)
    one, other = (torch.arange(600) // 6) % 2 == 0, (torch.arange(600) // 6) % 2 == 1

    def found(reduction: Reduction) -> float:
        reduced = reduction(vectors)
        nearest = (reduced[one] @ reduced[other].T).argmax(1)
        return float((classes[other][nearest] == classes[one]).float().mean())

    fitted = fitted_to_labels(principal, vectors, classes, seed=0)
    assert found(principal) < 0.6 and found(fitted.reduction) > found(principal) + 0.2
    right = (fitted.reduction(vectors) @ fitted.prototypes.T).argmax(1) == classes
    assert right.float().mean() > 0.95


def test_turned_targets_keep_their_similarities_and_lie_nearer_to_the_student() -> None:
    generator = torch.Generator().manual_seed(2)
    vectors, _ = clouds(generator)
    fitted = Fitted(Reduction.of(vectors, 16), normalize(torch.randn(6, 16, generator=generator)))
    before = fitted.reduction(vectors)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q
    student = normalize(before @ turn + 0.05 * torch.randn(600, 16, generator=generator))
    turned = turned_to(fitted, vectors, student)
    after = turned.reduction(vectors)
    torch.testing.assert_close(after @ after.T, before @ before.T, rtol=0, atol=1e-4)
    torch.testing.assert_close(after @ turned.prototypes.T, before @ fitted.prototypes.T, rtol=0, atol=1e-4)
    assert (after * student).sum(1).mean() > 0.95 > (before * student).sum(1).mean()
