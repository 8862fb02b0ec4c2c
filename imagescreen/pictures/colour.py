"""Decoded samples of any kind to sRGB on white, at reduced scale."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

_WHITE = (255, 255, 255)
# Pixels that are converted at a time: each passes through several copies of 3 to 4 bytes.
_BAND_PIXELS = 1 << 20
# Modes of more than 8 bits a sample. Colour pictures of 16 bits have been brought to 8 by the decoder.
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_WHITES = {"I": (255, 65_535, (1 << 31) - 1), "F": (1, 255, 65_535)}


def to_srgb(image: Image.Image, icc_profile: bytes | None, sample_bits: int, min_side: int) -> Image.Image:
    """`image` in RGB, its transparency composited on white, its colours brought from their profile to sRGB.

    While the shorter side stays at least `min_side`, whole blocks of pixels are averaged into one. Grey of more than
    8 bits is scaled to 8, not clipped: 16 bits by their range (`sample_bits`); 32 bits and floating point, which have
    no defined white, by the smallest usual one that holds the brightest sample, or else from the darkest to the
    brightest. A broken or unfitting profile is ignored; four channels without one are converted by the complement.
    """
    if image.mode in _DEEP:
        image = _eight_bits(image, sample_bits)
    width, height = image.size
    factor = max(1, min(width, height) // min_side)
    transform = _transform(icc_profile, _colour_mode(image))
    if factor == 1 and width * height <= _BAND_PIXELS:
        return _on_white(image, transform)
    reduced = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, _BAND_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height))) if rows < height else image
        flat = _on_white(band, transform)
        reduced.paste(flat.reduce(factor) if factor > 1 else flat, (0, top // factor))
    return reduced


def place_on_white(image: Image.Image, canvas: tuple[int, int], left: int, top: int) -> Image.Image:
    """An RGB picture at its place on a white canvas of (width, height)."""
    placed = Image.new("RGB", canvas, _WHITE)
    placed.paste(image, (left, top))
    return placed


def _eight_bits(image: Image.Image, sample_bits: int) -> Image.Image:
    """Grey of 16 or 32 bits as L, or as LA where one grey is declared transparent."""
    black, white = _range(image, sample_bits)
    transparent = image.info.get("transparency")
    width, height = image.size
    grey = np.empty((height, width), np.uint8)
    alpha = np.full((height, width), 255, np.uint8) if isinstance(transparent, int) else None
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        samples = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        scaled = (np.nan_to_num(samples.astype(np.float64)) - black) * (255 / (white - black))
        grey[top : top + rows] = np.rint(scaled.clip(0, 255)).astype(np.uint8)
        if alpha is not None:
            alpha[top : top + rows][samples == transparent] = 0
    eight = Image.fromarray(grey)
    return eight if alpha is None else Image.merge("LA", (eight, Image.fromarray(alpha)))


def _range(image: Image.Image, sample_bits: int) -> tuple[float, float]:
    """The samples that are black and white."""
    if image.mode.startswith("I;16"):
        return 0, (1 << min(max(sample_bits, 9), 16)) - 1
    darkest, brightest = (float(np.nan_to_num(extreme)) for extreme in _extremes(image))
    whites = [white for white in _WHITES[image.mode] if brightest <= white]
    if darkest >= 0 and whites:
        return 0, whites[0]
    return darkest, brightest if brightest > darkest else darkest + 1


def _extremes(image: Image.Image) -> tuple[float, float]:
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    bands = (np.asarray(image.crop((0, top, width, min(top + rows, height)))) for top in range(0, height, rows))
    finite = [(np.nan_to_num(band, posinf=0, neginf=0)) for band in bands]
    return min(float(band.min()) for band in finite), max(float(band.max()) for band in finite)


def _colour_mode(image: Image.Image) -> str:
    """The mode of the colours alone, which is what a profile has to fit."""
    if image.mode in ("1", "L", "LA", "La"):
        return "L"
    return image.mode if image.mode in ("CMYK", "LAB") else "RGB"


def _transform(icc_profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        if mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif icc_profile:
            source = ImageCms.ImageCmsProfile(BytesIO(icc_profile))
        else:
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        # A profile is a hint: without it the picture can still be compared.
        return None


def _on_white(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    alpha = None
    if image.has_transparency_data:
        grey = image.mode in ("L", "LA", "La")
        image = image.convert("LA" if grey else "RGBA")
        alpha = image.getchannel("A")
    mode = _colour_mode(image)
    if image.mode != mode:
        image = image.convert(mode)
    if transform is not None:
        image = ImageCms.applyTransform(image, transform) or image
    if image.mode != "RGB":
        image = image.convert("RGB")
    if alpha is None or alpha.getextrema() == (255, 255):
        return image
    return Image.composite(image, Image.new("RGB", image.size, _WHITE), alpha)
