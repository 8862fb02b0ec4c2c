"""Warnings that a new picture nearly equals one of another reference."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray


class NearDuplicate(msgspec.Struct, frozen=True):
    """A warning: a new picture nearly equals one of another reference."""

    picture: str
    reference_id: UUID
    title: str
    similarity: float


class EmbeddedPicture(Protocol):
    """A picture by its name in messages and its vector (d,)."""

    @property
    def name(self) -> str: ...

    @property
    def vector(self) -> NDArray[np.float32]: ...


class JustAdded:
    """References of the same commit: they are not in the index yet, and may be near-duplicates of each other."""

    def __init__(self, near: float) -> None:
        self._near = near
        self._added: list[tuple[UUID, str, NDArray[np.float32]]] = []

    def remember(self, reference_id: UUID, title: str, pictures: Sequence[EmbeddedPicture]) -> None:
        if pictures:
            self._added.append((reference_id, title, np.stack([picture.vector for picture in pictures])))

    def near(self, pictures: Sequence[EmbeddedPicture]) -> list[NearDuplicate]:
        return [
            NearDuplicate(picture.name, reference_id, title, round(best, 4))
            for picture in pictures
            for reference_id, title, vectors in self._added
            if (best := float((vectors @ picture.vector).max())) >= self._near
        ]
