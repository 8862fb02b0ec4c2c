"""Bringing in torch, torchvision and open_clip: in which order, and never online."""

import functools
import os
import sys
from types import MappingProxyType, ModuleType

from imagescreen.errors import BrokenInstallation

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def import_open_clip() -> ModuleType:
    """open_clip, with the network closed to it; BrokenInstallation when it cannot be imported.

    Whatever the model's config says, loading it fetches nothing: huggingface_hub, which open_clip and transformers
    use, is offline in this process from here on.
    """
    close_network()
    try:
        _import_torchvision()
        import open_clip
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


def _import_torchvision() -> None:
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


OPENMP_WAITING = MappingProxyType({"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"})
"""How the encoder's threads wait for each other, for the environment: OpenMP reads it once, when it is loaded.

Without it they spin as long as they wait, which beside decoding threads took up to five times as long; with the first
alone they sleep at once, and a lone picture, whose steps are short, took half as long again. So they spin for some
tens of microseconds, then sleep.
"""


@functools.cache
def _declared_operators() -> object:
    """The schemas that torchvision asks for. Cached, because they go when the object goes."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library
