"""What a file says about its picture, read without decoding.

The decoders are safe enough with pixels, but much of what else a file may hold makes them slow or hungry: a rational
EXIF tag of 20 MB becomes 2.5 million Python objects, 100,000 progressive scans are 100,000 passes over the picture, a
coded AVIF frame may be thousands of times larger than the size that its file declares. So each format has a small
parser here that reads size, orientation and colour profile, and chooses the parts that the decoder gets to see.
"""

import struct

from imagescreen.errors import UnreadablePicture
from imagescreen.pictures.containers import bmp, gif, isobmff, jpeg, png, tiff, webp
from imagescreen.pictures.containers.base import Container
from imagescreen.pictures.formats import PictureFormat

__all__ = ["Container", "parse"]

_PARSERS = {
    PictureFormat.JPEG: jpeg.parse,
    PictureFormat.PNG: png.parse,
    PictureFormat.WEBP: webp.parse,
    PictureFormat.AVIF: isobmff.parse,
    PictureFormat.GIF: gif.parse,
    PictureFormat.BMP: bmp.parse,
    PictureFormat.TIFF: tiff.parse,
    PictureFormat.HEIC: isobmff.parse,
}


def parse(format_: PictureFormat, data: bytes) -> Container:
    """What `data`, a file of this format, says about its picture.

    Raises UnreadablePicture when it is damaged, UnsupportedPictureFormat for a kind of the format that is not read.
    """
    try:
        return _PARSERS[format_](data)
    except (struct.error, IndexError, OverflowError) as error:
        raise UnreadablePicture(f"The {format_.name} file is truncated or damaged.") from error
