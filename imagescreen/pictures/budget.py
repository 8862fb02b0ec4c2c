"""How much may be decoded at the same time in one process."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class DecodingBudget:
    """Bounds the pixels and the number of pictures in decoding; threads wait for their turn, in order.

    Measured on pictures of 36 megapixels, one in decoding takes 0.2 bytes a pixel (JPEG) to 3 (progressive JPEG), 2
    (GIF), 5 (PNG), 6 (TIFF), 9 (AVIF) and 16 (WebP): `max_pixels` of 128 million are 2 GB at the very worst. Order is
    first come, first served: small pictures that could squeeze in wait behind a large one, which would otherwise never
    find room. A picture larger than the whole budget is decoded alone.
    """

    def __init__(self, max_pixels: int, max_pictures: int) -> None:
        self._max_pixels = max_pixels
        self._max_pictures = max_pictures
        self._changed = Condition()
        self._waiting: deque[object] = deque()
        self._pixels = 0
        self._pictures = 0

    @property
    def waiting(self) -> int:
        """Pictures that wait for their turn."""
        with self._changed:
            return len(self._waiting)

    @contextmanager
    def decoding(self, pixels: int) -> Iterator[None]:
        """Holds the place of one picture of `pixels`, from when there is room for it to the end of the block."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._has_room(pixels))
                self._pixels += pixels
                self._pictures += 1
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._pictures -= 1
                self._changed.notify_all()

    def _has_room(self, pixels: int) -> bool:
        if self._pictures == 0:
            return True
        return self._pictures < self._max_pictures and self._pixels + pixels <= self._max_pixels
