"""The student: built by open_clip, trained here, written in the form in which the service loads models."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from imagescreen.embedding.fetch import rewrite_manifest
from imagescreen.embedding.libraries import import_open_clip
from imagescreen.embedding.registry import CONFIG_FILE, REGISTRY_FILE, WEIGHTS_FILE, entry_of
from imagescreen.embedding.trunks import GOODS_COMPONENTS, both_levels, middle_channels
from imagescreen.evaluation.training.names import PHRASES
from imagescreen.evaluation.training.recipe import Recipe, open_clip_config

MAX_BYTES = 30_000_000
"""Of all files together: what a model that is kept in git may have."""
_BYTES_OF_A_NAME = 150
_BYTES_BESIDE = 20_000


class Student(nn.Module):
    """Both sides of the model. `names` are the classes that its text side learns."""

    mean: Tensor
    std: Tensor
    tokens: Tensor

    def __init__(self, recipe: Recipe, names: tuple[str, ...]) -> None:
        super().__init__()
        open_clip = import_open_clip()
        config = open_clip_config(recipe)
        self.towers: Any = open_clip.CLIP(**config["model_cfg"])
        tokenizer = open_clip.SimpleTokenizer(context_length=recipe.context_length)
        # (phrasings, classes, context)
        tokens = torch.stack([tokenizer([phrase.format(name) for name in names]) for phrase in PHRASES])
        self.register_buffer("tokens", tokens, persistent=False)
        normalising = config["preprocess_cfg"]
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(normalising[name])[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, s, s) in 0 to 1 -> (n, d) of unit length."""
        return nn.functional.normalize(self.towers.encode_image(self._normalised(images)).float())

    def _normalised(self, images: Tensor) -> Tensor:
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def middle(self, images: Tensor) -> Tensor:
        """(n, 3, s, s) in 0 to 1 -> (n, c): what the stage before the last sees, of a ResNet."""
        return both_levels(self.towers.visual.trunk, self._normalised(images))[1]

    def words(self, phrasing: Tensor) -> Tensor:
        """(c, d) of unit length: every class name in the phrasing of that number, (c,) int64."""
        tokens = self.tokens[phrasing, torch.arange(len(phrasing), device=phrasing.device)]
        return nn.functional.normalize(self.towers.encode_text(tokens).float())


def stored_bytes(towers: nn.Module, middle: int, goods: int) -> int:
    """How large the model's file of these weights is, a little overestimated for its header and the files beside it.
    `middle` components come to it in the end, as with_middle makes them, and `goods` as with_goods does.
    """
    tensors: list[Tensor] = list(towers.state_dict().values())
    values = sum(tensor.numel() * (2 if tensor.is_floating_point() else tensor.element_size()) for tensor in tensors)
    text: Tensor = towers.state_dict()["text_projection"]
    values += 2 * middle * (middle + 1 + len(text)) + 2 * goods * (text.shape[1] + len(text))
    return values + _BYTES_OF_A_NAME * len(tensors) + _BYTES_BESIDE


def write_model(tensors: dict[str, Tensor], recipe: Recipe, weights_dir: Path) -> Path:
    """Writes the model in float16 as `weights_dir/NAME`, with a manifest, and a registry of this one model beside it.

    `tensors` are the towers' own. Returns its folder.
    """
    folder = weights_dir / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    half = {
        name: tensor.detach().cpu().half().contiguous() if tensor.is_floating_point() else tensor.detach().cpu()
        for name, tensor in tensors.items()
    }
    save_file(half, folder / WEIGHTS_FILE)
    middle = middle_channels(recipe.trunk) if recipe.middle_share else 0
    goods = GOODS_COMPONENTS if recipe.goods_share else 0
    config = open_clip_config(recipe, middle=middle, goods=goods)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (weights_dir / REGISTRY_FILE).write_text(_registry_entry(recipe, middle, goods), encoding="utf-8")
    rewrite_manifest(entry_of(recipe.name, weights_dir), weights_dir)
    return folder


def _registry_entry(recipe: Recipe, middle: int, goods: int) -> str:
    how = "its last two stages" if middle else "linear projection"
    return f"""[[model]]
name = "{recipe.name}"
title = "{recipe.name}"
description = "Trained by scripts/train_mini.py."
architecture = "timm {recipe.trunk}, {how}; text transformer of {recipe.text_layers} layers"
licence = "see its README.md"
open_licence = true
input_size = {recipe.side}
dimension = {recipe.dimension + middle + goods}
resize_mode = "longest"
text_side = true
"""
