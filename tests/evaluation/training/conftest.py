"""A photo set drawn by code, and teachers of the real architectures with random weights."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from imagescreen.evaluation.photos import PhotoRow
from imagescreen.evaluation.training.recipe import Recipe
from imagescreen.evaluation.training.teachers import DENSENET_FILE, VIT_FILE, architectures
from imagescreen.references.sample.rendered import jpeg_bytes, render_product

RECIPE = Recipe(
    name="tiny", trunk="resnet10t", side=64, dimension=16, batch=8, passes=2, views=1, mixtures=1, text_layers=1
)

TRAINED = [
    *(PhotoRow("clothing", f"train/{n}.jpg", ("hat", "shirt")[n % 2], "train", "train") for n in range(6)),
    # After others, so that a picture's place is not its place among the products.
    *(PhotoRow("grocery", f"train/{n}.jpg", f"Fruit/Apple/Kind-{n % 3}", "train", "train") for n in range(12)),
    *(PhotoRow("caltech101", f"{n}.jpg", ("chair", "BACKGROUND_Google")[n % 2], "all", "train") for n in range(6)),
]
KEPT_OUT = [
    *(PhotoRow("clothing", f"other/{n}.jpg", "hat", "test", ("test", "calibrate")[n % 2]) for n in range(4)),
    *(PhotoRow("grocery", f"test/{n}.jpg", f"Fruit/Apple/Kind-{n}", "test", "test") for n in range(3)),
    *(PhotoRow("grocery_iconic", f"{n}.jpg", f"Fruit/Apple/Kind-{n}", "all", "test") for n in range(5)),
    *(PhotoRow("caltech101", f"new/{n}.jpg", ("lamp", "stapler")[n % 2], "all", "test") for n in range(4)),
]
FOLDER = "caltech101"
"""The one that is a plain folder, not a tar file."""


def picture(row: PhotoRow) -> bytes:
    place = (TRAINED + KEPT_OUT).index(row)
    return jpeg_bytes(render_product(700_000 + place, size=(96, 72 + 24 * (place % 3))).image)


def write_photo_set(folder: Path, rows: list[PhotoRow], kept: list[PhotoRow]) -> Path:
    """An index of `rows` with the pictures of those `kept`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{row.tar},{row.member},{row.label},{row.split},{row.use}" for row in rows]
    (folder / "index.csv").write_text("\n".join(["tar,member,label,split,use", *lines]) + "\n", encoding="utf-8")
    for tar in {row.tar for row in kept} - {FOLDER}:
        with tarfile.open(folder / f"{tar}.tar", "w") as archive:
            for row in kept:
                if row.tar == tar:
                    info, data = tarfile.TarInfo(row.member), picture(row)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    for row in kept:
        if row.tar == FOLDER:
            path = folder / FOLDER / row.member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(row))
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of torch that wait for each other crawl where other tests share the cores. For each module anew: a model
    that is loaded by a test of another folder sets their number for the whole process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def photo_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photo_set(tmp_path_factory.mktemp("photos"), TRAINED + KEPT_OUT, TRAINED + KEPT_OUT)


@pytest.fixture(scope="session")
def train_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of all rows, and of the files nothing but what may be trained on."""
    return write_photo_set(tmp_path_factory.mktemp("train-only"), KEPT_OUT + TRAINED, TRAINED)


@pytest.fixture(scope="session")
def teachers_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(0)
    for name, model in zip((VIT_FILE, DENSENET_FILE), architectures(), strict=True):
        save_file({key: value.half().contiguous() for key, value in model.state_dict().items()}, folder / name)
    return folder
