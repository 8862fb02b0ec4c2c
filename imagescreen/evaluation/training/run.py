"""A whole training: pictures in, a model's folder with its card out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from imagescreen.embedding.encoder import Encoder, load_encoder
from imagescreen.errors import BrokenModel
from imagescreen.evaluation.embedded import Embedder
from imagescreen.evaluation.photo_tasks import PhotoPicture
from imagescreen.evaluation.photos import PhotoSet, reader_without_limits
from imagescreen.evaluation.training.distil import Place, State, Trained, distil
from imagescreen.evaluation.training.measure import Measured, Vectors, all_names, measure, measured_pictures, seen_names
from imagescreen.evaluation.training.names import PHRASES
from imagescreen.evaluation.training.pictures import fitted, training_pictures
from imagescreen.evaluation.training.recipe import Recipe
from imagescreen.evaluation.training.student import MAX_BYTES, write_model
from imagescreen.evaluation.training.teachers import INPUT_SIDE, Teachers
from imagescreen.settings import Device, DType

STORED_SIDE = 160
"""Training photographs are kept at this size; those of the set are no larger."""
WEIGHTS = "weights"
"""In the run's folder: a folder of weights with a registry of its own, as the service takes it."""

_BATCH = 32

Step = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`folder` is the model's, None when the run was stopped before its end."""

    trained: Trained
    pictures: int
    folder: Path | None
    size_bytes: int


def train(photos: PhotoSet, teachers: Teachers, recipe: Recipe, place: Place, tell: Callable[[State], None]) -> Outcome:
    """Trains or goes on, then writes the model into the folder's `weights`. Raises BrokenModel when it is too large."""
    pictures = training_pictures(photos, side=STORED_SIDE)
    trained = distil(pictures, teachers, recipe, place, tell)
    if not trained.finished:
        return Outcome(trained, len(pictures.rows), None, 0)
    folder = write_model(trained.tensors, recipe, place.folder / WEIGHTS)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > MAX_BYTES:
        raise BrokenModel(f"The model has {size:,} bytes in all; at most {MAX_BYTES:,} are wanted.")
    return Outcome(trained, len(pictures.rows), folder, size)


def measure_model(name: str, weights_dir: Path, photos: PhotoSet, *, threads: int, progress: Step) -> Measured:
    """An installed model as the service runs it, in float32 on a processor and as the device chooses elsewhere."""
    encoder = load_encoder(name, weights_dir, dtype=DType.AUTO, device=Device.AUTO, threads=threads)
    reader = reader_without_limits()
    embedded = Embedder(reader, encoder, max(1, threads), progress).embed(measured_pictures(photos, reader))
    names = all_names(photos)
    words = word_vectors(encoder, names) if encoder.has_text else None
    return measure(embedded.pictures, embedded.vectors, seen=seen_names(photos), names=names, words=words)


def measure_teachers(teachers: Teachers, photos: PhotoSet, *, device: str, progress: Step) -> Measured:
    """The teachers' own vectors on the same pictures, with no training."""
    pictures = measured_pictures(photos, reader_without_limits())
    vectors = []
    teachers.to(device)
    for start in range(0, len(pictures), _BATCH):
        batch = np.stack([_padded(picture) for picture in pictures[start : start + _BATCH]])
        with torch.inference_mode():
            vectors.append(teachers(torch.from_numpy(batch).to(device)).cpu().numpy())
        progress("teachers", start + len(batch), len(pictures))
    return measure(pictures, np.concatenate(vectors), seen=seen_names(photos), names=all_names(photos), words=None)


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
