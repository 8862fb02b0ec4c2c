"""Broken files are unreadable pictures, never anything else."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from imagescreen.errors import PictureProblem, UnreadablePicture
from tests.pictures.samples import DATA, encoded, every_format, quarters, read

FORMATS = every_format()
FUZZED = {
    **FORMATS,
    "tiff fax": encoded(quarters().convert("1"), "TIFF", compression="group4"),
    "tiff packbits": encoded(quarters(), "TIFF", compression="packbits"),
    "jpeg four inks": encoded(quarters().convert("CMYK"), "JPEG"),
    "heic alpha": (DATA / "alpha.heic").read_bytes(),
    "png profile": encoded(
        quarters(), "PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ),
}


def read_or_refuse(data: bytes) -> None:
    """Anything but a picture within the limits or a picture's problem fails the test."""
    try:
        picture = read(data, max_pixels=1_000_000, min_side=8)
    except PictureProblem as problem:
        assert problem.detail.endswith(".")
    else:
        assert picture.image.mode == "RGB"
        assert picture.header.width * picture.header.height <= 1_000_000


# In files of several pictures a later one may be what is missing, and that is not read.
@pytest.mark.parametrize("name", [name for name in FORMATS if "animated" not in name and "second" not in name])
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_unreadable(name: str, kept: float) -> None:
    data = FORMATS[name]
    with pytest.raises(UnreadablePicture):
        read(data[: max(12, int(len(data) * kept))])


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_a_file_without_its_last_quarter_of_pixels_is_unreadable(pillow_format: str) -> None:
    """Noise does not compress, so the last bytes are pixels in every format."""
    data = encoded(Image.effect_noise((128, 128), 60).convert("RGB"), pillow_format)
    with pytest.raises(UnreadablePicture):
        read(data[: len(data) * 3 // 4])


def test_png_with_a_changed_byte_among_its_pixels_is_unreadable() -> None:
    data = bytearray(encoded(Image.effect_noise((64, 64), 60), "PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(UnreadablePicture, match="checksum"):
        read(bytes(data))


@pytest.mark.parametrize("name", FUZZED)
@settings(max_examples=25, deadline=None)
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=12))
def test_flipped_bits_give_a_picture_or_a_problem(name: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(FUZZED[name])
    for place, flipped in changes:
        # Squared, so that headers are hit more often than pixels.
        data[int(place * place * len(data))] ^= flipped
    read_or_refuse(bytes(data))


@pytest.mark.parametrize("name", FUZZED)
@settings(max_examples=12, deadline=None)
@given(kept=st.floats(0, 1), appended=st.binary(max_size=32))
def test_cut_and_continued_files_give_a_picture_or_a_problem(name: str, kept: float, appended: bytes) -> None:
    data = FUZZED[name]
    read_or_refuse(data[: int(len(data) * kept)] + appended)


MAGIC = [FORMATS[name][:size] for name in FORMATS for size in (4, 16, 40)]


@settings(max_examples=200, deadline=None)
@given(start=st.sampled_from([b"", *MAGIC]), rest=st.binary(max_size=400))
def test_random_bytes_give_a_picture_or_a_problem(start: bytes, rest: bytes) -> None:
    read_or_refuse(start + rest)


def test_heic_with_an_item_of_a_kind_that_is_no_text() -> None:
    """On the name of such an item pi-heif 1.4 ends the process."""
    data = (DATA / "turned.heic").read_bytes()
    assert data.count(b"Exif\0\0\0") == 1
    assert read(data.replace(b"Exif\0\0\0", b"Ex\x80f\0\0\0")).header.width == 64


def test_a_damaged_picture_is_not_told_with_our_paths() -> None:
    data = FORMATS["png"]
    with pytest.raises(UnreadablePicture) as caught:
        read(data[:60])
    assert "/" not in caught.value.detail
    assert caught.value.problem().type.endswith("picture-unreadable")
    assert Image.open(BytesIO(data)).size == (96, 64)
