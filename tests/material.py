"""Rendered pictures and references for tests."""

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.facts import ReferenceFacts, facts_from_json
from imagescreen.references.sample.edits import edited_copy
from imagescreen.references.sample.rendered import jpeg_bytes, render_product

SIZE = (240, 300)


@cache
def product(seed: int) -> bytes:
    """A JPEG of a product; another seed is another product."""
    return jpeg_bytes(render_product(500_000 + seed, size=SIZE).image)


@cache
def edited_product(seed: int) -> bytes:
    """An edited copy of `product(seed)`: other bytes, the same item."""
    return edited_copy(Image.open(BytesIO(product(seed))), np.random.default_rng(seed))


@cache
def turned_product(seed: int) -> bytes:
    """`product(seed)` turned by four degrees: no near copy by its hash, and much the same to any model."""
    return jpeg_bytes(Image.open(BytesIO(product(seed))).rotate(4, Image.Resampling.BICUBIC, fillcolor="white"))


@cache
def blank(colour: int = 255) -> bytes:
    file = BytesIO()
    Image.new("RGB", SIZE, (colour, colour, colour)).save(file, "PNG")
    return file.getvalue()


def facts(title: str = "Acme tote", **members: Any) -> ReferenceFacts:
    return facts_from_json({"title": title, "category": "counterfeit", **members})


def new_reference(*seeds: int, title: str | None = None, **members: Any) -> NewReference:
    pictures = [NewPicture(f"{seed}.jpg", product(seed)) for seed in seeds]
    return NewReference(facts(title or f"product {seeds[0]}", **members), pictures)
