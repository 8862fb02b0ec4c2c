"""Whatever the samples mean, what comes out is how the picture looks on a white page."""

import struct
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.pictures.samples import (
    BLUE,
    DATA,
    GREEN,
    RED,
    WHITE,
    YELLOW,
    Colour,
    close,
    corners,
    encoded,
    pixel,
    png,
    quarters,
    read,
    shows,
    with_alpha,
)


def srgb_profile() -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def swapped_profile() -> bytes:
    """sRGB in which red and blue have changed places."""
    profile = srgb_profile()
    return profile.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"????", b"bXYZ", 1)


def printer_profile() -> bytes:
    """A profile of four inks with a 2 x 2 x 2 x 2 table in which cyan prints yellow and everything else black."""
    white, yellow, black = (255, 128, 128), (247, 106, 222), (0, 128, 128)
    inks = product((0, 1), repeat=4)
    colours = [white if ink == (0, 0, 0, 0) else yellow if ink == (1, 0, 0, 0) else black for ink in inks]
    identity = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if number % 4 == 0 else 0 for number in range(9)))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + 4 * identity
    table += b"".join(bytes(colour) for colour in colours) + 3 * identity
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    point = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = [(b"A2B0", table), (b"desc", text), (b"wtpt", point), (b"cprt", b"text" + bytes(4) + b"none\0")]
    directory, body = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        directory += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">II I 4s4s4s", 0, 0, 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    profile = header.ljust(128, b"\0") + directory + body
    return struct.pack(">I", len(profile)) + profile[4:]


@pytest.mark.parametrize("pillow_format", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_transparent_parts_are_white(pillow_format: str) -> None:
    image = quarters().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 48, 32))
    assert shows(read(encoded(image, pillow_format)).image, [WHITE, GREEN, BLUE, YELLOW], levels=24)


def test_hidden_pixels_stay_hidden() -> None:
    picture = read(encoded(with_alpha(quarters(), 0), "PNG"))
    assert shows(picture.image, [WHITE] * 4)
    assert picture.low_information


def test_half_transparent_parts_are_mixed_with_white() -> None:
    image = with_alpha(Image.new("RGB", (64, 64), (0, 0, 0)), 128)
    assert shows(read(encoded(image, "PNG")).image, [(127, 127, 127)] * 4, levels=2)


def test_transparent_heic_is_white_there() -> None:
    assert shows(read((DATA / "alpha.heic").read_bytes()).image, [WHITE, GREEN, BLUE, YELLOW])


def test_transparent_palette_colour_of_a_gif_is_white() -> None:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([0, 0, 0, *RED])
    image.paste(1, (0, 0, 32, 64))
    assert shows(read(encoded(image, "GIF", transparency=0)).image, [RED, WHITE, RED, WHITE])


def test_gif_frame_smaller_than_its_screen_lies_on_white() -> None:
    data = bytearray(encoded(Image.new("RGB", (32, 32), RED), "GIF"))
    data[6:10] = struct.pack("<HH", 64, 64)
    picture = read(bytes(data))
    assert (picture.header.width, picture.header.height) == (64, 64)
    assert shows(picture.image, [RED, WHITE, WHITE, WHITE])


def test_palette_with_several_degrees_of_transparency() -> None:
    palette = (b"PLTE", bytes((0, 0, 0, *RED)))
    rows = (b"\0" + bytes(32) + b"\1" * 32) * 64
    data = png(64, 64, 8, 3, rows, palette, (b"tRNS", bytes((128, 255))))
    assert shows(read(data).image, [(127, 127, 127), RED] * 2, levels=2)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_transparent_grey_of_any_depth(depth: int) -> None:
    white = (1 << depth) - 1
    row = b"\0" + bytes(8 * depth // 2) + b"\xff" * (8 * depth // 2)
    data = png(64, 64, depth, 0, row * 64, (b"tRNS", struct.pack(">H", 0)))
    assert shows(read(data).image, [WHITE] * 4)
    data = png(64, 64, depth, 0, row * 64, (b"tRNS", struct.pack(">H", white)))
    assert shows(read(data).image, [(0, 0, 0), WHITE] * 2)


def test_transparent_colour_of_24_and_48_bits() -> None:
    data = png(64, 64, 8, 2, (b"\0" + bytes(RED) * 64) * 64, (b"tRNS", struct.pack(">3H", *RED)))
    assert shows(read(data).image, [WHITE] * 4)
    deep = [channel * 257 for channel in RED]
    row = b"\0" + struct.pack(">3H", *deep) * 32 + struct.pack(">3H", 0, 0, 65535) * 32
    data = png(64, 64, 16, 2, row * 64, (b"tRNS", struct.pack(">3H", *deep)))
    assert shows(read(data).image, [WHITE, (0, 0, 255)] * 2)


def test_transparent_grey_of_16_bits() -> None:
    row = b"\0" + struct.pack(">H", 1000) * 32 + struct.pack(">H", 1001) * 32
    data = png(64, 64, 16, 0, row * 64, (b"tRNS", struct.pack(">H", 1000)))
    assert shows(read(data).image, [WHITE, (4, 4, 4)] * 2, levels=1)


def ramp(dtype: type, white: float) -> Image.Image:
    return Image.fromarray((np.tile(np.linspace(0, 1, 64), (64, 1)) * white).astype(dtype))


@pytest.mark.parametrize(
    ("image", "pillow_format"),
    [
        (ramp(np.uint16, 65535), "PNG"),
        (ramp(np.uint16, 65535), "TIFF"),
        (ramp(np.int32, 65535), "TIFF"),
        (ramp(np.int32, (1 << 31) - 1), "TIFF"),
        (ramp(np.float32, 1), "TIFF"),
        (ramp(np.float32, 255), "TIFF"),
        (ramp(np.float32, 1e9), "TIFF"),
    ],
)
def test_deep_grey_is_scaled_not_clipped(image: Image.Image, pillow_format: str) -> None:
    shown = read(encoded(image, pillow_format)).image
    assert close(pixel(shown, 0, 0), (0, 0, 0), 1)
    assert close(pixel(shown, 32, 32), (130, 130, 130), 1)
    assert close(pixel(shown, 63, 63), WHITE, 1)


def test_not_a_number_is_read_as_black() -> None:
    samples = np.ones((64, 64), np.float32)
    samples[:32] = np.nan
    assert shows(read(encoded(Image.fromarray(samples), "TIFF")).image, [(0, 0, 0)] * 2 + [WHITE] * 2)


def test_colour_of_16_bits() -> None:
    deep = b"".join(struct.pack(">3H", *(channel * 257 for channel in colour)) * 32 for colour in (RED, BLUE))
    assert shows(read(png(64, 64, 16, 2, (b"\0" + deep) * 64)).image, [RED, BLUE] * 2, levels=1)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P"])
@pytest.mark.parametrize("pillow_format", ["PNG", "TIFF"])
def test_grey_and_palette_modes(mode: str, pillow_format: str) -> None:
    image = Image.new("L", (64, 64), 0)
    image.paste(255, (32, 0, 64, 64))
    assert shows(read(encoded(image.convert(mode), pillow_format)).image, [(0, 0, 0), WHITE] * 2)


def test_lab_tiff() -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    image = ImageCms.applyTransform(quarters(), to_lab)
    assert image is not None
    assert shows(read(encoded(image, "TIFF")).image, [RED, GREEN, BLUE, YELLOW], levels=12)


INKS = {"cyan": ((255, 0, 0, 0), (0, 255, 255)), "black": ((0, 0, 0, 255), (0, 0, 0)), "paper": ((0, 0, 0, 0), WHITE)}


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("pillow_format", ["JPEG", "TIFF"])
def test_four_inks_without_a_profile(pillow_format: str, ink: str) -> None:
    """Pillow writes CMYK JPEG as Adobe does, inverted and marked so."""
    amounts, seen = INKS[ink]
    data = encoded(Image.new("CMYK", (64, 64), amounts), pillow_format)
    assert (b"Adobe" in data) is (pillow_format == "JPEG")
    assert shows(read(data).image, [seen] * 4, levels=4)


def test_four_inks_without_the_adobe_marker_are_inverted_as_well() -> None:
    data = encoded(Image.new("CMYK", (64, 64), (255, 0, 0, 0)), "JPEG", quality=100)
    marker = data.index(b"Adobe") - 4
    assert shows(read(data[:marker] + data[marker + 16 :]).image, [(0, 255, 255)] * 4, levels=4)


def test_four_inks_coded_as_luma_and_chroma() -> None:
    """The Adobe marker makes YCCK of CMYK samples. Of inverted inks, luma without chroma is equal amounts of each."""
    ink = 200
    data = encoded(Image.new("CMYK", (64, 64), (255 - ink, 127, 127, 0)), "JPEG", quality=100)
    marker = data.index(b"Adobe")
    data = data[: marker + 11] + b"\2" + data[marker + 12 :]
    assert shows(read(data).image, [(255 - ink,) * 3] * 4, levels=3)


@pytest.mark.parametrize("pillow_format", ["JPEG", "TIFF"])
def test_the_profile_of_a_printing_press_is_used(pillow_format: str) -> None:
    image = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    red, green, blue = corners(read(encoded(image, pillow_format, icc_profile=printer_profile())).image)[0]
    assert min(red, green) > 200
    assert blue < 90


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_colours_are_brought_from_their_profile_to_srgb(pillow_format: str) -> None:
    data = encoded(Image.new("RGB", (64, 64), (255, 0, 0)), pillow_format, icc_profile=swapped_profile())
    assert shows(read(data).image, [(0, 0, 255)] * 4, levels=12)


def test_profile_and_transparency_together() -> None:
    image = with_alpha(Image.new("RGB", (64, 64), (255, 0, 0)), 255)
    image.paste((0, 0, 0, 0), (0, 0, 32, 64))
    data = encoded(image, "PNG", icc_profile=swapped_profile())
    assert shows(read(data).image, [WHITE, (0, 0, 255)] * 2)


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("broken", [b"not a profile", srgb_profile()[:200], printer_profile(), bytes(5 << 20)])
def test_a_profile_that_is_broken_or_does_not_fit_is_ignored(pillow_format: str, broken: bytes) -> None:
    data = encoded(Image.new("RGB", (64, 64), RED), pillow_format, icc_profile=broken)
    assert shows(read(data).image, [RED] * 4, levels=12)


def test_a_broken_profile_chunk_of_a_png_is_ignored() -> None:
    rows = (b"\0" + bytes(RED) * 64) * 64
    assert shows(read(png(64, 64, 8, 2, rows, (b"iCCP", b"name\0\0not deflated"))).image, [RED] * 4)


def test_the_same_bytes_give_the_same_pixels() -> None:
    expected: list[Colour] = [RED, GREEN, BLUE, YELLOW]
    data = encoded(quarters(640, 480), "PNG")
    first, second = read(data), read(data)
    assert first.image.tobytes() == second.image.tobytes()
    assert shows(first.image, expected)
