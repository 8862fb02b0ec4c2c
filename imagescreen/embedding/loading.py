"""From a checked folder to a model that computes: open_clip's part of the encoder."""

import contextlib
import importlib.util
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from imagescreen.embedding.libraries import import_open_clip
from imagescreen.embedding.model_config import ModelConfig, Pixels, Preprocessing
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

    `transform` brings one picture to the model's size, `scaling` a batch of them to the numbers that the model takes.
    `text_off_reason` says why there is no tokenizer, and is None exactly when there is one.
    """

    towers: Towers
    transform: Callable[[Image.Image], Pixels]
    scaling: "Scaling"
    tokenizer: Tokenizer | None
    text_off_reason: str | None


def load_model(entry: ModelEntry, folder: Path, config: ModelConfig, *, dtype: DType, device: str) -> LoadedModel:
    """The model in `folder`, whose files were checked before.

    Raises BrokenModel when open_clip cannot build the architecture, the weights do not fit it, or open_clip would
    preprocess pictures in another way than the fingerprint says.
    """
    open_clip = import_open_clip()
    import torch

    from imagescreen.embedding.packed import pack_blocks

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
    pack_blocks(model.visual)
    tokenizer, reason = _load_tokenizer(entry, config, location)
    scaling = Scaling(config.preprocessing, dtype=dtype, device=device)
    return LoadedModel(
        towers=model,
        transform=_to_pixels(entry, config.preprocessing, open_clip.transform.image_transform_v2(understood, False)),
        scaling=scaling,
        tokenizer=tokenizer,
        text_off_reason=reason,
    )


def torch_dtype(dtype: DType) -> "torch.dtype":
    import torch

    return {DType.FLOAT32: torch.float32, DType.BFLOAT16: torch.bfloat16, DType.FLOAT16: torch.float16}[dtype]


class Scaling:
    """The last steps of open_clip's transform, scaling and normalising, for a whole batch where the model runs.

    So threads that prepare pictures need no torch, which in each of them would start a team of threads of its own (it
    was measured to cost twice the processor time), and what waits for the encoder or is copied to a GPU is a quarter
    as large.
    """

    def __init__(self, preprocessing: Preprocessing, *, dtype: DType, device: str) -> None:
        import torch

        self._mean = torch.tensor(preprocessing.mean, device=device)[:, None, None]
        self._std = torch.tensor(preprocessing.std, device=device)[:, None, None]
        self._dtype = torch_dtype(dtype)
        self._device = device

    def __call__(self, pixels: Pixels) -> "torch.Tensor":
        """(n, s, s, 3) -> (n, 3, s, s) in the model's number format, on its device, channels last in memory."""
        import torch

        # The processor does not wait for the copy when the memory is pinned.
        there = torch.from_numpy(pixels).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        return there.float().div_(255).sub_(self._mean).div_(self._std).to(self._dtype)


def _to_pixels(
    entry: ModelEntry, preprocessing: Preprocessing, transform: "Callable[[Image.Image], torch.Tensor]"
) -> Callable[[Image.Image], Pixels]:
    """The same transform without its last steps, which `Scaling` does: together they give the same, on a processor to
    the last bit, which is checked here on the built-in test picture. But for the resize, which is `Resampling`'s.
    """
    from imagescreen.embedding.resampling import Resampling

    steps: list[Callable[[Image.Image], Image.Image]] = getattr(transform, "transforms", [])[:-2]
    resampling = Resampling(preprocessing)

    def run(image: Image.Image) -> Pixels:
        for step in steps:
            image = step(image)
        return np.array(image)

    picture = resampling(draw_test_picture())
    pixels = run(picture)
    scaled = Scaling(preprocessing, dtype=DType.FLOAT32, device="cpu")(pixels[np.newaxis])
    if not np.array_equal(scaled[0].numpy(), transform(picture).numpy()):
        raise BrokenModel(f"open_clip's transform for {entry.name!r} does not end in scaling and normalising.")
    return lambda image: run(resampling(image))


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
