"""What training reads, and that a run that was stopped is the same run."""

import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from imagescreen.errors import BrokenModel, PhotosUnusable, WrongUse
from imagescreen.evaluation.photos import PhotoSet
from imagescreen.evaluation.training.distil import Trained, distil
from imagescreen.evaluation.training.pictures import TrainingPictures, training_pictures, training_rows
from imagescreen.evaluation.training.place import Place, Stage, State, stopping
from imagescreen.evaluation.training.run import check
from imagescreen.evaluation.training.teachers import Reduction, Teachers, finite
from tests.evaluation.training.conftest import KEPT_OUT, RECIPE, TRAINED, write_photo_set

STEPS = 6


def nothing(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def pictures(train_only: Path) -> TrainingPictures:
    return training_pictures(PhotoSet(train_only), side=64, progress=nothing)


@pytest.fixture(scope="module")
def teachers(teachers_dir: Path) -> Teachers:
    return Teachers(teachers_dir)


@pytest.fixture(scope="module")
def whole_run(
    pictures: TrainingPictures, teachers: Teachers, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Trained, list[State]]:
    """A run without a stop; its folder, what it trained and what it said."""
    told: list[State] = []
    place = Place(tmp_path_factory.mktemp("whole"), "cpu", tell_every_s=0)
    return place.folder, distil(pictures, teachers, RECIPE, place, told.append), told


def test_only_rows_of_use_train_are_read_though_all_other_files_are_missing(
    pictures: TrainingPictures, photo_set: Path, train_only: Path
) -> None:
    assert list(pictures.rows) == TRAINED
    assert pictures.digest() == training_pictures(PhotoSet(photo_set), side=64, progress=nothing).digest()
    photos = PhotoSet(train_only)
    for row in KEPT_OUT:
        with pytest.raises(PhotosUnusable):
            photos.read(row)


def test_a_whole_run_trains_on_them_alone_and_says_how_far_it_is(
    whole_run: tuple[Path, Trained, list[State]],
) -> None:
    _, trained, told = whole_run
    assert trained.finished and trained.done.steps == STEPS and trained.seconds > 0
    by_teachers = [state for state in told if state.stage is Stage.TEACHERS]
    steps = [state for state in told if state.stage is Stage.TRAINING]
    assert (by_teachers[-1].done, by_teachers[-1].total) == (48, 48)
    assert [state.done for state in steps] == list(range(1, STEPS + 1))
    assert steps[-1].seconds_left == 0 < steps[0].seconds_left
    assert all(state.views_per_s > 0 for state in told)
    assert set(steps[0].losses) == {"cosine", "teachers", "copies", "words", "all"}


def test_a_run_that_was_ended_after_three_steps_goes_on_to_the_same_weights(
    whole_run: tuple[Path, Trained, list[State]], pictures: TrainingPictures, teachers: Teachers, tmp_path: Path
) -> None:
    folder, whole, _ = whole_run
    shutil.copytree(folder / "targets", tmp_path / "targets")
    place = Place(tmp_path, "cpu", tell_every_s=0, save_every_s=0)

    def fail_after_the_third(state: State) -> None:
        if state.stage is Stage.TRAINING and state.done == 3:
            raise OSError("the power is gone")

    with pytest.raises(OSError, match="power"):
        distil(pictures, teachers, RECIPE, place, fail_after_the_third)
    told: list[State] = []
    trained = distil(pictures, teachers, RECIPE, place, told.append)
    assert [state.done for state in told] == [4, 5, 6]
    assert trained.tensors.keys() == whole.tensors.keys()
    for name, tensor in whole.tensors.items():
        torch.testing.assert_close(trained.tensors[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_teachers_vectors_are_kept_view_by_view_when_time_is_up(
    whole_run: tuple[Path, Trained, list[State]], pictures: TrainingPictures, teachers: Teachers, tmp_path: Path
) -> None:
    folder, whole, _ = whole_run
    (tmp_path / "targets").mkdir()
    for kept in ("whole", "reduction"):
        shutil.copy(folder / "targets" / f"{kept}.safetensors", tmp_path / "targets")
    stopped = distil(pictures, teachers, RECIPE, Place(tmp_path, "cpu", stop_after_s=0), nothing)
    assert not stopped.finished and stopped.done.steps == 0
    told: list[State] = []
    trained = distil(pictures, teachers, RECIPE, Place(tmp_path, "cpu", tell_every_s=0), told.append)
    # The whole pictures' vectors were there; only those of the mixtures are made.
    assert [state.done for state in told if state.stage is Stage.TEACHERS] == [40, 48]
    torch.testing.assert_close(trained.tensors["visual.head.proj.weight"], whole.tensors["visual.head.proj.weight"])


def test_a_finished_run_is_not_trained_further_and_not_written_anew(
    whole_run: tuple[Path, Trained, list[State]], pictures: TrainingPictures, teachers: Teachers
) -> None:
    folder, whole, _ = whole_run
    before = (folder / "checkpoint.safetensors").read_bytes()
    told: list[State] = []
    again = distil(pictures, teachers, RECIPE, Place(folder, "cpu"), told.append)
    assert again.finished and not told and again.done == whole.done
    assert (folder / "checkpoint.safetensors").read_bytes() == before


def test_a_run_with_other_pictures_of_the_same_number_is_refused(
    whole_run: tuple[Path, Trained, list[State]], pictures: TrainingPictures, teachers: Teachers
) -> None:
    other = replace(pictures, pixels=np.ascontiguousarray(pictures.pixels[::-1]))
    with pytest.raises(WrongUse, match="other pictures or teachers"):
        distil(other, teachers, RECIPE, Place(whole_run[0], "cpu"), nothing)


def test_a_damaged_training_picture_is_named(tmp_path: Path) -> None:
    folder = write_photo_set(tmp_path, TRAINED, TRAINED)
    (folder / "caltech101" / "3.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.raises(PhotosUnusable, match=r"'3.jpg' of 'caltech101' cannot be trained on"):
        training_pictures(PhotoSet(folder), side=64, progress=nothing)


def test_a_training_picture_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    photos = PhotoSet(write_photo_set(tmp_path, [*TRAINED, TRAINED[0]], []))
    with pytest.raises(WrongUse, match=r"'train/0.jpg' of 'clothing' 2 times"):
        check(photos, RECIPE)


def test_a_set_without_rows_of_use_train_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no rows of use train"):
        training_rows(PhotoSet(write_photo_set(tmp_path, KEPT_OUT, [])))


def test_the_first_ctrl_c_waits_for_the_state_to_be_saved_and_is_raised_then() -> None:
    wanted = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), stopping(1e9) as stop:
            wanted.append(stop.wanted)
            signal.raise_signal(signal.SIGINT)
            wanted.append(stop.wanted)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert wanted == [False, True]


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    found: list[bool] = []

    def work() -> None:
        with stopping(0) as stop:
            found.append(stop.wanted)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True]


def test_teachers_that_give_no_numbers_teach_nothing() -> None:
    with pytest.raises(BrokenModel, match="not finite"):
        finite(torch.tensor([[1.0, float("nan")]]))


def test_reduced_vectors_keep_what_differs_most() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(200, 5, generator=generator) * torch.tensor([1.0, 20.0, 1.0, 30.0, 1.0])
    reduced = Reduction.of(vectors, 2)(vectors)
    wanted = normalize((vectors - vectors.mean(0))[:, [3, 1]])
    # Each component has either sign, and is turned a little by the small ones.
    assert (reduced.abs() - wanted.abs()).abs().mean() < 0.1
    torch.testing.assert_close(reduced.norm(dim=1), torch.ones(200))


def test_targets_are_of_unit_length(whole_run: tuple[Path, Trained, list[State]]) -> None:
    whole, mixed = (
        load_file(whole_run[0] / "targets" / f"{name}.safetensors")["vectors"] for name in ("whole", "mixture-0")
    )
    assert (whole.shape, mixed.shape) == ((24, 1856), (24, 16))
    for vectors in (whole, mixed.float()):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(24), rtol=0, atol=2e-3)
