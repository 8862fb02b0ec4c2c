"""The sample catalogue, its pictures, and sample packages' pictures; all rendered, all the same in every run."""

from collections.abc import Iterator

import numpy as np

from imagescreen.errors import InvalidContent
from imagescreen.references.sample.edits import edited_copy, jpeg_bytes
from imagescreen.references.sample.entry import SAMPLE_SOURCE, SampleReference
from imagescreen.references.sample.rendered import render_product
from imagescreen.references.sample.rights_entries import RIGHTS_ENTRIES
from imagescreen.references.sample.safety_entries import SAFETY_ENTRIES

__all__ = [
    "SAMPLE_REFERENCES",
    "SAMPLE_SOURCE",
    "SampleReference",
    "cleared_sample_picture",
    "edited_sample_copy",
    "held_sample_picture",
    "ordinary_pictures",
    "reference_pictures",
]

SAMPLE_REFERENCES: tuple[SampleReference, ...] = RIGHTS_ENTRIES + SAFETY_ENTRIES
"""Every category and kind of reference; titles and pictures are unique."""

_FIRST_ORDINARY_SEED = 1_000_000
_CLEARED_SEED = 2_000_000
# A model for product pictures sees no more than a few hundred pixels; rendering a thousand pictures stays short.
_ORDINARY_SIZE = (192, 240)


def reference_pictures(reference: SampleReference) -> Iterator[bytes]:
    """The pictures of one sample reference as JPEG, 480 x 600, in their order."""
    for seed, kind, view in reference.pictures:
        yield jpeg_bytes(render_product(seed, kind=kind, view=view).image)


def ordinary_pictures(count: int) -> Iterator[bytes]:
    """`count` different ordinary goods as JPEG, 192 x 240; none of them is a reference."""
    for seed in range(_FIRST_ORDINARY_SEED, _FIRST_ORDINARY_SEED + count):
        yield jpeg_bytes(render_product(seed, size=_ORDINARY_SIZE).image)


def edited_sample_copy(title: str, seed: int = 0) -> bytes:
    """An edited copy of the first picture of the sample reference `title`, as JPEG; `seed` chooses the edits.

    Raises InvalidContent when no sample reference has that title.
    """
    for reference in SAMPLE_REFERENCES:
        if reference.facts["title"] == title:
            product, kind, view = reference.pictures[0]
            return edited_copy(render_product(product, kind=kind, view=view).image, np.random.default_rng(seed))
    raise InvalidContent(f"no sample reference has the title {title!r}")


def held_sample_picture() -> bytes:
    """An edited copy of a counterfeit sample reference as JPEG: a package with it is held."""
    return edited_sample_copy("Green zigzag handbag, imitation Quorvane")


def cleared_sample_picture() -> bytes:
    """An ordinary product as JPEG that is neither a reference nor among `ordinary_pictures`: it is cleared."""
    return jpeg_bytes(render_product(_CLEARED_SEED).image)
