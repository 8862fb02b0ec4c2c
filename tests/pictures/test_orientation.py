"""A picture is compared the way up in which people see it."""

import struct
from typing import Any

import pytest
from PIL import Image

from tests.pictures.samples import BLUE, DATA, GREEN, RED, YELLOW, encoded, jpeg_segment, quarters, read, shows

# Stored corners A B / C D as they are displayed (CIPA DC-008, tag 0x0112).
DISPLAYED = {
    1: [RED, GREEN, BLUE, YELLOW],
    2: [GREEN, RED, YELLOW, BLUE],
    3: [YELLOW, BLUE, GREEN, RED],
    4: [BLUE, YELLOW, RED, GREEN],
    5: [RED, BLUE, GREEN, YELLOW],
    6: [BLUE, RED, YELLOW, GREEN],
    7: [YELLOW, GREEN, BLUE, RED],
    8: [GREEN, YELLOW, RED, BLUE],
}
FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95},
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95},
    "TIFF": {},
}


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("pillow_format", FORMATS)
@pytest.mark.parametrize("orientation", DISPLAYED)
def test_all_eight_orientations_are_undone(pillow_format: str, orientation: int) -> None:
    options = FORMATS[pillow_format]
    picture = read(encoded(quarters(), pillow_format, exif=exif(orientation), **options))
    turned = orientation >= 5
    assert (picture.header.width, picture.header.height) == ((64, 96) if turned else (96, 64))
    assert picture.image.size == (picture.header.width, picture.header.height)
    assert shows(picture.image, DISPLAYED[orientation], levels=24)


def test_a_reduced_jpeg_is_turned_as_well() -> None:
    picture = read(encoded(quarters(1200, 800), "JPEG", exif=exif(6)), reduce_to=64)
    assert (picture.header.width, picture.header.height) == (800, 1200)
    assert picture.image.size == (200, 300)
    assert shows(picture.image, DISPLAYED[6], levels=16)


def test_heic_is_turned_once() -> None:
    picture = read((DATA / "turned.heic").read_bytes())
    assert (picture.header.width, picture.header.height) == (64, 96)
    assert shows(picture.image, DISPLAYED[6])


@pytest.mark.parametrize(
    "broken",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x0112, 3, 1, 9) + bytes(4),
        b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x0112, 2, 1, 6) + bytes(4),
    ],
)
def test_broken_exif_is_ignored(broken: bytes) -> None:
    plain = encoded(quarters(), "JPEG", quality=95)
    data = plain[:2] + jpeg_segment(0xE1, broken) + plain[2:]
    assert shows(read(data).image, DISPLAYED[1], levels=24)
