"""Nothing that is too large is decoded, and nothing in a small file makes a reader hungry."""

import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from imagescreen.errors import PictureProblem, PictureTooLarge, PictureTooSmall, UnreadablePicture
from tests.pictures.samples import (
    encoded,
    every_format,
    jpeg_segment,
    png,
    png_chunk,
    quarters,
    read,
    reader,
    shows,
)
from tests.pictures.test_orientation import DISPLAYED, exif

# Reads one file as the service does and prints what came of it and the peak memory that it took, in MB.
READ_AND_MEASURE = """
import re, sys
from pathlib import Path
from imagescreen.errors import PictureProblem
from tests.pictures.samples import every_format, read

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024

read(every_format()["png"])
data = Path(sys.argv[1]).read_bytes()
before = peak()
try:
    result = str(read(data).image.size)
except PictureProblem as problem:
    result = problem.code
print(result, "|", peak() - before)
"""


def outcome_and_megabytes(data: bytes, folder: Path) -> tuple[str, float]:
    if not sys.platform.startswith("linux"):
        pytest.skip("peak memory is read from /proc")
    file = folder / "picture"
    file.write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-c", READ_AND_MEASURE, str(file)], capture_output=True, text=True, check=True, timeout=120
    )
    outcome, megabytes = run.stdout.split("|")
    return outcome.strip(), float(megabytes)


def test_a_file_of_too_many_bytes_is_refused_with_both_numbers() -> None:
    data = encoded(quarters(), "BMP")
    with pytest.raises(PictureTooLarge, match=r"18,486 bytes; at most 18,485 are allowed"):
        reader(max_bytes=len(data) - 1).header(data)
    assert reader(max_bytes=len(data)).header(data).size_bytes == len(data)


@pytest.mark.parametrize("name", every_format())
def test_pixels_are_counted_in_the_header_of_every_format(name: str) -> None:
    data = every_format()[name]
    with pytest.raises(PictureTooLarge, match=r"96 x 64 pixels; at most 6,143"):
        reader(max_pixels=96 * 64 - 1).header(data)
    assert reader(max_pixels=96 * 64).header(data).width == 96


@pytest.mark.parametrize("name", every_format())
def test_sides_shorter_than_the_least_are_refused_in_every_format(name: str) -> None:
    with pytest.raises(PictureTooSmall, match="at least 65 on each side"):
        reader(min_side=65).header(every_format()[name])


def test_a_short_side_is_refused_however_long_the_other() -> None:
    with pytest.raises(PictureTooSmall):
        reader().header(encoded(quarters(1000, 31), "PNG"))
    assert reader().header(encoded(quarters(1000, 32), "PNG")).height == 32


def black_png(side: int) -> bytes:
    """One bit a pixel, which decodes to eight."""
    deflate = zlib.compressobj(1)
    rows = b"".join(deflate.compress(bytes(1 + -(-side // 8))) for _ in range(side)) + deflate.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    bomb = black_png(8001)
    assert len(bomb) < 300_000
    outcome, megabytes = outcome_and_megabytes(bomb, tmp_path)
    assert outcome == "too_large"
    assert megabytes < 10


@pytest.mark.parametrize("name", ["gif", "webp", "webp animated", "bmp", "tiff", "jpeg", "avif"])
def test_a_small_file_that_declares_a_huge_picture_takes_no_memory(name: str, tmp_path: Path) -> None:
    data = every_format()[name]
    small, huge = {
        "gif": (struct.pack("<HH", 96, 64), struct.pack("<HH", 65535, 65535)),
        "webp": (struct.pack("<HH", 96, 64), struct.pack("<HH", 16383, 16383)),
        "webp animated": (bytes((95, 0, 0, 63, 0, 0)), b"\xff\x3f\0\xff\x3f\0"),
        "bmp": (struct.pack("<ii", 96, 64), struct.pack("<ii", 1 << 30, 1 << 30)),
        "tiff": (struct.pack("<HHII", 256, 4, 1, 96), struct.pack("<HHII", 256, 4, 1, 1 << 31)),
        "jpeg": (struct.pack(">HH", 64, 96), b"\xff\xff\xff\xff"),
        "avif": (struct.pack(">II", 96, 64), struct.pack(">II", 16384, 16384)),
    }[name]
    assert small in data
    outcome, megabytes = outcome_and_megabytes(data.replace(small, huge), tmp_path)
    assert outcome == "too_large"
    assert megabytes < 10


@pytest.mark.parametrize("name", ["avif", "heic"])
def test_a_container_that_declares_less_than_its_coded_frame_is_refused(name: str) -> None:
    """The decoder would allocate the coded frame and shrink it to what is declared."""
    data = every_format()[name].replace(struct.pack(">II", 96, 64), struct.pack(">II", 40, 40))
    with pytest.raises(PictureTooLarge, match="coded pictures have 6,144 pixels"):
        reader(max_pixels=40 * 40).header(data)


def bits(*fields: tuple[int, int]) -> bytes:
    """(value, number of bits) one after the other, filled up with zeros."""
    text = "".join(f"{value:0{count}b}" for value, count in fields if count)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def test_an_av1_frame_that_overrides_the_size_of_its_sequence_is_refused() -> None:
    """The sequence says 96 x 64 and reserves 16 bits for a side, of which the frame may use every one."""
    sequence = bits((0, 3), (0, 1), (0, 1), (0, 2), (0, 5), (0, 12), (4, 5), (15, 4), (15, 4), (95, 16), (63, 16))
    # No frame ids, no tools, no order hints; screen content and integer motion are chosen for each frame.
    sequence = bits((int.from_bytes(sequence, "big") >> 3, 69), (0, 1), (0, 3), (0, 4), (0, 1), (1, 1), (1, 1))
    shown_key_frame = bits((0, 1), (0, 2), (1, 1), (0, 1), (0, 1), (1, 1))
    coded = bytes((1 << 3 | 2, len(sequence))) + sequence + bytes((3 << 3 | 2, len(shown_key_frame))) + shown_key_frame
    data = every_format()["avif"]
    start = data.index(b"mdat") + 4
    padding = len(data) - start - len(coded) - 3
    assert 0 < padding < 1 << 14
    coded += bytes((15 << 3 | 2, padding & 127 | 128, padding >> 7)) + bytes(padding)
    with pytest.raises(PictureTooLarge, match="4,294,967,296 pixels"):
        reader().header(data[:start] + coded)


def test_a_coded_webp_frame_larger_than_its_canvas_is_refused() -> None:
    data = every_format()["webp animated"].replace(bytes((95, 0, 0, 63, 0, 0)), bytes((39, 0, 0, 39, 0, 0)))
    with pytest.raises(UnreadablePicture, match="larger than its canvas"):
        reader().header(data)


def test_a_gif_frame_larger_than_its_screen_counts_with_its_own_size() -> None:
    data = bytearray(every_format()["gif"])
    data[6:10] = struct.pack("<HH", 32, 32)
    with pytest.raises(PictureTooLarge, match="96 x 64"):
        reader(max_pixels=32 * 32).header(bytes(data))
    assert shows(read(bytes(data)).image, DISPLAYED[1])


def tiff(*tags: tuple[int, int, int, int], tail: bytes = b"") -> bytes:
    """A little-endian TIFF of (tag, type, count, value) after 8 bytes of pixels, with `tail` at its end."""
    return (
        b"II*\0"
        + struct.pack("<I", 16)
        + bytes(8)
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        + bytes(4)
        + tail
    )


SIZE = ((256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8))


def test_a_tiff_tile_is_bounded_as_the_picture_is() -> None:
    tile = ((322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8), (325, 4, 1, 8))
    with pytest.raises(PictureTooLarge):
        reader().header(tiff(*SIZE, (259, 3, 1, 5), *tile))


def test_a_tiff_of_millions_of_strips_is_refused() -> None:
    strips = ((273, 4, 1_000_000, 90), (278, 4, 1, 64), (279, 4, 1, 8))
    with pytest.raises(UnreadablePicture, match="more than 65536 values"):
        reader().header(tiff(*SIZE, *strips, tail=bytes(4_000_000)))


def test_a_tiff_without_some_of_its_strips_is_truncated() -> None:
    with pytest.raises(UnreadablePicture, match="parts of the picture are missing"):
        reader().header(tiff(*SIZE, (273, 4, 1, 8), (278, 4, 1, 1), (279, 4, 1, 8)))


def test_a_tag_given_twice_means_the_same_to_every_reader() -> None:
    image = encoded(quarters(), "TIFF", compression="tiff_lzw")
    (directory,) = struct.unpack_from("<I", image, 4)
    (count,) = struct.unpack_from("<H", image, directory)
    entries = [image[directory + 2 + 12 * each : directory + 14 + 12 * each] for each in range(count)]
    twice = [*entries, struct.pack("<HHII", 256, 4, 1, 1 << 30), struct.pack("<HHHHI", 259, 3, 1, 34925, 0)]
    data = image + bytes(len(image) % 2)
    data = data[:4] + struct.pack("<I", len(data)) + data[8:]
    data += struct.pack("<H", len(twice)) + b"".join(twice) + bytes(4)
    assert shows(read(data).image, DISPLAYED[1])


def test_metadata_of_a_jpeg_takes_no_memory(tmp_path: Path) -> None:
    """Each of these tags is a fraction of 8 bytes in the file and an object in Pillow."""
    plain = encoded(quarters(), "JPEG", quality=95)
    rationals = 7000
    tags = struct.pack("<HHIIHHII", 0x011A, 5, rationals, 38, 0x0128, 3, 1, 2)
    block = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + tags + bytes(4) + bytes(8 * rationals)
    flood = jpeg_segment(0xE1, block) * 200 + jpeg_segment(0xFE, bytes(60_000)) * 50
    outcome, megabytes = outcome_and_megabytes(plain[:2] + flood + plain[2:], tmp_path)
    assert outcome == "(96, 64)"
    assert megabytes < 10


def test_text_of_a_png_takes_no_memory(tmp_path: Path) -> None:
    rows = (b"\0" + bytes(3 * 64)) * 64
    text = (b"zTXt", b"key\0\0" + zlib.compress(bytes(1 << 20)))
    private = (b"prVt", b"")
    outcome, megabytes = outcome_and_megabytes(png(64, 64, 8, 2, rows, *[text] * 60, *[private] * 50_000), tmp_path)
    assert outcome == "(64, 64)"
    assert megabytes < 10


def test_a_profile_that_inflates_to_gigabytes_is_ignored(tmp_path: Path) -> None:
    rows = (b"\0" + bytes(3 * 64)) * 64
    deflate = zlib.compressobj(1)
    packed = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(64)) + deflate.flush()
    outcome, megabytes = outcome_and_megabytes(png(64, 64, 8, 2, rows, (b"iCCP", b"name\0\0" + packed)), tmp_path)
    assert outcome == "(64, 64)"
    assert megabytes < 20


def test_a_jpeg_of_many_scans_is_refused() -> None:
    """Each scan is a pass over the whole picture for a few bytes."""
    data = every_format()["jpeg progressive"]
    last = [found.start() for found in re.finditer(b"\xff\xda", data)][-1]
    with pytest.raises(UnreadablePicture, match="more than 32 scans"):
        reader().header(data[:-2] + data[last:-2] * 32 + data[-2:])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff" + jpeg_segment(0xFE, b"") * 20_000,
        png(64, 64, 8, 0, bytes(65 * 64), *[(b"prVt", b"")] * 100_000),
        b"GIF89a" + bytes(7) + (b"!\xfe" + b"\1x" * 200 + b"\0") * 600,
        b"\0\0\0\x14ftypavif\0\0\0\0avif" + b"\0\0\0\x08free" * 20_000,
        b"\xff\xd8" + b"\xff" * 1_000_000 + b"\0",
    ],
    ids=["jpeg segments", "png chunks", "gif blocks", "avif boxes", "jpeg fill bytes"],
)
def test_floods_of_tiny_parts_are_refused(data: bytes) -> None:
    with pytest.raises(PictureProblem):
        reader().header(data)


def test_what_follows_the_first_picture_does_not_count() -> None:
    data = encoded(quarters(), "JPEG", quality=95, exif=exif(3))
    bomb = encoded(Image.new("L", (9000, 9000)), "JPEG")
    assert shows(read(data + bomb).image, DISPLAYED[3], levels=24)
