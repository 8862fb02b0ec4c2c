"""Class names of the labelled photographs, and the phrases that a text side learns them in."""

from collections.abc import Iterable

NO_CLASS = "BACKGROUND_Google"
"""Caltech-101's pictures of anything: a label, but nothing that words could name."""

PHRASES = (
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a picture of a {}",
    "a product photo of a {}",
    "a close-up photo of a {}",
    "a picture of a {} on a white background",
    "a small {} in a parcel",
    "an image that shows a {}",
)


def class_name(label: str) -> str:
    """`Fruit/Apple/Golden-Delicious` -> `golden delicious apple`, `grand_piano` -> `grand piano`.

    The kind of goods is added where the name of the variety does not hold it already.
    """
    *kinds, last = label.lower().replace("-", " ").replace("_", " ").split("/")
    if len(kinds) < 2 or set(kinds[-1].split()) <= set(last.split()):
        return last
    return f"{last} {kinds[-1]}"


def class_names(labels: Iterable[str]) -> tuple[str, ...]:
    """The names that occur in `labels`, each once, in alphabetical order; without what has no name."""
    return tuple(sorted({class_name(label) for label in labels if label != NO_CLASS}))
