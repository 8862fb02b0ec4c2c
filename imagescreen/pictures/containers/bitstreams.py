"""How large the frames of AV1 and HEVC really are, from their own headers.

A container may declare 64 x 64 for a coded frame of 16384 x 16384; the decoders believe the coded frame.
"""

from collections.abc import Iterator, Sequence

from imagescreen.errors import UnreadablePicture

_OBU_SEQUENCE_HEADER, _OBU_FRAME_HEADER, _OBU_FRAME = 1, 3, 6
_SELECT = 2
_KEY_FRAME, _SWITCH_FRAME = 0, 3
_NAL_SPS = 33
# Past its first 64 units a picture repeats itself; the tiles of one item are items of their own.
_MAX_UNITS = 4096


class _Bits:
    """Bits of a header, most significant first."""

    def __init__(self, data: bytes | memoryview) -> None:
        # Headers are short; what follows them in the same unit is not looked at.
        self._left = min(len(data), 4096) * 8
        self._value = int.from_bytes(data[:4096], "big")

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise UnreadablePicture("The picture is truncated: a header of its coded data ends early.")
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.take(1) == 1

    def exponential_golomb(self) -> int:
        """ue(v) of HEVC and uvlc() of AV1."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros >= 32:
                raise UnreadablePicture("The picture is damaged: a header of its coded data makes no sense.")
        return (1 << zeros) - 1 + self.take(zeros)


def av1_pixels(coded: bytes | memoryview) -> int:
    """Pixels of the largest frame that AV1 data may decode to (AV1 specification, sections 5.5 and 5.9.2)."""
    largest = 0
    sequence: _Av1Sequence | None = None
    for kind, body in _obus(coded):
        if kind == _OBU_SEQUENCE_HEADER:
            sequence = _Av1Sequence(_Bits(body))
            largest = max(largest, sequence.pixels)
        elif kind in (_OBU_FRAME, _OBU_FRAME_HEADER) and sequence is not None and sequence.overridden(_Bits(body)):
            # A frame with a size of its own may use every bit that the sequence reserves for sizes.
            largest = max(largest, 1 << sum(sequence.size_bits))
    if not largest:
        raise UnreadablePicture("The AVIF file is damaged: its coded data has no sequence header.")
    return largest


def _obus(coded: bytes | memoryview) -> Iterator[tuple[int, bytes | memoryview]]:
    at = 0
    for _ in range(_MAX_UNITS):
        if at >= len(coded):
            return
        header = coded[at]
        at += 2 if header & 4 else 1
        size = len(coded) - at
        if header & 2:
            size = 0
            for shift in range(0, 56, 7):
                byte = coded[at]
                at += 1
                size |= (byte & 0x7F) << shift
                if not byte & 0x80:
                    break
        yield header >> 3 & 15, coded[at : at + size]
        at += size
    raise UnreadablePicture("The AVIF file is not read: one of its pictures has too many parts.")


class _Av1Sequence:
    """A sequence header, read as far as frame headers depend on it."""

    def __init__(self, bits: _Bits) -> None:
        bits.take(4)  # profile, still picture
        self._reduced = bits.flag()
        self._timing_bits = 0
        if self._reduced:
            bits.take(5)
        else:
            self._read_operating_points(bits)
        self.size_bits = (bits.take(4) + 1, bits.take(4) + 1)
        width, height = (bits.take(count) + 1 for count in self.size_bits)
        self.pixels = width * height
        self._frame_id_bits = 0
        if not self._reduced and bits.flag():
            self._frame_id_bits = bits.take(4) + 2
            self._frame_id_bits += bits.take(3) + 1
        bits.take(3)
        self._screen_content = self._integer_motion = _SELECT
        if not self._reduced:
            bits.take(4)
            if bits.flag():
                bits.take(2)
            self._screen_content = _SELECT if bits.flag() else bits.take(1)
            if self._screen_content:
                self._integer_motion = _SELECT if bits.flag() else bits.take(1)

    def _read_operating_points(self, bits: _Bits) -> None:
        delay_bits = 0
        if bits.flag():
            bits.take(64)
            equal_interval = bits.flag()
            if equal_interval:
                bits.exponential_golomb()
            if bits.flag():
                delay_bits = bits.take(5) + 1
                bits.take(37)
                presentation_bits = bits.take(5) + 1
                self._timing_bits = 0 if equal_interval else presentation_bits
        initial_delay = bits.flag()
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if delay_bits and bits.flag():
                bits.take(2 * delay_bits + 1)
            if initial_delay and bits.flag():
                bits.take(4)

    def overridden(self, bits: _Bits) -> bool:
        """Whether a frame with this header has a size of its own."""
        if self._reduced or bits.flag():
            return False
        kind = bits.take(2)
        shown = bits.flag()
        bits.take(self._timing_bits if shown else 1)
        if kind != _SWITCH_FRAME and not (kind == _KEY_FRAME and shown):
            bits.take(1)
        bits.take(1)
        screen_content = bits.take(1) if self._screen_content == _SELECT else self._screen_content
        if screen_content and self._integer_motion == _SELECT:
            bits.take(1)
        bits.take(self._frame_id_bits)
        return kind == _SWITCH_FRAME or bits.flag()


def hevc_pixels(configuration: bytes | memoryview, coded: bytes | memoryview) -> int:
    """Pixels of the largest frame that HEVC data may decode to.

    `configuration` is the body of an `hvcC` property (ISO/IEC 14496-15, 8.3.3), `coded` the length-prefixed units.
    """
    length_bytes = (configuration[21] & 3) + 1
    units = [*_configured_units(configuration), *_coded_units(coded, length_bytes)]
    sizes = [_hevc_sps_pixels(unit[2:]) for unit in units if len(unit) > 2 and unit[0] >> 1 & 63 == _NAL_SPS]
    if not sizes:
        raise UnreadablePicture("The HEIC file is damaged: its coded data has no sequence parameters.")
    return max(sizes)


def _configured_units(configuration: bytes | memoryview) -> Iterator[bytes | memoryview]:
    at = 23
    for _ in range(configuration[22]):
        count = int.from_bytes(configuration[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(configuration[at : at + 2], "big")
            if at + 2 + size > len(configuration):
                raise UnreadablePicture("The HEIC file is damaged: its sequence parameters end early.")
            yield configuration[at + 2 : at + 2 + size]
            at += 2 + size


def _coded_units(coded: bytes | memoryview, length_bytes: int) -> Iterator[bytes | memoryview]:
    at = 0
    for _ in range(_MAX_UNITS):
        if at + length_bytes > len(coded):
            return
        size = int.from_bytes(coded[at : at + length_bytes], "big")
        at += length_bytes
        yield coded[at : at + size]
        at += size
    raise UnreadablePicture("The HEIC file is not read: one of its pictures has too many parts.")


def _hevc_sps_pixels(unit: Sequence[int] | memoryview) -> int:
    """Width x height of a sequence parameter set (ITU-T H.265, 7.3.2.2) without its two-byte unit header."""
    # Emulation prevention: the third byte of 00 00 03 is no data.
    bits = _Bits(bytes(unit[:4096]).replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    sub_layers = bits.take(3)
    bits.take(1 + 96)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.take(2 * (8 - sub_layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.exponential_golomb()
    if bits.exponential_golomb() == 3:
        bits.take(1)
    width = bits.exponential_golomb()
    return width * bits.exponential_golomb()
