"""A model that has learned already, with whose weights a run begins."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from imagescreen.embedding.manifest import file_sha256
from imagescreen.embedding.registry import CONFIG_FILE, WEIGHTS_FILE
from imagescreen.errors import WrongUse
from imagescreen.evaluation.training.recipe import Recipe, open_clip_config
from imagescreen.evaluation.training.student import Student


@dataclass(frozen=True, slots=True)
class Start:
    """`told` is the name of the model's folder and the sha256 of its weights, `tensors` are its towers'."""

    told: str
    tensors: Mapping[str, Tensor]


def start_from(folder: Path, recipe: Recipe) -> Start:
    """Raises WrongUse when the folder holds no model, or one that is not built as the `recipe` builds it."""
    weights = folder / WEIGHTS_FILE
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        tensors = {
            name: value.float() if value.is_floating_point() else value for name, value in load_file(weights).items()
        }
        told = f"{folder.resolve().name}, weights sha256 {file_sha256(weights)}"
    except (OSError, ValueError, SafetensorError) as error:
        raise WrongUse(f"the folder {folder.name!r} holds no model to start from: {error}") from None
    if config != open_clip_config(recipe):
        raise WrongUse(
            f"the model in {folder.name!r} is built otherwise than {recipe.trunk} at {recipe.side} pixels with "
            f"{recipe.dimension} components: give the --trunk, --side and --dimension of the model to start from"
        )
    towers = Student(recipe, ("thing",)).towers
    if {name: value.shape for name, value in towers.state_dict().items()} != {
        name: value.shape for name, value in tensors.items()
    }:
        raise WrongUse(f"the weights in {folder.name!r} are not those of the model that its configuration describes")
    return Start(told, tensors)
