"""Untrusted bytes to a checked sRGB picture."""

import hashlib
import threading
from dataclasses import dataclass, replace
from io import BytesIO

import msgspec
from cachetools import LRUCache
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from imagescreen.errors import (
    PictureProblem,
    PictureTooLarge,
    PictureTooSmall,
    UnreadablePicture,
    UnsupportedPictureFormat,
)
from imagescreen.pictures.budget import DecodingBudget
from imagescreen.pictures.colour import place_on_white, to_srgb
from imagescreen.pictures.containers import Container, parse
from imagescreen.pictures.containers.exif import orientation
from imagescreen.pictures.containers.png import check_complete
from imagescreen.pictures.formats import PictureFormat, sniff
from imagescreen.pictures.information import is_low_information

# What a decoder may allocate beyond the displayed pixels: alpha planes, gain maps, thumbnails, tiles at the edge.
_MAX_DECODED_RATIO = 2
_REMEMBERED_HEADERS = 10_000  # in some 5 MB
# Enough to tell a picture with something on it from a blank one.
_MIN_REDUCED_SIDE = 64
_PILLOW_NAMES = {
    PictureFormat.JPEG: JpegImagePlugin.JpegImageFile.format,
    PictureFormat.PNG: PngImagePlugin.PngImageFile.format,
    PictureFormat.WEBP: WebPImagePlugin.WebPImageFile.format,
    PictureFormat.AVIF: AvifImagePlugin.AvifImageFile.format,
    PictureFormat.GIF: GifImagePlugin.GifImageFile.format,
    PictureFormat.BMP: BmpImagePlugin.BmpImageFile.format,
    PictureFormat.TIFF: TiffImagePlugin.TiffImageFile.format,
}
# Formats of which only the library knows the displayed size, which it reads without decoding.
_MEASURED_BY_LIBRARY = frozenset({PictureFormat.AVIF, PictureFormat.HEIC})
# How to turn a stored picture to how it is displayed (CIPA DC-008, tag 0x0112).
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What one picture may be: bytes of its file, pixels (width x height), pixels of its shorter side."""

    max_bytes: int
    max_pixels: int
    min_side: int


class PictureHeader(msgspec.Struct, frozen=True, gc=False):
    """What is known of a picture before it is decoded; `width` and `height` in pixels, as displayed."""

    sha256: str
    size_bytes: int
    format: PictureFormat
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: RGB, sRGB, the right way up, maybe at reduced scale."""

    header: PictureHeader
    image: Image.Image
    low_information: bool


class PictureReader:
    """Reads pictures within limits. One instance serves any number of threads."""

    def __init__(self, limits: PictureLimits, budget: DecodingBudget) -> None:
        self._limits = limits
        self._budget = budget
        self._headers: LRUCache[str, PictureHeader] = LRUCache(_REMEMBERED_HEADERS)
        self._lock = threading.Lock()

    def header(self, data: bytes, *, sha256: str | None = None) -> PictureHeader:
        """Format, displayed size and sha256 of a picture file, without decoding it; a known `sha256` is taken over.

        The same bytes have the same header, so one that was found sound is remembered.

        Raises PictureTooLarge, PictureTooSmall, UnsupportedPictureFormat, UnreadablePicture.
        """
        if len(data) > self._limits.max_bytes:
            raise PictureTooLarge(
                f"The picture has {len(data):,} bytes; at most {self._limits.max_bytes:,} are allowed."
            )
        sha256 = sha256 or hashlib.sha256(data).hexdigest()
        with self._lock:
            known = self._headers.get(sha256)
        if known is not None:
            return known
        format_ = sniff(data)
        container = self._inspect(format_, data)
        width, height = container.width, container.height
        if container.orientation >= 5:
            width, height = height, width
        header = PictureHeader(sha256, len(data), format_, width, height)
        with self._lock:
            self._headers[sha256] = header
        return header

    def read(self, data: bytes, header: PictureHeader, *, reduce_to: int) -> Picture:
        """The picture of `data`, whose header was read before, for a model whose input side is `reduce_to` pixels.

        It comes at reduced scale where its shorter side stays at least twice `reduce_to`: some models crop the shorter
        side to their input, and the final resize needs the other factor of two to be as sharp as from full scale. Where
        the sides are no multiples of the scale, the last row and column stand for fewer pixels than the others.

        Waits for its turn in the budget. Raises PictureTooLarge, UnsupportedPictureFormat, UnreadablePicture.
        """
        container = self._inspect(header.format, data)
        min_side = max(2 * reduce_to, _MIN_REDUCED_SIDE)
        with self._budget.decoding(container.decoded_pixels):
            if header.format is PictureFormat.PNG:
                check_complete(container)
            image = _decode(header.format, container, min_side)
        turn = _TRANSPOSITIONS.get(container.orientation)
        if turn is not None:
            image = image.transpose(turn)
        return Picture(header, image, is_low_information(image))

    def _inspect(self, format_: PictureFormat, data: bytes) -> Container:
        container = parse(format_, data)
        self._check_not_too_large(container)
        if format_ in _MEASURED_BY_LIBRARY:
            container = _measured(format_, container)
            self._check_not_too_large(container)
        if min(container.width, container.height) < self._limits.min_side:
            raise PictureTooSmall(
                f"The picture has {container.width} x {container.height} pixels; "
                f"at least {self._limits.min_side} on each side are needed."
            )
        return container

    def _check_not_too_large(self, container: Container) -> None:
        limit = self._limits.max_pixels
        if container.width * container.height > limit:
            raise PictureTooLarge(
                f"The picture has {container.width} x {container.height} pixels; at most {limit:,} in all are allowed."
            )
        if container.decoded_pixels > _MAX_DECODED_RATIO * limit:
            raise PictureTooLarge(
                f"The file's coded pictures have {container.decoded_pixels:,} pixels; "
                f"at most {_MAX_DECODED_RATIO * limit:,} are allowed."
            )


def _open(format_: PictureFormat, stream: bytes) -> ImageFile.ImageFile:
    """An image that is not decoded yet; only this one decoder is asked."""
    if format_ is PictureFormat.HEIC:
        try:
            from pi_heif import HeifImageFile
        except ImportError as error:
            raise UnsupportedPictureFormat(
                "HEIC is not read here: the extra `heif` (pi-heif) is not installed; "
                "allowed are JPEG, PNG, WebP, AVIF, GIF, BMP and TIFF."
            ) from error
        # Registering the decoder would change Pillow for the whole process.
        heif: ImageFile.ImageFile = HeifImageFile(BytesIO(stream))
        return heif
    return Image.open(BytesIO(stream), formats=[_PILLOW_NAMES[format_]])


def _measured(format_: PictureFormat, container: Container) -> Container:
    """The container with the size and orientation that the library finds in it."""
    try:
        with _open(format_, container.stream()) as image:
            width, height = image.size
            profile = image.info.get("icc_profile")
            turned = orientation(image.info.get("exif") or b"")
    except PictureProblem:
        raise
    except Image.DecompressionBombError as error:
        raise PictureTooLarge("The picture has too many pixels.") from error
    except Exception as error:  # as in _decode
        raise UnreadablePicture(f"The {format_.name} file is damaged.") from error
    return replace(
        container,
        width=width,
        height=height,
        frame=(0, 0, width, height),
        orientation=turned,
        icc_profile=profile if isinstance(profile, bytes) else None,
    )


def _decode(format_: PictureFormat, container: Container, min_side: int) -> Image.Image:
    left, top, width, height = container.frame
    canvas = (container.width, container.height)
    try:
        with _open(format_, container.stream()) as image:
            if image.size != (width, height):
                raise UnreadablePicture(f"The {format_.name} file is damaged: its sizes do not agree.")
            if format_ is PictureFormat.JPEG:
                image.draft(None, (min_side, min_side))
            image.load()
            if format_ is PictureFormat.BMP:
                _ignore_empty_alpha(image)
            if canvas == (width, height):
                return to_srgb(image, container.icc_profile, container.sample_bits, min_side)
            whole = to_srgb(image, container.icc_profile, container.sample_bits, max(canvas))
        return to_srgb(place_on_white(whole, canvas, left, top), None, 8, min_side)
    except PictureProblem:
        raise
    except Exception as error:
        # Whatever a decoder raises on broken data, and they raise nearly everything, the picture is what is wrong.
        raise UnreadablePicture(f"The {format_.name} file is truncated or damaged.") from error


def _ignore_empty_alpha(image: Image.Image) -> None:
    """Many writers of 32-bit BMP leave the fourth byte 0; a wholly transparent picture is never meant."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        image.putalpha(255)
