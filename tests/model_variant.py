"""Further real models for tests, made of the built-in one: the same knowledge in another embedding space."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from imagescreen.embedding.fetch import rewrite_manifest
from imagescreen.embedding.registry import CONFIG_FILE, REGISTRY_FILE, WEIGHTS_FILE, entry_of
from imagescreen.settings import BUILT_IN_MODEL

PROJECTION = "visual.trunk.last.weight"
MIDDLE = ("visual.trunk.middle.weight", "visual.trunk.middle.bias")
TEXT_PROJECTION = "text_projection"

_FEWER = 128

Tensors = dict[str, torch.Tensor]


def install_variant(source: Path, weights: Path, *, seed: int = 0) -> Path:
    """Installs the built-in model and `variant` under `weights` and returns it. Both parts of the picture side's
    vectors are turned in `variant`; another seed is another space.
    """

    def turned(tensors: Tensors) -> None:
        generator = torch.Generator().manual_seed(seed)
        for part in ((PROJECTION,), MIDDLE):
            side = tensors[part[0]].shape[0]
            turn, _ = torch.linalg.qr(torch.randn(side, side, generator=generator))
            for name in part:
                tensors[name] = (turn @ tensors[name].float()).half().contiguous()

    return _install(source, weights, "variant", turned, entry_of(BUILT_IN_MODEL, source).dimension)


def install_former(source: Path, weights: Path) -> Path:
    """Installs the built-in model and `former` under `weights` and returns it; `former` has fewer dimensions."""

    def fewer(tensors: Tensors) -> None:
        tensors[PROJECTION] = tensors[PROJECTION][_FEWER:].contiguous()
        tensors[TEXT_PROJECTION] = tensors[TEXT_PROJECTION][:, _FEWER:].contiguous()

    return _install(source, weights, "former", fewer, entry_of(BUILT_IN_MODEL, source).dimension - _FEWER)


def _install(source: Path, weights: Path, name: str, change: Callable[[Tensors], None], dimension: int) -> Path:
    for each in (BUILT_IN_MODEL, name):
        if not (weights / each).exists():
            shutil.copytree(source / BUILT_IN_MODEL, weights / each)
    file = weights / name / WEIGHTS_FILE
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    config = json.loads((weights / name / CONFIG_FILE).read_text(encoding="utf-8"))
    config["model_cfg"]["embed_dim"] = dimension
    (weights / name / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    _register(source, weights, name, dimension)
    rewrite_manifest(entry_of(name, weights), weights)
    return weights


def _register(source: Path, weights: Path, name: str, dimension: int) -> None:
    """The registry's entry of the built-in model, twice."""
    registry = (source / REGISTRY_FILE).read_text(encoding="utf-8")
    entry = "[[model]]" + registry.split("[[model]]")[1]
    told = f"dimension = {entry_of(BUILT_IN_MODEL, source).dimension}\n"
    other = entry.replace(f'"{BUILT_IN_MODEL}"', f'"{name}"').replace(told, f"dimension = {dimension}\n")
    (weights / REGISTRY_FILE).write_text(entry + other, encoding="utf-8")
