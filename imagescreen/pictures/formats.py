"""Which formats are read, and how the first bytes tell them apart."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from imagescreen.errors import UnreadablePicture, UnsupportedPictureFormat


class PictureFormat(StrEnum):
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"
    GIF = "gif"
    BMP = "bmp"
    TIFF = "tiff"
    HEIC = "heic"


PICTURE_MEDIA_TYPES: Mapping[PictureFormat, str] = MappingProxyType(
    {format_: f"image/{format_.value}" for format_ in PictureFormat}
)

_MAGIC = (
    (b"\xff\xd8\xff", PictureFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", PictureFormat.PNG),
    (b"GIF87a", PictureFormat.GIF),
    (b"GIF89a", PictureFormat.GIF),
    (b"II*\0", PictureFormat.TIFF),
    (b"MM\0*", PictureFormat.TIFF),
)
# The "BM" of a BMP is too little to go by: the size of the header that follows is one of these.
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)
# ISO/IEC 23008-12 (HEIF), annex B, and the AVIF specification, section 6.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS = frozenset({b"mif1", b"msf1"})
_BRANDS_BYTES = 256


def sniff(data: bytes) -> PictureFormat:
    """The format that the first bytes of a file show; names and content types are not asked.

    Raises UnreadablePicture for an empty file, UnsupportedPictureFormat for anything that is not on the list.
    """
    if not data:
        raise UnreadablePicture("The picture is empty.")
    for magic, format_ in _MAGIC:
        if data.startswith(magic):
            return format_
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return PictureFormat.WEBP
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return PictureFormat.BMP
    if data[4:8] == b"ftyp":
        return _sniff_brands(data)
    raise unsupported("The first bytes are not those of a supported picture format")


def _sniff_brands(data: bytes) -> PictureFormat:
    major = data[8:12]
    end = min(int.from_bytes(data[:4], "big"), _BRANDS_BYTES)
    compatible = {data[at : at + 4] for at in range(16, end, 4)}
    brands = compatible if major in _HEIF_BRANDS else {major}
    if brands & _AVIF_BRANDS:
        return PictureFormat.AVIF
    if brands & _HEIC_BRANDS:
        return PictureFormat.HEIC
    raise unsupported("The file is a video or a picture container of another kind")


def unsupported(what: str) -> UnsupportedPictureFormat:
    """`what` is wrong, followed by what is allowed."""
    return UnsupportedPictureFormat(
        f"{what}; allowed are JPEG, PNG, WebP, AVIF, GIF, BMP and TIFF, and HEIC where the extra `heif` is installed."
    )
