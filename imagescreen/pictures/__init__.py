"""Untrusted bytes in, checked sRGB pictures out."""

from imagescreen.pictures.budget import DecodingBudget
from imagescreen.pictures.formats import PICTURE_MEDIA_TYPES, PictureFormat
from imagescreen.pictures.reader import (
    DECODING_VERSION,
    Picture,
    PictureHeader,
    PictureLimits,
    PictureReader,
)

__all__ = [
    "DECODING_VERSION",
    "PICTURE_MEDIA_TYPES",
    "DecodingBudget",
    "Picture",
    "PictureFormat",
    "PictureHeader",
    "PictureLimits",
    "PictureReader",
]
