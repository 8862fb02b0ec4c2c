"""The `open_clip_config.json` of a model's folder, checked to be plain before open_clip sees it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from imagescreen.embedding.registry import CONFIG_FILE
from imagescreen.errors import BrokenModel

# The mean and standard deviation of OpenAI's CLIP, which open_clip takes where a config gives none.
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_TIMM_NAME = re.compile(r"[A-Za-z0-9_.]+")
_TOKENIZER_OPTIONS = frozenset({"clean", "reduction_mask", "strip_sep_token", "language"})
_DEFAULT_CONTEXT_LENGTH = 77


Pixels = NDArray[np.uint8]
"""RGB pictures at a model's size, (s, s, 3) or (n, s, s, 3): preprocessed but for scaling and normalising."""


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """How a checked RGB picture becomes the model's input; the fields and defaults of open_clip's `PreprocessCfg`."""

    size: int
    mode: Literal["RGB"] = "RGB"
    mean: tuple[float, float, float] = _CLIP_MEAN
    std: tuple[float, float, float] = _CLIP_STD
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["longest", "shortest", "squash"] = "shortest"
    fill_color: int = 0


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the config says, as far as this service needs to know it. `model` is open_clip's own dictionary."""

    model: dict[str, object]
    preprocessing: Preprocessing
    dimension: int
    pooling: dict[str, str]
    hub_tokenizer: bool
    context_length: int
    tokenizer_options: dict[str, object]

    @property
    def quick_gelu(self) -> bool:
        return bool(self.model.get("quick_gelu", False))


class _Vision(msgspec.Struct, frozen=True):
    image_size: int | tuple[int, int] = 224
    timm_model_name: str | None = None
    timm_pool: str = "avg"
    pool_type: str = "tok"
    attentional_pool: bool | str = False


class _Text(msgspec.Struct, frozen=True):
    context_length: int = _DEFAULT_CONTEXT_LENGTH
    hf_model_name: str | None = None
    hf_tokenizer_name: str | None = None
    pool_type: str = "argmax"
    tokenizer_kwargs: dict[str, object] = {}


class _Model(msgspec.Struct, frozen=True):
    embed_dim: int
    vision_cfg: _Vision
    text_cfg: _Text


class _Document(msgspec.Struct, frozen=True):
    model_cfg: dict[str, object]
    preprocess_cfg: dict[str, object] = {}


def read_config(folder: Path) -> ModelConfig:
    """The config of the model in `folder`.

    Raises BrokenModel when it is missing, not a config of open_clip, or asks for more than open_clip's and timm's own
    architectures: a text tower of another library, weights from a hub, or code that comes with the weights.
    """
    try:
        return parse_config((folder / CONFIG_FILE).read_bytes())
    except OSError as error:
        raise BrokenModel(f"{CONFIG_FILE} of {folder.name!r} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise BrokenModel(f"{CONFIG_FILE} of {folder.name!r} is not a plain open_clip config: {error}.") from None


def parse_config(content: bytes) -> ModelConfig:
    """As read_config, from the file's bytes; ValueError says what is wrong."""
    document = msgspec.json.decode(content, type=_Document)
    model = msgspec.convert(document.model_cfg, type=_Model, strict=False)
    size = model.vision_cfg.image_size
    width, height = (size, size) if isinstance(size, int) else size
    if width != height:
        raise ValueError("the input is not square")
    if model.vision_cfg.timm_model_name is not None and not _TIMM_NAME.fullmatch(model.vision_cfg.timm_model_name):
        raise ValueError("`timm_model_name` must be the name of an architecture, not of a place to load it from")
    if model.text_cfg.hf_model_name:
        raise ValueError("a text tower of another library (`hf_model_name`) is not supported")
    unknown = model.text_cfg.tokenizer_kwargs.keys() - _TOKENIZER_OPTIONS
    if unknown:
        raise ValueError(f"the tokenizer option {min(unknown)!r} is not allowed")
    given = {key: value for key, value in document.preprocess_cfg.items() if value is not None}
    return ModelConfig(
        model=document.model_cfg,
        preprocessing=msgspec.convert(given | {"size": width}, type=Preprocessing),
        dimension=model.embed_dim,
        pooling={"vision": _vision_pooling(model.vision_cfg), "text": model.text_cfg.pool_type, "norm": "l2"},
        hub_tokenizer=bool(model.text_cfg.hf_tokenizer_name),
        context_length=model.text_cfg.context_length,
        tokenizer_options=dict(model.text_cfg.tokenizer_kwargs),
    )


def disagreement(config: ModelConfig, stated: Mapping[str, object]) -> str:
    """The first difference between a config and what the registry states; empty when there is none.

    A registry that states None knows nothing about that field.
    """
    found: dict[str, object] = {
        "dimension": config.dimension,
        "input_size": config.preprocessing.size,
        "resize_mode": config.preprocessing.resize_mode,
        "quick_gelu": config.quick_gelu,
    }
    for field, value in stated.items():
        if value is not None and found[field] != value:
            return f"`{field}` is {found[field]!r} in {CONFIG_FILE} and {value!r} in the registry"
    return ""


def _vision_pooling(vision: _Vision) -> str:
    if vision.timm_model_name is not None:
        return f"timm:{vision.timm_pool}"
    return f"{vision.pool_type}, attentional" if vision.attentional_pool else vision.pool_type
