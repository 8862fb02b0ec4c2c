"""What must be true by now, as a plain model of what was acknowledged."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from imagescreen.references.sample.rendered import jpeg_bytes, render_product

_SIZE = (96, 120)
"""Small, so that hundreds are drawn, sent and embedded in seconds."""


class Violation(Exception):
    """A promise was broken."""


def demand(holds: bool, told: str) -> None:
    if not holds:
        raise Violation(told)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that no other one equals."""

    data: bytes = field(repr=False)
    sha256: str


def picture(number: int) -> Picture:
    data = jpeg_bytes(render_product(700_000 + number, size=_SIZE).image)
    return Picture(data, hashlib.sha256(data).hexdigest())


@dataclass(slots=True)
class Reference:
    """`pictures` and `removed` by their ids. Only the client of number `owner` changes it."""

    reference_id: str
    title: str
    owner: int
    pictures: dict[int, Picture]
    state: str = "active"
    suspended_until: datetime | None = None
    removed: dict[int, Picture] = field(default_factory=dict)

    def matches_at(self, moment: datetime) -> bool:
        ended = self.suspended_until is not None and self.suspended_until <= moment
        return self.state == "active" or (self.state == "suspended" and ended)


@dataclass(slots=True)
class Screening:
    """The answer as it was given, and the body that it was given for."""

    body: dict[str, Any] = field(repr=False)
    answer: dict[str, Any] = field(repr=False)
    owner: int
    reviews: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Offer:
    """A reference that the add script is told to add: there whole afterwards, or not at all."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(slots=True)
class World:
    """`offered` has not been seen in the catalogue yet; `touched` changed since the last checks;
    `activated` counts how often a script said that it made a version current.
    """

    clients: int
    references: dict[str, Reference] = field(default_factory=dict)
    screenings: dict[str, Screening] = field(default_factory=dict)
    offered: dict[str, Offer] = field(default_factory=dict)
    activated: Counter[str] = field(default_factory=Counter)
    touched: set[str] = field(default_factory=set)
    feed: list[tuple[Any, ...]] = field(default_factory=list)
    acknowledged: int = 0

    def add(self, answer: dict[str, Any], pictures: dict[str, Picture]) -> Reference:
        """Takes in a reference as the service tells it; `pictures` by sha256 are those it must have."""
        told = {item["sha256"]: item["reference_picture_id"] for item in answer["pictures"]}
        demand(told.keys() == pictures.keys(), f"reference {answer['title']!r} is there with pictures {sorted(told)}")
        reference = Reference(
            answer["reference_id"],
            answer["title"],
            len(self.references) % self.clients,
            {told[sha256]: pictures[sha256] for sha256 in told},
            answer["state"],
        )
        self.references[reference.reference_id] = reference
        self.touched.add(reference.reference_id)
        return reference


def now() -> datetime:
    return datetime.now(UTC)
