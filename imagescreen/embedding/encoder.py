"""The encoder: pictures and words to unit vectors in one space."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagescreen.embedding.hardware import resolve_device, resolve_dtype, thread_count
from imagescreen.embedding.manifest import (
    MANIFEST_FILE,
    Manifest,
    check_files,
    check_no_strays,
    checked_config,
    encode_manifest,
    file_sha256,
    installed_fingerprint,
    installed_models,
    model_folder,
    new_manifest,
    read_manifest,
    rounded,
)
from imagescreen.embedding.model_config import ModelConfig, Pixels
from imagescreen.embedding.registry import ModelEntry, entry_of
from imagescreen.embedding.test_picture import draw_test_picture
from imagescreen.errors import BrokenModel, ImagescreenError, Unavailable, UnreadablePicture
from imagescreen.settings import Device, DType

if TYPE_CHECKING:
    import torch

    from imagescreen.embedding.loading import LoadedModel

__all__ = ["Encoder", "TrainedOnly", "describe_model", "installed_fingerprint", "installed_models", "load_encoder"]

MIN_SELF_TEST_COSINE = 0.999
"""Least similarity of the test picture's vector to the float32 one in the manifest: float32, bfloat16 and float16 of
the same weights stay above it, other weights or another preprocessing do not."""

# Aspect ratio past which a picture is cropped to its middle before a resize to the shortest side: the resize would
# make all of a long strip large only to crop it, 32 x 2,000,000 px to gigabytes.
_MAX_STRIP = 4


class TrainedOnly(Enum):
    """Whether a model must have been trained; only benchmarks, which look at nothing but time, waive that."""

    REQUIRED = auto()
    WAIVED = auto()


class Encoder:
    """One loaded model. Made by `load_encoder`; safe to use from several threads.

    `name`, `fingerprint` and `dimension` are of the model; `input_side` is the s of its (s, s, 3) input; `dtype`
    and `device` say in what and on what it computes with `threads` threads. Without a text side `has_text` is false
    and `text_off_reason` tells why.
    """

    def __init__(
        self,
        model: "LoadedModel",
        manifest: Manifest,
        config: ModelConfig,
        *,
        dtype: DType,
        device: str,
        threads: int,
    ) -> None:
        self.name = manifest.name
        self.fingerprint = manifest.fingerprint
        self.dimension = config.dimension
        self.input_side = config.preprocessing.size
        self.dtype = dtype.value
        self.device = device
        self.threads = threads
        self.has_text = model.tokenizer is not None
        self.text_off_reason = model.text_off_reason
        self._model = model
        self._streams = threading.local()
        self._resize_mode = config.preprocessing.resize_mode
        self._test_vector = np.array(manifest.test_picture_vector, dtype=np.float32)

    @property
    def lanes(self) -> int:
        """Batches that may be in `encode` at the same time: on a GPU one is copied there while another runs."""
        return 2 if self.device == "cuda" else 1

    def batch_memory(self, pictures: int) -> Pixels:
        """(pictures, s, s, 3) to put batches into; a GPU copies from it by itself (pinned memory)."""
        import torch

        shape = (pictures, self.input_side, self.input_side, 3)
        memory: Pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device == "cuda").numpy()
        return memory

    def preprocess(self, image: Image.Image) -> Pixels:
        """The model's input for one RGB picture, (s, s, 3), by the model's own open_clip transform.

        Runs in the caller's thread.
        """
        if self._resize_mode == "longest":
            image = _at_least_a_line(image, self.input_side)
        elif self._resize_mode == "shortest":
            image = _middle_of_a_strip(image)
        return self._model.transform(image)

    def encode(self, batch: Pixels) -> NDArray[np.float32]:
        """(n, s, s, 3) -> (n, d) float32 of unit length.

        Raises UnreadablePicture when a picture of the batch has no finite vector, and Unavailable when the device
        failed, of memory for instance.
        """
        side = self.input_side
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (side, side, 3):
            raise ImagescreenError(
                f"The encoder takes (n, {side}, {side}, 3) of uint8, not {batch.shape} of {batch.dtype}."
            )
        if not len(batch):
            return np.empty((0, self.dimension), dtype=np.float32)
        import torch

        try:
            with torch.inference_mode(), self._own_stream():
                vectors = _unit_length(self._model.towers.encode_image(self._model.scaling(batch)))
        except RuntimeError as error:
            raise Unavailable(f"The encoder failed on {self.device}: {error}") from error
        if not np.isfinite(vectors).all():
            raise UnreadablePicture("The model gives no finite vector for this picture.")
        return vectors

    def _own_stream(self) -> AbstractContextManager[object]:
        """On a GPU a stream for each thread, so that the copies of one overlap the work of another."""
        if self.device != "cuda":
            return nullcontext()
        import torch

        if not hasattr(self._streams, "stream"):
            self._streams.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._streams.stream)

    def encode_words(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32 of unit length, in the space of the pictures; what exceeds the model's context is cut off.

        Raises Unavailable when the text side is off or the device failed.
        """
        if self._model.tokenizer is None:
            raise Unavailable(self.text_off_reason or f"The model {self.name!r} has no text side.")
        if not phrases:
            return np.empty((0, self.dimension), dtype=np.float32)
        import torch

        try:
            with torch.inference_mode():
                tokens = self._model.tokenizer(list(phrases)).to(self.device)
                vectors = _unit_length(self._model.towers.encode_text(tokens))
        except RuntimeError as error:
            raise Unavailable(f"The encoder failed on {self.device}: {error}") from error
        if not np.isfinite(vectors).all():
            raise BrokenModel(f"The text side of {self.name!r} gives vectors that are not finite.")
        return vectors

    def test_input(self) -> Pixels:
        """The built-in test picture, preprocessed: (s, s, 3)."""
        return self.preprocess(draw_test_picture())

    def check_test_vector(self, vector: NDArray[np.float32]) -> float:
        """The cosine of the test picture's `vector`, (d,) of unit length, and the one in the model's manifest.

        Raises BrokenModel below MIN_SELF_TEST_COSINE.
        """
        cosine = float(vector @ self._test_vector)
        if not cosine >= MIN_SELF_TEST_COSINE:
            raise BrokenModel(
                f"The model {self.name!r} in {self.dtype} on {self.device} sees the built-in test picture differently "
                f"from its manifest: cosine {cosine:.4f}, at least {MIN_SELF_TEST_COSINE} is required."
            )
        return cosine


def load_encoder(
    name: str,
    weights_dir: Path,
    *,
    dtype: DType,
    device: Device,
    threads: int,
    trained: TrainedOnly = TrainedOnly.REQUIRED,
) -> Encoder:
    """The encoder of an installed model. Fetches nothing; takes the process offline for the model hub.

    Every file is checked against the model's manifest before it is loaded, and the loaded model must see the built-in
    test picture as the manifest says. `threads` (0: one per available core) sets torch's count for the whole process.
    Raises BrokenInstallation for a model that is unknown or not installed or a device that is not there, and
    BrokenModel for files that are not sound, or weights that are random where trained ones are required.
    """
    entry = entry_of(name, weights_dir)
    if entry.random_weights and trained is TrainedOnly.REQUIRED:
        raise BrokenModel(f"The model {name!r} has random weights: it serves benchmarks and can screen nothing.")
    folder = model_folder(entry, weights_dir)
    manifest = read_manifest(entry, folder)
    check_files(name, folder, manifest.files)
    config = checked_config(entry, folder)
    encoder = _load(entry, folder, config, manifest, dtype=dtype, device=device, threads=threads)
    encoder.check_test_vector(encoder.encode(encoder.test_input()[np.newaxis])[0])
    return encoder


def describe_model(entry: ModelEntry, folder: Path, *, listed: Sequence[str], revision: str) -> Manifest:
    """Write the manifest of the model in `folder`, which then counts as installed.

    Hashes the `listed` files, loads the model in float32 on the processor and embeds the test picture. Raises
    BrokenModel for a folder that holds anything else to load, or a model that cannot be loaded.
    """
    files = {name: file_sha256(folder / name) for name in listed}
    check_no_strays(entry.name, folder, files)
    config = checked_config(entry, folder)
    unknown = new_manifest(entry, config, files, [0.0] * config.dimension, revision=revision)
    encoder = _load(entry, folder, config, unknown, dtype=DType.FLOAT32, device=Device.CPU, threads=0)
    vector = encoder.encode(encoder.test_input()[np.newaxis])[0]
    manifest = msgspec.structs.replace(unknown, test_picture_vector=rounded(vector.tolist()))
    (folder / MANIFEST_FILE).write_bytes(encode_manifest(manifest))
    return manifest


def _load(
    entry: ModelEntry,
    folder: Path,
    config: ModelConfig,
    manifest: Manifest,
    *,
    dtype: DType,
    device: Device,
    threads: int,
) -> Encoder:
    from imagescreen.embedding.libraries import import_open_clip
    from imagescreen.embedding.loading import load_model

    import_open_clip()
    import torch

    count = thread_count(threads)
    torch.set_num_threads(count)
    place = resolve_device(device)
    number_format = resolve_dtype(dtype, place)
    return Encoder(
        load_model(entry, folder, config, dtype=number_format, device=place),
        manifest,
        config,
        dtype=number_format,
        device=place,
        threads=count,
    )


def _unit_length(features: "torch.Tensor") -> NDArray[np.float32]:
    """(n, d) of any length and number format to float32 of unit length; a zero vector has no direction, so NaN."""
    wide = features.float()
    unit: NDArray[np.float32] = (wide / wide.norm(dim=-1, keepdim=True)).cpu().numpy()
    return unit


def _at_least_a_line(image: Image.Image, side: int) -> Image.Image:
    """A picture so thin that it would have no pixel at the model's size becomes one line of it."""
    width, height = image.size
    if round(min(width, height) * side / max(width, height)) > 0:
        return image
    return image.resize((side, 1) if width > height else (1, side), Image.Resampling.BICUBIC)


def _middle_of_a_strip(image: Image.Image) -> Image.Image:
    width, height = image.size
    longest = _MAX_STRIP * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))
