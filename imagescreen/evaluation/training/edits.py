"""Edited views of many pictures at once, on the device that trains: what sellers do to a picture, and beyond."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

_LUMA = (0.299, 0.587, 0.114)
_WHITE = 1.0


@dataclass(frozen=True, slots=True)
class Edits:
    """Largest strength of each edit, and the share of pictures that gets it.

    They cover the ranges of `edited_copy`, in which all retrieval figures of the project are measured, and go beyond.
    """

    crop: float = 0.2
    turn_degrees: float = 15.0
    strong_turn_degrees: float = 40.0
    strong_turn_share: float = 0.1
    perspective: float = 0.25
    perspective_share: float = 0.3
    smaller: float = 0.5
    smaller_share: float = 0.25
    backdrop_share: float = 0.3
    cut_out_share: float = 0.15
    brightness: tuple[float, float] = (0.5, 1.5)
    contrast: tuple[float, float] = (0.6, 1.4)
    saturation: tuple[float, float] = (0.2, 1.8)
    tint: float = 0.08
    sharpening: float = 2.0
    sharpening_share: float = 0.0
    blur_share: float = 0.15
    noise: float = 0.06
    noise_share: float = 0.2
    sizes: tuple[float, ...] = (0.5, 0.65, 0.8, 1.0)
    jpeg_quality: tuple[float, float] = (20.0, 95.0)
    overlay_share: float = 0.3
    untouched_share: float = 0.15


MILD = Edits(
    crop=0.15,
    turn_degrees=12,
    strong_turn_share=0,
    perspective=0.15,
    perspective_share=0.15,
    smaller=0.6,
    smaller_share=0.15,
    backdrop_share=0.1,
    cut_out_share=0,
    brightness=(0.6, 1.4),
    contrast=(0.7, 1.3),
    saturation=(0.3, 1.6),
    tint=0.05,
    sharpening_share=0.4,
    blur_share=0.1,
    noise=0.03,
    noise_share=0.1,
    sizes=(0.6, 0.8, 1.0, 1.0),
    jpeg_quality=(30, 95),
    overlay_share=0.08,
    untouched_share=0.35,
)
"""The ranges of `edited_copy` and little more: a student that has seen stronger ones is finished with these."""


LIGHT = replace(
    MILD,
    brightness=(0.75, 1.25),
    contrast=(0.8, 1.2),
    saturation=(0.7, 1.3),
    tint=0.04,
    sharpening_share=0.5,
    blur_share=0.05,
    noise=0.02,
    sizes=(0.8, 1, 1, 1),
    jpeg_quality=(50, 95),
    overlay_share=0,
    untouched_share=0.4,
)
"""For cut-outs and mixtures, which stay where they are: colours tell one fruit from another."""


def unedited(pixels: Tensor, extents: Tensor, boxes: Tensor, side: int) -> Tensor:
    """(n, 3, side, side) in 0 to 1: what lies in `boxes`, on a white square and as large as fits.

    `pixels` is (n, 3, s, s) uint8, `extents` (n, 2), `boxes` (n, 4): left, top, right, bottom as shares of the
    picture inside its square.
    """
    places = corners(side, pixels.device) / _shape(extents, boxes)[:, None, None]
    images = sampled_at(pixels, _where(extents, boxes, places))
    return torch.where((places.abs() <= 1).all(-1)[:, None], images, _WHITE)


class Editor:
    """Makes views; all tensors on one device. `overlays` (m, 4, t, t) in 0 to 1: colour and opacity of texts and
    stickers.
    """

    def __init__(self, edits: Edits, overlays: Tensor, generator: torch.Generator) -> None:
        self._edits = edits
        self._overlays = overlays
        self._generator = generator
        self._device = overlays.device

    def edited(self, pixels: Tensor, extents: Tensor, boxes: Tensor, side: int) -> Tensor:
        """As `unedited`, edited at random."""
        e, n = self._edits, len(pixels)
        touched = self._chance(n, 1 - e.untouched_share)
        cut = self._uniform((n, 4), 0, e.crop) * touched[:, None]
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        boxes = torch.stack(
            (
                boxes[:, 0] + cut[:, 0] * width,
                boxes[:, 1] + cut[:, 1] * height,
                boxes[:, 2] - cut[:, 2] * width,
                boxes[:, 3] - cut[:, 3] * height,
            ),
            1,
        )
        shape = _shape(extents, boxes)
        places = self._moved(shape, side, touched)
        images = sampled_at(pixels, _where(extents, boxes, places))
        fill = self._fill(n, touched)
        inside = (places.abs() <= 1).all(-1) & self._inside_ellipse(places, touched)
        images = torch.where(inside[:, None], images, fill)
        return self._finished(self._pasted(images, touched), touched)

    def recoloured(self, images: Tensor) -> Tensor:
        """(n, 3, s, s) in 0 to 1 with all edits that leave everything in its place, and mirrored for half of them."""
        touched = self._chance(len(images), 1 - self._edits.untouched_share)
        mirrored = self._chance(len(images), 0.5)
        return self._finished(torch.where(mirrored[:, None, None, None], images.flip(3), images), touched)

    def _finished(self, images: Tensor, touched: Tensor) -> Tensor:
        # What stays as it is costs nothing: on a processor these edits take a third of a step.
        if not touched.any():
            return images
        finished = images.clone()
        finished[touched] = self._degraded(self._coloured(self._sharpened(images[touched])))
        return finished

    def _moved(self, shape: Tensor, side: int, touched: Tensor) -> Tensor:
        """(n, side, side, 2): for each pixel the place in the picture, -1 to 1 inside it."""
        e, n = self._edits, len(shape)
        strong = self._chance(n, e.strong_turn_share)
        turn = self._uniform((n,), -1, 1) * torch.where(strong, e.strong_turn_degrees, e.turn_degrees) * touched
        turn = turn * (torch.pi / 180)
        smaller = self._chance(n, e.smaller_share) & touched
        scale = torch.where(smaller, self._uniform((n,), e.smaller, 1), 1.0)
        shift = self._uniform((n, 2), -1, 1) * (1 - scale)[:, None]
        tilt = self._uniform((n, 2), -e.perspective, e.perspective)
        tilt = tilt * (self._chance(n, e.perspective_share) & touched)[:, None]
        square = corners(side, self._device).expand(n, -1, -1, -1)
        at = (square - shift[:, None, None]) / scale[:, None, None, None]
        cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
        x, y = at[..., 0], at[..., 1]
        turned = torch.stack((cos * x + sin * y, cos * y - sin * x), -1)
        depth = 1 + (turned * tilt[:, None, None]).sum(-1, keepdim=True)
        turned = turned / depth.clamp(min=0.3)
        mirror = torch.where(self._chance(n, 0.5) & touched, -1.0, 1.0)
        turned = turned * torch.stack((mirror, torch.ones_like(mirror)), 1)[:, None, None]
        return turned / shape[:, None, None]

    def _inside_ellipse(self, places: Tensor, touched: Tensor) -> Tensor:
        """For some pictures only the middle is left, as goods are cut out for a catalogue."""
        n = len(places)
        chosen = self._chance(n, self._edits.cut_out_share) & touched
        radii = self._uniform((n, 1, 1, 2), 0.6, 1.0)
        power = self._uniform((n, 1, 1), 2, 6)
        distance = (places / radii).abs().clamp(max=10).pow(power[..., None]).sum(-1)
        return (distance <= 1) | ~chosen[:, None, None]

    def _fill(self, n: int, touched: Tensor) -> Tensor:
        """(n, 3, 1, 1): what lies around a picture, mostly white."""
        colour = self._uniform((n, 3), 0, 1)
        chosen = self._chance(n, self._edits.backdrop_share / 2) & touched
        return torch.where(chosen[:, None], colour, _WHITE)[:, :, None, None]

    def _pasted(self, images: Tensor, touched: Tensor) -> Tensor:
        """Where a picture leaves white around itself, for some of them a blurred other one shows through."""
        n = len(images)
        chosen = self._chance(n, self._edits.backdrop_share / 2) & touched
        other = images.flip(0)
        coarse = functional.interpolate(functional.avg_pool2d(other, 8), size=images.shape[-2:], mode="bilinear")
        white = (images >= 1 - 1e-4).all(1, keepdim=True)
        return torch.where(white & chosen[:, None, None, None], coarse, images)

    def _sharpened(self, images: Tensor) -> Tensor:
        """An unsharp mask for some: pictures of a catalogue are sharper than what was cut out of a small photograph."""
        e, n = self._edits, len(images)
        if not e.sharpening_share:
            return images
        soft = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
        chosen = self._chance(n, e.sharpening_share)[:, None, None, None]
        return (images + (images - soft) * self._uniform((n, 1, 1, 1), 0, e.sharpening) * chosen).clamp(0, 1)

    def _coloured(self, images: Tensor) -> Tensor:
        e, n = self._edits, len(images)
        images = images * self._uniform((n, 1, 1, 1), *e.brightness)
        images = images * self._uniform((n, 3, 1, 1), 1 - e.tint, 1 + e.tint)
        images = images.clamp(0, 1)
        luma = torch.tensor(_LUMA, device=self._device)[None, :, None, None]
        grey = (images * luma).sum(1, keepdim=True)
        images = grey + (images - grey) * self._uniform((n, 1, 1, 1), *e.saturation)
        mean = grey.mean((2, 3), keepdim=True)
        images = mean + (images - mean) * self._uniform((n, 1, 1, 1), *e.contrast)
        return images.clamp(0, 1)

    def _degraded(self, images: Tensor) -> Tensor:
        """Stickers, then a smaller size, noise and JPEG at that size, then back."""
        e, side = self._edits, images.shape[-1]
        images = self._with_overlays(images)
        order = torch.randperm(len(e.sizes), generator=self._generator, device=self._device).tolist()
        done = []
        for part, place in zip(images.chunk(len(e.sizes)), order, strict=False):
            size = 16 * max(2, round(side * e.sizes[place] / 16))
            small = part if size == side else _resized(part, size)
            noisy = self._chance(len(part), e.noise_share)[:, None, None, None]
            noise = torch.randn(small.shape, generator=self._generator, device=self._device)
            strength = self._uniform((len(part), 1, 1, 1), 0, e.noise) * noisy
            small = (small + noise * strength).clamp(0, 1)
            small = jpeg_like(small, self._uniform((len(part),), *e.jpeg_quality))
            soft = self._chance(len(part), e.blur_share)[:, None, None, None]
            small = torch.where(soft, _resized(_resized(small, max(16, size // 2)), size), small)
            done.append((small if size == side else _resized(small, side)).clamp(0, 1))
        return torch.cat(done)

    def _with_overlays(self, images: Tensor) -> Tensor:
        n, side = len(images), images.shape[-1]
        chosen = self._chance(n, self._edits.overlay_share)
        which = torch.randint(len(self._overlays), (n,), generator=self._generator, device=self._device)
        size = self._uniform((n,), 0.2, 0.6)
        turn = self._uniform((n,), -0.5, 0.5)
        at = self._uniform((n, 2), -0.8, 0.8)
        cos, sin = turn.cos() / size, turn.sin() / size
        theta = torch.stack(
            (
                torch.stack((cos, sin, -(cos * at[:, 0] + sin * at[:, 1])), 1),
                torch.stack((-sin, cos, -(cos * at[:, 1] - sin * at[:, 0])), 1),
            ),
            1,
        )
        grid = functional.affine_grid(theta, [n, 4, side, side], align_corners=False)
        overlay = functional.grid_sample(self._overlays[which], grid, align_corners=False)
        opacity = overlay[:, 3:] * chosen[:, None, None, None]
        return images * (1 - opacity) + overlay[:, :3] * opacity

    def _uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self._device) * (high - low) + low

    def _chance(self, n: int, share: float) -> Tensor:
        return torch.rand(n, generator=self._generator, device=self._device) < share


def jpeg_like(images: Tensor, quality: Tensor) -> Tensor:
    """`images` (n, 3, h, w) in 0 to 1, both sides multiples of 16, after the lossy part of JPEG with 4:2:0 chroma.

    Tables and their scaling by `quality` (n,), 1 to 100, are those of ITU-T T.81, annex K, as libjpeg uses them but
    for the rounding of their steps to whole numbers.
    """
    _, _, height, width = images.shape
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    to_ycc = _to_ycc(images.device)
    ycc = torch.einsum("ij,njhw->nihw", to_ycc, images * 255)
    luma = _quantised(ycc[:, :1] - 128, _LUMA_TABLE, scale) + 128
    chroma = _quantised(functional.avg_pool2d(ycc[:, 1:], 2), _CHROMA_TABLE, scale)
    chroma = functional.interpolate(chroma, size=(height, width), mode="bilinear")
    back = torch.einsum("ij,njhw->nihw", torch.linalg.inv(to_ycc), torch.cat((luma, chroma), 1))
    return (back / 255).clamp(0, 1)


def _quantised(planes: Tensor, table: tuple[int, ...], scale: Tensor) -> Tensor:
    n, c, height, width = planes.shape
    # Rows are the 64 patterns, so that all blocks together are one matrix product.
    patterns = torch.kron(_dct(planes.device), _dct(planes.device))
    steps = torch.tensor(table, dtype=torch.float32, device=planes.device)
    steps = (steps * scale[:, None]).clamp(1, 255)[:, None]
    blocks = planes.reshape(n, c, height // 8, 8, width // 8, 8).transpose(3, 4).reshape(n, -1, 64)
    kept = ((blocks @ patterns.T) / steps).round() * steps
    back = (kept @ patterns).reshape(n, c, height // 8, width // 8, 8, 8)
    return back.transpose(3, 4).reshape(n, c, height, width)


def _dct(device: torch.device) -> Tensor:
    """(8, 8): the orthonormal cosine transform."""
    k, x = torch.meshgrid(torch.arange(8.0, device=device), torch.arange(8.0, device=device), indexing="ij")
    rows = torch.cos((2 * x + 1) * k * torch.pi / 16) / 2
    rows[0] /= 2**0.5
    return rows


def _to_ycc(device: torch.device) -> Tensor:
    red, green, blue = _LUMA
    rows = (
        (red, green, blue),
        (-red / 2 / (1 - blue), -green / 2 / (1 - blue), 0.5),
        (0.5, -green / 2 / (1 - red), -blue / 2 / (1 - red)),
    )
    return torch.tensor(rows, device=device)


def sampled_at(pixels: Tensor, where: Tensor) -> Tensor:
    """(n, 3, h, w) in 0 to 1: `pixels` (n, 3, s, s) uint8 at `where` (n, h, w, 2), -1 to 1 in their square."""
    return functional.grid_sample(
        pixels.float().div_(255), where.float(), mode="bilinear", padding_mode="border", align_corners=False
    )


def _where(extents: Tensor, boxes: Tensor, places: Tensor) -> Tensor:
    """(n, h, w, 2): where the `places` (n, h, w, 2), -1 to 1 in `boxes` (n, 4), lie in the squares of the pictures."""
    middle = (boxes[:, :2] + boxes[:, 2:]) - 1
    half = boxes[:, 2:] - boxes[:, :2]
    return (middle[:, None, None] + places * half[:, None, None]) * extents[:, None, None]


def _resized(images: Tensor, side: int) -> Tensor:
    return functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)


def _shape(extents: Tensor, boxes: Tensor) -> Tensor:
    """(n, 2): width and height of what lies in `boxes`, the longer one 1."""
    size = (boxes[:, 2:] - boxes[:, :2]) * extents
    return size / size.amax(1, keepdim=True)


def corners(side: int, device: torch.device) -> Tensor:
    """(1, side, side, 2): the middles of the pixels of a square from -1 to 1."""
    line = (torch.arange(side, device=device) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((x, y), -1)[None]


# fmt: off
_LUMA_TABLE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)
_CHROMA_TABLE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
)
# fmt: on
