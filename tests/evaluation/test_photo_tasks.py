"""Which photographs the tasks may read, and that no photograph has two parts in one of them."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagescreen.errors import WrongUse
from imagescreen.evaluation.photo_tasks import (
    KNOWN_OBJECTS,
    PhotoPicture,
    edited_copies_right_first,
    photo_pictures,
    photo_tasks,
    promise_pools,
)
from imagescreen.evaluation.photos import PhotoRow, PhotoSet
from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader
from tests.material import product

READER = PictureReader(PictureLimits(1 << 20, 1 << 22, 32), DecodingBudget(1 << 24, 1))


def rows() -> list[PhotoRow]:
    labels = {
        "clothing": ("shirt", "hat"),
        "grocery": ("Fruit/Apple/Gala", "Fruit/Apple/Fuji", "Fruit/Pear", "Milk", "unlisted"),
        "caltech101": (*KNOWN_OBJECTS, "lamp", "chair"),
    }
    made = [
        PhotoRow(tar, f"{use}/{label}/{number}.jpg", label, "", use)
        for tar, of in labels.items()
        for use in ("train", "calibrate", "test")
        for label in of
        if (tar, use) != ("grocery", "calibrate")
        and (label, use) not in (("revolver", "calibrate"), ("wrench", "calibrate"))
        for number in range(13)
    ]
    catalogue = [PhotoRow("grocery_iconic", f"{label}.jpg", label, "", "test") for label in labels["grocery"][:4]]
    return made + catalogue


def photo_set(home: Path, picture: Callable[[PhotoRow], bytes]) -> PhotoSet:
    index = ["tar,member,label,split,use"]
    for tar in sorted({row.tar for row in rows()}):
        with tarfile.open(home / f"{tar}.tar", "w") as archive:
            for row in rows():
                if row.tar == tar:
                    index.append(",".join((row.tar, row.member, row.label, row.split, row.use)))
                    info = tarfile.TarInfo(row.member)
                    info.size = len(picture(row))
                    archive.addfile(info, io.BytesIO(picture(row)))
    (home / "index.csv").write_text("\n".join(index))
    return PhotoSet(home)


@pytest.fixture
def pictures(tmp_path: Path) -> list[PhotoPicture]:
    return photo_pictures(photo_set(tmp_path, lambda _: product(1)), READER)


def test_no_photograph_that_a_model_was_trained_on_is_read(pictures: list[PhotoPicture]) -> None:
    assert {picture.row.use for picture in pictures} == {"calibrate", "test"}
    assert len(pictures) == sum(row.use != "train" for row in rows()) + 26


def test_in_each_trial_a_photograph_has_one_part_only(pictures: list[PhotoPicture]) -> None:
    for task in photo_tasks(pictures, seed=1):
        for trial in task.trials:
            parts = [
                set(trial.references.tolist()),
                {int(place) for package in trial.positive for place in package},
                {int(place) for package in trial.ordinary for place in package},
                set(trial.background.tolist()),
            ]
            assert all(parts), task.name
            assert sum(map(len, parts)) == len(set().union(*parts)), task.name
            uses = [{pictures[place].row.use for place in part} for part in parts]
            assert uses[1] == uses[2] == {"test"} and uses[3] == {"calibrate"}, task.name


def test_what_must_be_caught_has_the_label_of_a_reference_and_what_is_ordinary_has_none(
    pictures: list[PhotoPicture],
) -> None:
    tasks = photo_tasks(pictures, seed=1)
    assert len(tasks) == 3 + len(KNOWN_OBJECTS)
    for task in tasks:
        for trial in task.trials:
            known = set(task.labels[trial.references].tolist())
            assert {int(task.labels[place]) for package in trial.positive for place in package} <= known
            assert not {int(task.labels[place]) for package in trial.ordinary for place in package} & known
            for package in trial.positive:
                assert len({int(task.labels[place]) for place in package}) == 1
    sizes = {len(package) for task in tasks[3:] for package in (*task.trials[0].positive, *task.trials[0].ordinary)}
    assert sizes == {3}


def test_the_background_of_a_class_has_nothing_of_it(pictures: list[PhotoPicture]) -> None:
    for task, label in zip(photo_tasks(pictures, seed=1)[3:], KNOWN_OBJECTS, strict=True):
        assert label in task.name
        assert label not in {pictures[place].row.label for place in task.trials[0].background}


def test_the_same_seed_chooses_the_same_and_another_one_others(pictures: list[PhotoPicture]) -> None:
    first, again, other = (photo_tasks(pictures, seed=seed)[0].trials[0].references for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_a_promise_is_tested_on_goods_of_which_none_is_known(pictures: list[PhotoPicture]) -> None:
    for pool in promise_pools(pictures, seed=1):
        known = {(pictures[place].row.tar, pictures[place].row.label) for place in pool.references}
        ordinary = {(pictures[place].row.tar, pictures[place].row.label) for place in pool.ordinary}
        assert known and ordinary and not known & ordinary
        assert {pictures[place].row.use for place in pool.ordinary} == {"test"}


def test_an_edited_copy_is_another_picture_of_the_same_row_and_always_the_same(pictures: list[PhotoPicture]) -> None:
    copy = next(picture for picture in pictures if picture.edited)
    original = next(picture for picture in pictures if picture.row == copy.row and not picture.edited)
    assert copy.read() == copy.read() != original.read()
    assert "edited copy of" in copy.name


def test_copies_whose_original_is_nearest_are_counted(pictures: list[PhotoPicture]) -> None:
    garments = [picture for picture in pictures if picture.row.tar == "clothing" and picture.row.use == "test"]
    members = sorted({picture.row.member for picture in garments})
    corners = np.eye(len(members), dtype=np.float32)
    vectors = np.stack([corners[members.index(picture.row.member)] for picture in garments])
    assert edited_copies_right_first(garments, vectors) == (1.0, 26)
    copies = np.array([picture.edited for picture in garments])
    wrong = np.flatnonzero(copies)[0]
    vectors[wrong] = np.roll(vectors[wrong], 1)
    assert edited_copies_right_first(garments, vectors)[0] == pytest.approx(25 / 26)


def test_a_set_without_garments_is_refused(pictures: list[PhotoPicture]) -> None:
    with pytest.raises(WrongUse, match="garments of use test"):
        photo_tasks([picture for picture in pictures if picture.row.tar != "clothing"], seed=1)
