"""What is known of the photo sets that the project trains on, by the name of their tar file."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, slots=True)
class Source:
    """Where pictures come from. With `products`, a label is one product: its pictures are no wrong answers to each
    other.
    """

    title: str
    licence: str
    products: bool = False


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "grocery": Source("Grocery Store Dataset (Klasson et al.)", "MIT", products=True),
        "clothing": Source("Clothing dataset (small)", "CC0"),
        "caltech101": Source("Caltech-101", "CC BY 4.0"),
    }
)


def source_of(tar: str) -> Source:
    """Of another tar file nothing is claimed."""
    return SOURCES.get(tar, Source(tar, UNKNOWN_LICENCE))
