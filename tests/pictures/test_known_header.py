"""The header of bytes that were read before is remembered, and only of those that were sound."""

import sys
from types import FrameType
from typing import Any

import pytest

from imagescreen.errors import PictureTooLarge, UnreadablePicture
from imagescreen.pictures.containers import parse
from imagescreen.pictures.reader import PictureReader
from tests.pictures.samples import every_format, reader


def parsed(reading: PictureReader, data: bytes) -> int:
    """How often a file is parsed for its header."""
    times = 0

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal times
        times += event == "call" and frame.f_code is parse.__code__

    sys.setprofile(note)
    try:
        reading.header(data)
    finally:
        sys.setprofile(None)
    return times


def test_the_same_bytes_are_parsed_once_and_have_the_same_header() -> None:
    reading, other = reader(), reader()
    for data in set(every_format().values()):
        assert parsed(reading, data) == 1
        assert parsed(reading, data) == 0
        assert reading.header(data) == other.header(data)


def test_what_was_refused_is_refused_again() -> None:
    reading = reader(max_bytes=1000)
    for _ in range(2):
        with pytest.raises(PictureTooLarge):
            reading.header(every_format()["jpeg"] + bytes(1000))
        with pytest.raises(UnreadablePicture):
            reading.header(every_format()["png"][:20])
