"""Pictures to a model's size: across first, then down, by torch where that takes less than a third of Pillow's time."""

import numpy as np
import structlog
import torch
from PIL import Image

from imagescreen.embedding.model_config import Preprocessing
from imagescreen.embedding.test_picture import draw_test_picture

_LOG = structlog.get_logger("imagescreen.embedding")
# Where torch resamples bytes as they are; elsewhere it would turn them to floating point and back, which nobody timed.
_CAPABILITIES = frozenset({"AVX2", "AVX512"})
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

MAX_DIFFERENCE = 2
"""Levels of 255 in which torch and Pillow differ at most, one for each pass: torch rounds weights to 16 bits, Pillow to
22. On photographs one value in a thousand differs at all, by one.
"""


class Resampling:
    """The resize of open_clip's transform, which then finds a picture that has its size already.

    Between the two passes colours are rounded to bytes, so their order shows in a few pixels with hard edges. Pillow
    chooses it by the shape, and not in every release alike; here it is always the same. `quick` says whether torch
    does it, which is looked up and tried out once, with Pillow as the judge.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing
        self.quick = torch.backends.cpu.get_cpu_capability() in _CAPABILITIES and self._torch_agrees()

    def __call__(self, image: Image.Image) -> Image.Image:
        """An RGB picture of any size -> RGB, of the size that the transform brings it to before it crops or pads."""
        size = self.size(*image.size)
        if size == image.size:
            return image
        return self._by_torch(image, size) if self.quick else self._by_pillow(image, size)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the resize, rounded as open_clip (`longest`) and torchvision do."""
        side = self._preprocessing.size
        if self._preprocessing.resize_mode == "squash":
            return side, side
        if self._preprocessing.resize_mode == "longest":
            ratio = max(width, height) / side
            return round(width / ratio), round(height / ratio)
        shorter = min(width, height)
        return int(side * width / shorter), int(side * height / shorter)

    def _by_pillow(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        by = _FILTERS[self._preprocessing.interpolation]
        return image.resize((size[0], image.height), by).resize(size, by)

    def _by_torch(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        # (1, 3, h, w) with the channels last in memory, as the pixels are, and so is what comes out: to bring it into
        # another order, torch would start threads. A copy: torch takes no read-only memory.
        pixels = torch.from_numpy(np.array(image)[np.newaxis]).permute(0, 3, 1, 2)
        resized = torch.nn.functional.interpolate(
            pixels, size=size[::-1], mode=self._preprocessing.interpolation, antialias=True
        )
        return Image.fromarray(resized.permute(0, 2, 3, 1).numpy()[0])

    def _torch_agrees(self) -> bool:
        """Whether torch gives what Pillow does, on the test picture made smaller and larger."""
        picture = draw_test_picture()
        try:
            for scale in (0.2, 2.5, 5.0):
                side = round(self._preprocessing.size * scale)
                image = picture.resize((side, 3 * side // 4))
                size = self.size(*image.size)
                by_torch, by_pillow = self._by_torch(image, size), self._by_pillow(image, size)
                if np.abs(np.asarray(by_torch, np.int16) - np.asarray(by_pillow, np.int16)).max() > MAX_DIFFERENCE:
                    _LOG.warning("pillow_resizes", error="torch gives other pixels")
                    return False
        except (RuntimeError, TypeError, ValueError) as error:
            _LOG.warning("pillow_resizes", error=str(error))
            return False
        return True
