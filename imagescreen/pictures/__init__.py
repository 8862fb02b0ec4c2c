"""Untrusted bytes in, checked sRGB pictures out."""

from imagescreen.pictures.budget import DecodingBudget
from imagescreen.pictures.formats import PICTURE_MEDIA_TYPES, PictureFormat
from imagescreen.pictures.pdq import MAX_DISTANCE as MAX_PDQ_DISTANCE
from imagescreen.pictures.pdq import MIN_QUALITY as MIN_PDQ_QUALITY
from imagescreen.pictures.pdq import PDQ_BYTES, PdqHasher, PictureHash
from imagescreen.pictures.reader import (
    Picture,
    PictureHeader,
    PictureLimits,
    PictureReader,
)

__all__ = [
    "MAX_PDQ_DISTANCE",
    "MIN_PDQ_QUALITY",
    "PDQ_BYTES",
    "PICTURE_MEDIA_TYPES",
    "DecodingBudget",
    "PdqHasher",
    "Picture",
    "PictureFormat",
    "PictureHash",
    "PictureHeader",
    "PictureLimits",
    "PictureReader",
]
