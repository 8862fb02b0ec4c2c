"""A model with random weights: the shape, file format and speed of a real checkpoint, for benchmarks alone."""

import json
from pathlib import Path

from imagescreen.embedding.fetch import rewrite_manifest
from imagescreen.embedding.libraries import import_open_clip
from imagescreen.embedding.registry import CONFIG_FILE, REGISTRY_FILE, WEIGHTS_FILE, entry_of

NAME = "random"


def install_random_model(architecture: str, weights_dir: Path, *, seed: int = 0) -> None:
    """Writes an open_clip `architecture` (`ViT-B-32`, say) with random weights as model `random` into an empty
    folder of weights with a registry of its own.
    """
    open_clip = import_open_clip()
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    model = open_clip.create_model(architecture)
    folder = weights_dir / NAME
    folder.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_FILE)
    config = open_clip.get_model_config(architecture)
    preprocessing = {
        name: value for name, value in model.visual.preprocess_cfg.items() if name in ("mean", "std", "interpolation")
    }
    (folder / CONFIG_FILE).write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing}, default=list), encoding="utf-8"
    )
    (weights_dir / REGISTRY_FILE).write_text(
        f"""[[model]]
name = "{NAME}"
title = "{architecture} with random weights"
description = "For benchmarks."
architecture = "{architecture}"
licence = "none"
open_licence = true
dimension = {config["embed_dim"]}
text_side = true
random_weights = true
""",
        encoding="utf-8",
    )
    rewrite_manifest(entry_of(NAME, weights_dir), weights_dir)
