"""From a checked folder to a model that computes: open_clip's part of the encoder."""

import contextlib
import importlib.util
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagescreen.embedding.libraries import import_open_clip
from imagescreen.embedding.model_config import ModelConfig, Preprocessing
from imagescreen.embedding.registry import ModelEntry
from imagescreen.embedding.test_picture import draw_test_picture
from imagescreen.errors import BrokenModel
from imagescreen.settings import DType

if TYPE_CHECKING:
    import torch


class Towers(Protocol):
    """The two halves of an open_clip model; both give (n, d) vectors of any length."""

    def encode_image(self, image: "torch.Tensor") -> "torch.Tensor": ...

    def encode_text(self, text: "torch.Tensor") -> "torch.Tensor": ...


class Tokenizer(Protocol):
    """Phrases to token ids, (n, context length) int64."""

    def __call__(self, texts: list[str]) -> "torch.Tensor": ...


@dataclass(frozen=True)
class LoadedModel:
    """An open_clip model in inference mode with the transform and the tokenizer that belong to it.

    `text_off_reason` says why there is no tokenizer, and is None exactly when there is one.
    """

    towers: Towers
    transform: Callable[[Image.Image], NDArray[np.float32]]
    tokenizer: Tokenizer | None
    text_off_reason: str | None


def load_model(entry: ModelEntry, folder: Path, config: ModelConfig, *, dtype: DType, device: str) -> LoadedModel:
    """The model in `folder`, whose files were checked before.

    Raises BrokenModel when open_clip cannot build the architecture, the weights do not fit it, or open_clip would
    preprocess pictures in another way than the fingerprint says.
    """
    open_clip = import_open_clip()
    import torch

    location = f"local-dir:{folder.resolve()}"
    try:
        with _root_logger_left_alone():
            # Without require_pretrained, missing weights would silently be random ones.
            model = open_clip.create_model(location, precision="fp32", device="cpu", require_pretrained=True)
    except Exception as error:
        raise BrokenModel(f"open_clip cannot load the model {entry.name!r}: {_first_line(error)}") from error
    understood = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    if _comparable(understood.__dict__) != _comparable(_fields(config.preprocessing)):
        raise BrokenModel(f"open_clip would preprocess pictures for {entry.name!r} otherwise than its config says.")
    # create_model leaves the model as for training, where dropout and batch statistics move the vectors.
    model.eval().requires_grad_(False)
    if dtype is DType.FLOAT32:
        # Otherwise CUDA convolutions round their inputs to 10 bits of mantissa (TF32).
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
    model.to(device=device, dtype=torch_dtype(dtype))
    if isinstance(model.visual, open_clip.timm_model.TimmModel):
        # Trunks of convolutions; for transformers it changes nothing.
        model.visual.to(memory_format=torch.channels_last)
    tokenizer, reason = _load_tokenizer(entry, config, location)
    return LoadedModel(
        towers=model,
        transform=_without_torch(
            entry, config.preprocessing, open_clip.transform.image_transform_v2(understood, False)
        ),
        tokenizer=tokenizer,
        text_off_reason=reason,
    )


def torch_dtype(dtype: DType) -> "torch.dtype":
    import torch

    return {DType.FLOAT32: torch.float32, DType.BFLOAT16: torch.bfloat16, DType.FLOAT16: torch.float16}[dtype]


def _without_torch(
    entry: ModelEntry, preprocessing: Preprocessing, transform: "Callable[[Image.Image], torch.Tensor]"
) -> Callable[[Image.Image], NDArray[np.float32]]:
    """The same transform with its last steps, scaling and normalising, in numpy: (3, s, s) float32.

    Pictures are preprocessed in many threads, and in each of them torch would start a team of threads of its own for
    a tensor of this size; that was measured to cost twice the processor time. The result is the same to the last bit,
    which is checked here on the built-in test picture.
    """
    steps: list[Callable[[Image.Image], Image.Image]] = getattr(transform, "transforms", [])[:-2]
    mean = np.array(preprocessing.mean, dtype=np.float32)[:, np.newaxis, np.newaxis]
    std = np.array(preprocessing.std, dtype=np.float32)[:, np.newaxis, np.newaxis]

    def run(image: Image.Image) -> NDArray[np.float32]:
        for step in steps:
            image = step(image)
        samples = np.asarray(image).transpose(2, 0, 1)
        scaled = np.empty(samples.shape, dtype=np.float32)
        # One array, written to three times.
        np.divide(samples, np.float32(255), out=scaled, dtype=np.float32)
        np.subtract(scaled, mean, out=scaled)
        return np.divide(scaled, std, out=scaled)

    picture = draw_test_picture()
    if not np.array_equal(run(picture), transform(picture).numpy()):
        raise BrokenModel(f"open_clip's transform for {entry.name!r} does not end in scaling and normalising.")
    return run


def _load_tokenizer(entry: ModelEntry, config: ModelConfig, location: str) -> tuple[Tokenizer | None, str | None]:
    """The tokenizer, or why there is none: pictures are served without it."""
    if not entry.text_side:
        return None, f"The model {entry.name!r} has no text side."
    if config.hub_tokenizer and importlib.util.find_spec("transformers") is None:
        return None, (
            f"The text side of {entry.name!r} is off: it needs the package `transformers`, "
            "which the extra `hf-text` installs."
        )
    open_clip = import_open_clip()
    try:
        with _root_logger_left_alone():
            tokenizer: Tokenizer = open_clip.get_tokenizer(location)
            tokenizer(["a test"])
    except Exception as error:
        return None, f"The text side of {entry.name!r} is off: its tokenizer cannot be loaded ({_first_line(error)})."
    return tokenizer, None


@contextlib.contextmanager
def _root_logger_left_alone() -> Iterator[None]:
    """open_clip logs through `logging.info`, which would configure a root logger that has no handler yet."""
    root = logging.getLogger()
    placeholder = logging.NullHandler()
    root.addHandler(placeholder)
    try:
        yield
    finally:
        root.removeHandler(placeholder)


def _fields(preprocessing: Preprocessing) -> dict[str, object]:
    return {field: getattr(preprocessing, field) for field in preprocessing.__struct_fields__}


def _comparable(fields: dict[str, object]) -> dict[str, object]:
    """With lists as tuples, and the two ways of writing a square side as one."""
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    size = plain["size"]
    return plain | {"size": (size, size) if isinstance(size, int) else size}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
