"""The rendered pictures of the sample catalogue: the same in every run, and no two alike."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagescreen.references.sample.edits import edited_copy
from imagescreen.references.sample.rendered import GOODS, ProductKind, jpeg_bytes, render_product

SMALL = (96, 120)


def thumbnail(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image.convert("RGB").resize((24, 30)), np.float32)


@pytest.mark.parametrize("kind", list(ProductKind))
def test_every_kind_is_drawn_and_drawn_the_same_again(kind: ProductKind) -> None:
    first, again = (render_product(7, kind=kind, size=SMALL) for _ in range(2))
    assert first.image.mode == "RGB"
    assert first.image.size == SMALL
    assert first.image.tobytes() == again.image.tobytes()
    assert first.kind is kind
    assert first.title.lower().endswith(kind.value.lower())


def test_pictures_without_a_kind_show_goods_of_every_kind() -> None:
    assert {render_product(seed, size=(32, 40)).kind for seed in range(200)} == set(GOODS)


def test_no_two_products_look_alike() -> None:
    seen = [thumbnail(render_product(seed, size=SMALL).image) for seed in range(120)]
    flat = np.stack(seen).reshape(len(seen), -1)
    apart = np.abs(flat[:, None] - flat[None]).mean(axis=2) + 255 * np.eye(len(seen))
    assert apart.min() > 8


def test_a_larger_picture_shows_the_same_product() -> None:
    for seed in range(24):
        small, large = (
            thumbnail(render_product(seed, kind=GOODS[seed], size=size).image) for size in (SMALL, (240, 300))
        )
        assert np.abs(small - large).mean() < 24, GOODS[seed]


def test_another_view_shows_the_same_product_in_another_place() -> None:
    first, second = (render_product(3, kind=ProductKind.MUG, size=SMALL, view=view) for view in (0, 1))
    assert first.title == second.title
    assert first.image.tobytes() != second.image.tobytes()


def test_titles_name_colour_pattern_and_kind() -> None:
    titles = {render_product(seed, kind=ProductKind.HANDBAG, size=(32, 40)).title for seed in range(40)}
    assert len(titles) > 30
    assert all(title[0].isupper() and title.endswith(" handbag") for title in titles)


def test_the_jpeg_is_what_the_picture_shows() -> None:
    product = render_product(11, size=SMALL)
    read = Image.open(BytesIO(jpeg_bytes(product.image)))
    assert read.format == "JPEG"
    assert np.abs(thumbnail(read) - thumbnail(product.image)).mean() < 6


def test_an_edited_copy_is_smaller_and_changed_but_repeatable() -> None:
    image = render_product(5, size=(240, 300)).image
    copy = edited_copy(image, np.random.default_rng(1))
    assert copy == edited_copy(image, np.random.default_rng(1))
    assert copy != edited_copy(image, np.random.default_rng(2))
    width, height = Image.open(BytesIO(copy)).size
    assert 0.7 * 0.6 * 240 - 1 <= width <= 0.6 * 240
    assert 0.7 * 0.6 * 300 - 1 <= height <= 0.6 * 300


def test_about_half_of_the_edited_copies_are_mirrored() -> None:
    image = Image.new("RGB", (100, 100), (20, 20, 20))
    image.paste((230, 230, 230), (50, 0, 100, 100))

    def bright_on_the_left(copy: bytes) -> bool:
        pixels = np.asarray(Image.open(BytesIO(copy)).convert("L"), np.float32)
        return bool(pixels[:, :20].mean() > pixels[:, -20:].mean())

    copies = [edited_copy(image, np.random.default_rng(seed)) for seed in range(100)]
    assert 35 <= sum(map(bright_on_the_left, copies)) <= 65


def test_an_edited_copy_of_a_tiny_or_transparent_picture_is_still_a_picture() -> None:
    makers: tuple[Callable[[], Image.Image], ...] = (
        lambda: Image.new("RGB", (1, 1)),
        lambda: Image.new("RGBA", (40, 30), (9, 9, 9, 0)),
        lambda: Image.new("L", (30, 40)),
    )
    for make in makers:
        assert Image.open(BytesIO(edited_copy(make(), np.random.default_rng(0)))).mode == "RGB"
