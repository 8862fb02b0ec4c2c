"""A second real model for tests: `mini` with its picture projection turned, which is another embedding space."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from imagescreen.embedding.fetch import rewrite_manifest
from imagescreen.embedding.registry import entry_of

PROJECTION = "visual.head.proj.weight"


def install_variant(source: Path, weights: Path, *, seed: int = 0) -> Path:
    """Installs `mini` and `variant` under `weights` and returns it; another seed is another space."""
    for name in ("mini", "variant"):
        if not (weights / name).exists():
            shutil.copytree(source / "mini", weights / name)
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
    """The registry's entry of `mini`, twice."""
    registry = (source / "models.toml").read_text(encoding="utf-8")
    entry = "[[model]]" + registry.split("[[model]]")[1]
    (weights / "models.toml").write_text(entry + entry.replace('"mini"', '"variant"'), encoding="utf-8")
