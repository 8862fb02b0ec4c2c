"""Which files are read, told by their first bytes alone."""

import hashlib
import sys

import pytest
from PIL import Image

from imagescreen.errors import UnreadablePicture, UnsupportedPictureFormat
from imagescreen.pictures import PICTURE_MEDIA_TYPES, PictureFormat
from tests.pictures.samples import BLUE, DATA, GREEN, RED, YELLOW, encoded, every_format, quarters, read, reader, shows


@pytest.mark.parametrize("name", every_format())
def test_every_format_is_read_and_its_first_picture_counts(name: str) -> None:
    data = every_format()[name]
    picture = read(data)
    assert picture.header.format == PictureFormat(name.split(maxsplit=1)[0])
    assert (picture.header.width, picture.header.height) == (96, 64)
    assert picture.header.size_bytes == len(data)
    assert picture.header.sha256 == hashlib.sha256(data).hexdigest()
    assert picture.image.mode == "RGB"
    assert shows(picture.image, [RED, GREEN, BLUE, YELLOW], levels=24 if "jpeg" in name or "webp" in name else 8)
    assert not picture.low_information


def test_every_format_has_a_media_type() -> None:
    assert set(PICTURE_MEDIA_TYPES) == set(PictureFormat)
    assert PICTURE_MEDIA_TYPES[PictureFormat.JPEG] == "image/jpeg"


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><p>not found</p>",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"BM and some text",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"x",
    ],
)
def test_what_is_no_picture_is_refused_with_what_is_allowed(data: bytes) -> None:
    with pytest.raises(UnsupportedPictureFormat, match=r"allowed are JPEG, PNG, WebP, AVIF, GIF, BMP and TIFF"):
        reader().header(data)


def test_an_empty_file_is_unreadable() -> None:
    with pytest.raises(UnreadablePicture, match="empty"):
        reader().header(b"")


@pytest.mark.parametrize("pillow_format", ["ICO", "PPM", "JPEG2000", "TGA", "PCX", "SGI"])
def test_formats_that_pillow_knows_and_we_do_not_allow_are_refused(pillow_format: str) -> None:
    with pytest.raises(UnsupportedPictureFormat):
        reader().header(encoded(quarters(), pillow_format))


def test_heic_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(UnsupportedPictureFormat, match="extra `heif`"):
        reader().header((DATA / "quarters.heic").read_bytes())


def test_reading_leaves_pillow_as_it_was() -> None:
    for data in every_format().values():
        read(data)
    assert "HEIF" not in Image.OPEN
    assert Image.MAX_IMAGE_PIXELS == 1024 * 1024 * 1024 // 4 // 3


@pytest.mark.parametrize("compression", ["lzma", "zstd"])
def test_tiff_with_a_compression_that_nobody_sends_is_refused_by_name(compression: str) -> None:
    with pytest.raises(UnsupportedPictureFormat, match="TIFF with compression"):
        reader().header(encoded(quarters(), "TIFF", compression=compression))


def test_run_length_bmp_is_refused() -> None:
    data = bytearray(encoded(quarters().convert("L"), "BMP"))
    data[30] = 1
    with pytest.raises(UnsupportedPictureFormat, match="compressed BMP"):
        reader().header(bytes(data))


def test_bmp_whose_fourth_byte_is_empty_is_not_transparent() -> None:
    header = b"BM" + bytes(8) + (122).to_bytes(4, "little") + (108).to_bytes(4, "little")
    size = (64).to_bytes(4, "little") + (64).to_bytes(4, "little", signed=True)
    masks = b"".join(mask.to_bytes(4, "little") for mask in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    rest = b"\1\0\x20\0" + (3).to_bytes(4, "little") + bytes(20) + masks + bytes(52)
    data = header + size + rest + bytes((40, 40, 220, 0)) * (64 * 64)
    assert shows(read(data).image, [RED] * 4)
