"""A whole training: pictures in, a model's folder with its card out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from imagescreen.embedding.encoder import Encoder, load_encoder
from imagescreen.embedding.registry import WEIGHTS_FILE
from imagescreen.errors import BrokenModel, PhotosUnusable, PictureProblem
from imagescreen.evaluation.embedded import Embedder, Progress
from imagescreen.evaluation.photo_tasks import PhotoPicture
from imagescreen.evaluation.photos import PhotoSet, reader_without_limits
from imagescreen.evaluation.training.card import CARD_FILE, Subject, card
from imagescreen.evaluation.training.checks import check_recipe, check_rows
from imagescreen.evaluation.training.distil import Trained, distil
from imagescreen.evaluation.training.measure import Measured, Vectors, all_names, measure, measured_pictures, seen_names
from imagescreen.evaluation.training.names import PHRASES
from imagescreen.evaluation.training.pictures import TrainingPictures, fitted, training_pictures, training_rows
from imagescreen.evaluation.training.place import Place, Tell
from imagescreen.evaluation.training.recipe import Recipe
from imagescreen.evaluation.training.start import Start
from imagescreen.evaluation.training.student import MAX_BYTES, write_model
from imagescreen.evaluation.training.teachers import INPUT_SIDE, Teachers
from imagescreen.settings import Device, DType

STORED_SIDE = 160
"""Training photographs are kept at this size at least; those of the project's own set are no larger."""
WEIGHTS = "weights"
"""In the run's folder: a folder of weights with a registry of its own, as the service takes it."""

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """`subject` is what the card is about; `folder` and `size_bytes` are the model's, of a finished run only."""

    subject: Subject
    folder: Path
    size_bytes: int


def check(photos: PhotoSet, recipe: Recipe) -> None:
    """Raises WrongUse for a recipe or rows that cannot be trained, before any picture is read."""
    check_rows(training_rows(photos), recipe)
    check_recipe(recipe)


def read_pictures(photos: PhotoSet, recipe: Recipe, progress: Progress) -> TrainingPictures:
    """What `recipe` trains on. Raises PhotosUnusable."""
    return training_pictures(photos, side=max(STORED_SIDE, recipe.side), progress=progress)


def train(
    pictures: TrainingPictures,
    teachers: Teachers,
    recipe: Recipe,
    place: Place,
    tell: Tell,
    *,
    licences: Mapping[str, str],
    start: Start | None = None,
) -> Outcome | Trained:
    """Trains or goes on, then writes the model with its card into the folder's `weights`.

    `licences` of the pictures by tar name, for the card; `start` is what the recipe says it is started from. Returns
    what was trained so far when it was stopped. Raises as distil does, and BrokenModel when the files are too large.
    """
    trained = distil(pictures, teachers, recipe, place, tell, start=None if start is None else start.tensors)
    if not trained.finished:
        return trained
    folder = write_model(trained.tensors, recipe, place.folder / WEIGHTS)
    subject = Subject(recipe, trained, pictures.rows, (folder / WEIGHTS_FILE).stat().st_size, licences)
    write_card(folder, subject, {})
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > MAX_BYTES:
        raise BrokenModel(f"The model has {size:,} bytes in all; at most {MAX_BYTES:,} are wanted.")
    return Outcome(subject, folder, size)


def write_card(folder: Path, subject: Subject, measured: Mapping[str, Measured]) -> None:
    """As README.md of the model's folder; `measured` as `card` takes it."""
    (folder / CARD_FILE).write_text(card(subject, measured), encoding="utf-8")


def measure_model(name: str, weights_dir: Path, photos: PhotoSet, *, threads: int, progress: Progress) -> Measured:
    """An installed model as the service runs it, in the number format that it would choose on this machine.

    Pictures that cannot be read are left out and counted. Raises as load_encoder and `measure` do.
    """
    encoder = load_encoder(name, weights_dir, dtype=DType.AUTO, device=Device.AUTO, threads=threads)
    reader = reader_without_limits()
    embedded = Embedder(reader, encoder, max(1, threads), progress).embed(measured_pictures(photos, reader))
    names = all_names(photos)
    words = word_vectors(encoder, names) if encoder.has_text else None
    found = measure(embedded.pictures, embedded.vectors, seen=seen_names(photos), names=names, words=words)
    return replace(found, rejected=len(embedded.rejected))


def measure_teachers(teachers: Teachers, photos: PhotoSet, *, device: str, progress: Progress) -> Measured:
    """The teachers' own vectors on the same pictures, with no training: what the student is to come near to.

    Pictures that cannot be read are left out and counted.
    """
    # On CUDA they were made half as wide to teach.
    teachers.to(device, torch.float32)
    kept, vectors = [], []
    wanted = measured_pictures(photos, reader_without_limits())
    for start in range(0, len(wanted), _BATCH):
        batch = []
        for picture in wanted[start : start + _BATCH]:
            try:
                batch.append(_padded(picture))
            except PictureProblem:
                continue
            kept.append(picture)
        if batch:
            with torch.inference_mode():
                vectors.append(teachers(torch.from_numpy(np.stack(batch)).to(device)).cpu().numpy())
        progress("measuring the teachers", min(start + _BATCH, len(wanted)), len(wanted))
    if not vectors:
        raise PhotosUnusable("none of the pictures to measure with can be read")
    seen, names = seen_names(photos), all_names(photos)
    found = measure(kept, np.concatenate(vectors), seen=seen, names=names, words=None)
    return replace(found, rejected=len(wanted) - len(kept))


def word_vectors(encoder: Encoder, names: tuple[str, ...]) -> Vectors:
    """(c, d) of unit length: the mean over all phrasings of each name."""
    each = encoder.encode_words([phrase.format(name) for phrase in PHRASES for name in names])
    means = each.reshape(len(PHRASES), len(names), -1).mean(0)
    unit: Vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


def _padded(picture: PhotoPicture) -> Vectors:
    """(3, 224, 224) in 0 to 1, on white."""
    data = picture.read()
    reader = reader_without_limits()
    image = fitted(reader.read(data, reader.header(data), reduce_to=INPUT_SIDE).image, INPUT_SIDE)
    padded = np.ones((3, INPUT_SIDE, INPUT_SIDE), np.float32)
    left, top = (INPUT_SIDE - image.width) // 2, (INPUT_SIDE - image.height) // 2
    padded[:, top : top + image.height, left : left + image.width] = (
        np.asarray(image, np.float32).transpose(2, 0, 1) / 255
    )
    return padded
