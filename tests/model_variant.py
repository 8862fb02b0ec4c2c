"""A second real model for tests: the built-in one in another embedding space, its picture projection turned."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from imagescreen.embedding.fetch import rewrite_manifest
from imagescreen.embedding.registry import entry_of
from imagescreen.settings import BUILT_IN_MODEL

PROJECTION = "visual.head.proj.weight"


def install_variant(source: Path, weights: Path, *, seed: int = 0) -> Path:
    """Installs the built-in model and `variant` under `weights` and returns it; another seed is another space."""
    for name in (BUILT_IN_MODEL, "variant"):
        if not (weights / name).exists():
            shutil.copytree(source / BUILT_IN_MODEL, weights / name)
    file = weights / "variant" / "open_clip_model.safetensors"
    tensors = load_file(file)
    generator = torch.Generator().manual_seed(seed)
    side = tensors[PROJECTION].shape[0]
    turn, _ = torch.linalg.qr(torch.randn(side, side, generator=generator))
    tensors[PROJECTION] = (turn @ tensors[PROJECTION].float()).half().contiguous()
    save_file(tensors, file)
    _register(source, weights)
    rewrite_manifest(entry_of("variant", weights), weights)
    return weights


def _register(source: Path, weights: Path) -> None:
    """The registry's entry of the built-in model, twice."""
    registry = (source / "models.toml").read_text(encoding="utf-8")
    entry = "[[model]]" + registry.split("[[model]]")[1]
    (weights / "models.toml").write_text(entry + entry.replace(f'"{BUILT_IN_MODEL}"', '"variant"'), encoding="utf-8")
