"""Pictures and readers that the tests of this room share."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from imagescreen.pictures import DecodingBudget, Picture, PictureLimits, PictureReader

DATA = Path(__file__).parent / "data"
RED, GREEN, BLUE, YELLOW, WHITE = (220, 40, 40), (40, 180, 60), (40, 60, 220), (240, 220, 60), (255, 255, 255)
Colour = tuple[int, int, int]


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    """Red, green, blue, yellow: upper left, upper right, lower left, lower right."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for number, colour in enumerate((RED, GREEN, BLUE, YELLOW)):
        left, top = number % 2 * width // 2, number // 2 * height // 2
        draw.rectangle((left, top, left + width // 2 - 1, top + height // 2 - 1), fill=colour)
    return image


def encoded(image: Image.Image, pillow_format: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, pillow_format, **options)
    return file.getvalue()


def every_format() -> dict[str, bytes]:
    """One file for each format and for each way to code it that takes another path through the decoders."""
    image = quarters()
    second = image.rotate(180)
    return {
        "jpeg": encoded(image, "JPEG", quality=95),
        "jpeg progressive": encoded(image, "JPEG", quality=95, progressive=True),
        "jpeg with a second picture": encoded(image, "MPO", quality=95, save_all=True, append_images=[second]),
        "png": encoded(image, "PNG"),
        "png animated": encoded(image, "PNG", save_all=True, append_images=[second]),
        "png palette": encoded(image.quantize(16), "PNG"),
        "webp": encoded(image, "WEBP", quality=95),
        "webp lossless": encoded(image, "WEBP", lossless=True),
        "webp animated": encoded(image, "WEBP", lossless=True, save_all=True, append_images=[second]),
        "webp with alpha": encoded(with_alpha(image, 255), "WEBP", quality=95, exact=True),
        "avif": encoded(image, "AVIF", quality=95),
        "avif animated": encoded(image, "AVIF", quality=95, save_all=True, append_images=[second]),
        "gif": encoded(image, "GIF"),
        "gif animated": encoded(image, "GIF", save_all=True, append_images=[second]),
        "bmp": encoded(image, "BMP"),
        "tiff": encoded(image, "TIFF"),
        "tiff lzw": encoded(image, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": encoded(image, "TIFF", compression="jpeg", quality=95),
        "tiff deflate": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "heic": (DATA / "quarters.heic").read_bytes(),
    }


def with_alpha(image: Image.Image, alpha: int) -> Image.Image:
    copy = image.convert("RGBA")
    copy.putalpha(alpha)
    return copy


def reader(max_bytes: int = 20 << 20, max_pixels: int = 64_000_000, min_side: int = 32) -> PictureReader:
    return PictureReader(PictureLimits(max_bytes, max_pixels, min_side), DecodingBudget(128_000_000, 4))


def read(data: bytes, reduce_to: int = 128, **limits: int) -> Picture:
    pictures = reader(**limits)
    return pictures.read(data, pictures.header(data), reduce_to=reduce_to)


def corners(image: Image.Image) -> list[Colour]:
    """Colours near the four corners, in the order of `quarters`."""
    right, bottom = image.width * 7 // 8, image.height * 7 // 8
    left, top = image.width // 8, image.height // 8
    return [pixel(image, x, y) for y in (top, bottom) for x in (left, right)]


def pixel(image: Image.Image, x: int, y: int) -> Colour:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    red, green, blue = value
    return int(red), int(green), int(blue)


def close(one: Colour, other: Colour, levels: int = 8) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= levels


def shows(image: Image.Image, expected: list[Colour], levels: int = 8) -> bool:
    return all(close(one, other, levels) for one, other in zip(corners(image), expected, strict=True))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *before_rows: tuple[bytes, bytes]) -> bytes:
    """A PNG of raw rows, each with its filter byte, and chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *before_rows, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
