"""What many threads may decode at the same time."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Thread

from imagescreen.pictures import DecodingBudget, PictureLimits, PictureReader
from tests.pictures.samples import encoded, quarters


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.001)


def test_threads_never_hold_more_than_the_budget() -> None:
    budget = DecodingBudget(max_pixels=100, max_pictures=3)
    lock = Lock()
    held: list[int] = []
    seen: list[tuple[int, int]] = []

    def decode(pixels: int) -> None:
        with budget.decoding(pixels):
            with lock:
                held.append(pixels)
                seen.append((len(held), sum(held)))
            time.sleep(0.001)
            with lock:
                held.remove(pixels)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(decode, [10, 60, 40, 90, 5, 30] * 20))
    assert len(seen) == 120
    assert max(pictures for pictures, _ in seen) <= 3
    assert max(pixels for _, pixels in seen) <= 100
    assert budget.waiting == 0


def test_a_large_picture_is_not_overtaken_for_ever() -> None:
    budget = DecodingBudget(max_pixels=100, max_pictures=10)
    order: list[int] = []

    def decode(pixels: int) -> None:
        with budget.decoding(pixels):
            order.append(pixels)

    with budget.decoding(50):
        large, small = Thread(target=decode, args=(80,)), Thread(target=decode, args=(10,))
        large.start()
        until(lambda: budget.waiting == 1)
        small.start()
        until(lambda: budget.waiting == 2)
        assert order == []
    large.join()
    small.join()
    assert order == [80, 10]


def test_a_picture_larger_than_the_whole_budget_is_decoded_alone() -> None:
    budget = DecodingBudget(max_pixels=100, max_pictures=10)
    order: list[str] = []

    def decode_small() -> None:
        with budget.decoding(1):
            order.append("small")

    with budget.decoding(5000):
        small = Thread(target=decode_small)
        small.start()
        until(lambda: budget.waiting == 1)
        order.append("large")
    small.join()
    assert order == ["large", "small"]


def test_a_failed_decode_gives_its_place_back() -> None:
    budget = DecodingBudget(max_pixels=100, max_pictures=1)
    for _ in range(3):
        try:
            with budget.decoding(100):
                raise ValueError
        except ValueError:
            pass
    with budget.decoding(100):
        assert budget.waiting == 0


def test_one_reader_serves_many_threads() -> None:
    pictures = PictureReader(PictureLimits(1 << 20, 1_000_000, 32), DecodingBudget(60_000, 2))
    files = [encoded(quarters(300, 200), name) for name in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF")]
    expected = [pictures.read(data, pictures.header(data), reduce_to=64).image.tobytes() for data in files]
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda data: pictures.read(data, pictures.header(data), reduce_to=64).image.tobytes(), files * 6)
        )
    assert found == expected * 6
