"""A model that has learned already, with whose weights a run begins."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from imagescreen.embedding.manifest import file_sha256
from imagescreen.embedding.registry import CONFIG_FILE, WEIGHTS_FILE
from imagescreen.embedding.trunks import GOODS_COMPONENTS, middle_channels
from imagescreen.errors import WrongUse
from imagescreen.evaluation.training.checks import check_recipe
from imagescreen.evaluation.training.levels import without_middle
from imagescreen.evaluation.training.recipe import Recipe, open_clip_config
from imagescreen.evaluation.training.student import Student


@dataclass(frozen=True, slots=True)
class Start:
    """`told` is the name of the model's folder and the sha256 of its weights, `tensors` are its towers'."""

    told: str
    tensors: Mapping[str, Tensor]


def start_from(folder: Path, recipe: Recipe, *, instead_of: Path | None = None) -> Start:
    """Raises WrongUse when the folder holds no model, or one that is not built as the `recipe` builds it, and as
    check_recipe does, and when it is the folder `instead_of`, where the new model is to be written.
    """
    if instead_of is not None and folder.resolve() == instead_of.resolve():
        raise WrongUse("the model to start from would be overwritten: give another --name or another folder")
    weights, name = folder / WEIGHTS_FILE, folder.resolve().name
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        tensors = {
            key: value.float() if value.is_floating_point() else value for key, value in load_file(weights).items()
        }
        told = f"{name}, weights sha256 {file_sha256(weights)}"
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise WrongUse(f"the folder {name!r} holds no model to start from: {error}") from None
    middle = middle_channels(recipe.trunk)
    if config in [open_clip_config(recipe, middle=middle, goods=goods) for goods in (0, GOODS_COMPONENTS) if middle]:
        # What the stage before the last adds is made anew in the end, and what tells known goods apart.
        with contextlib.suppress(KeyError):
            tensors = without_middle(tensors)
    elif config != open_clip_config(recipe):
        raise WrongUse(
            f"the model in {name!r} is built otherwise than {recipe.trunk} at {recipe.side} pixels with "
            f"{recipe.dimension} components: give the --trunk, --side and --dimension of the model to start from"
        )
    # Before it is built here: what timm cannot build is said in one sentence.
    check_recipe(recipe)
    towers = Student(recipe, ("thing",)).towers
    if _kinds(towers.state_dict()) != _kinds(tensors):
        raise WrongUse(f"the weights in {name!r} are not those of the model that its configuration describes")
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise WrongUse(f"the weights in {name!r} are not all finite: the file is damaged")
    return Start(told, tensors)


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple[object, bool]]:
    return {key: (value.shape, value.is_floating_point()) for key, value in tensors.items()}
