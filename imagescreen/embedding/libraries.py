"""Bringing in torch, torchvision and open_clip: in which order, and never online."""

import functools
import os
import sys
from types import ModuleType

from imagescreen.errors import BrokenInstallation

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def import_open_clip() -> ModuleType:
    """open_clip, with the network closed to it; BrokenInstallation when it cannot be imported.

    It builds this project's own trunks too, by their names. Whatever the model's config says, loading it fetches
    nothing: huggingface_hub, which open_clip and transformers use, is offline in this process from here on.
    """
    close_network()
    try:
        import_torchvision()
        import open_clip

        import imagescreen.embedding.trunks  # noqa: F401  (registers them with timm)
    except (ImportError, RuntimeError) as error:
        raise BrokenInstallation(f"open_clip cannot be imported: {error}") from error
    module: ModuleType = open_clip
    return module


def close_network() -> None:
    """Take huggingface_hub and transformers offline for the rest of the process."""
    # Both read the environment once, when they are imported.
    os.environ.update(_OFFLINE)
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        vars(constants)["HF_HUB_OFFLINE"] = True


def import_torchvision() -> None:
    """Import torchvision, also where it was built for another torch.

    A CPU build of torch beside the ordinary torchvision wheel is a common pair: torchvision's compiled operators then
    do not load, and its import fails on the missing `torchvision::nms`, which nothing here uses. Declaring the schemas
    is enough. They must not be declared beforehand: where the wheels fit, a second declaration aborts the process.
    """
    import torch  # noqa: F401  (torchvision must find it whole)

    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declared_operators()
        import torchvision  # noqa: F401


@functools.cache
def _declared_operators() -> object:
    """The schemas that torchvision asks for. Cached, because they go when the object goes."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library
