"""The two ImageNet encoders whose vectors the student learns to give."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from imagescreen.embedding.manifest import file_sha256
from imagescreen.errors import BrokenModel, WrongUse

INPUT_SIDE = 224
DIMENSION = 192 + 1664
VIT_FILE = "vit_tiny_patch16_224.safetensors"
DENSENET_FILE = "densenet169.safetensors"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
# The weights were trained with this epsilon, which is not torchvision's.
_DENSENET_EPSILON = 1.001e-5


def architectures() -> tuple[Any, Any]:
    """The two teachers without their heads and with random weights."""
    densenet = torchvision.models.densenet169()
    densenet.classifier = nn.Identity()
    for module in densenet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = _DENSENET_EPSILON
    return timm.create_model("vit_tiny_patch16_224", num_classes=0), densenet


class Teachers(nn.Module):
    """(n, 3, 224, 224) in 0 to 1 -> (n, 1856) float32 of unit length: both teachers' unit vectors side by side."""

    mean: Tensor
    std: Tensor
    digest: str

    def __init__(self, folder: Path) -> None:
        """Raises WrongUse when a file is missing, BrokenModel when it is damaged or not of the architecture."""
        super().__init__()
        self.vit, self.densenet = architectures()
        _load(self.vit, folder / VIT_FILE)
        _load(self.densenet, folder / DENSENET_FILE)
        self.digest = " ".join(file_sha256(folder / name) for name in (VIT_FILE, DENSENET_FILE))
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(_IMAGENET_STD)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        by_vit = self.vit((images - 0.5) / 0.5).float()
        maps = torch.relu(self.densenet.features((images - self.mean) / self.std))
        by_densenet = maps.mean((2, 3)).float()
        both = torch.cat((nn.functional.normalize(by_vit), nn.functional.normalize(by_densenet)), 1)
        return nn.functional.normalize(both)


@dataclass(frozen=True, slots=True)
class Reduction:
    """Principal components of the teachers' vectors: (n, 1856) -> (n, d) of unit length.

    `mean` is (1856,), `components` (1856, d).
    """

    mean: Tensor
    components: Tensor

    @classmethod
    def of(cls, vectors: Tensor, dimension: int) -> "Reduction":
        """Of `vectors` (n, 1856), of which there must be more than `dimension`."""
        mean = vectors.mean(0)
        centred = (vectors - mean).double()
        # Of the covariance, whose eigenvalues come in ascending order.
        components = torch.linalg.eigh(centred.T @ centred).eigenvectors.T.flip(0).float()
        return cls(mean, components[:dimension].T.contiguous())

    def __call__(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize((vectors - self.mean) @ self.components)


def finite(vectors: Tensor) -> Tensor:
    """The `vectors` as they are. Raises BrokenModel when a component is not finite: nothing could be learned."""
    if not bool(vectors.isfinite().all()):
        raise BrokenModel("The teachers give vectors that are not finite: their files are damaged.")
    return vectors


def _load(model: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise WrongUse(f"there is no teacher {path.name} in the folder {path.parent.name!r}")
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
        model.load_state_dict(tensors)
    except SafetensorError as error:
        raise BrokenModel(f"The teacher {path.name} is damaged: {error}.") from None
    except RuntimeError as error:
        wrong = next((line.strip() for line in str(error).splitlines()[1:]), str(error))[:300]
        raise BrokenModel(f"The teacher {path.name} is not a {type(model).__name__}: {wrong}") from None
