"""Labelled pictures to unit vectors, with the ones that cannot be read named."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from imagescreen.embedding.encoder import Encoder
from imagescreen.embedding.model_config import Pixels
from imagescreen.errors import PictureProblem, WrongUse
from imagescreen.evaluation.labelled import LabelledPicture, Role
from imagescreen.pictures import PictureReader
from imagescreen.serving.embed import prepare

Progress = Callable[[str, int, int], None]
_BATCH = 32
_KEPT_APART = {
    frozenset((Role.REFERENCE, Role.ORDINARY)),
    frozenset((Role.REFERENCE, Role.BACKGROUND)),
    frozenset((Role.QUERY, Role.ORDINARY)),
    frozenset((Role.QUERY, Role.BACKGROUND)),
    frozenset((Role.ORDINARY, Role.BACKGROUND)),
}


class NamedPicture(Protocol):
    """`read` gives untrusted bytes or raises PictureProblem; `name` is for people."""

    @property
    def name(self) -> str: ...

    @property
    def read(self) -> Callable[[], bytes]: ...


P = TypeVar("P", bound=NamedPicture)


@dataclass(frozen=True, slots=True)
class Embedded(Generic[P]):
    """`vectors` (n, d) of unit length and the files' `sha256` belong to the n `pictures`; `rejected` is (name, why)."""

    pictures: tuple[P, ...]
    vectors: NDArray[np.float32]
    sha256: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A picture's sha256 with what the encoder takes, or with its vector where that is known."""

    sha256: str
    pixels: Pixels | None
    vector: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Embedder:
    """Embeds untrusted pictures with `threads` threads. `known` vectors by sha256 are taken as they are, and what is
    embedded is added to them.
    """

    reader: PictureReader
    encoder: Encoder
    threads: int
    progress: Progress
    known: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def embed(self, pictures: Sequence[P]) -> Embedded[P]:
        """Reads, checks and embeds; each picture has its own fate."""
        kept: list[tuple[P, str, NDArray[np.float32]]] = []
        rejected: list[tuple[str, str]] = []
        with ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(pictures), _BATCH):
                batch = pictures[start : start + _BATCH]
                for picture, result in zip(batch, self._vectors(list(pool.map(self._prepared, batch))), strict=True):
                    if isinstance(result, PictureProblem):
                        rejected.append((picture.name, result.detail))
                    else:
                        kept.append((picture, *result))
                self.progress("embedding pictures", min(start + _BATCH, len(pictures)), len(pictures))
        vectors = [vector for _, _, vector in kept]
        return Embedded(
            pictures=tuple(picture for picture, _, _ in kept),
            vectors=np.stack(vectors) if vectors else np.empty((0, self.encoder.dimension), np.float32),
            sha256=tuple(sha256 for _, sha256, _ in kept),
            rejected=tuple(rejected),
        )

    def _prepared(self, picture: NamedPicture) -> _Prepared | PictureProblem:
        try:
            data = picture.read()
            header = self.reader.header(data)
            vector = self.known.get(header.sha256)
            pixels = prepare(self.reader, self.encoder, data, header) if vector is None else None
        except PictureProblem as problem:
            return problem
        return _Prepared(header.sha256, pixels, vector)

    def _vectors(
        self, batch: Sequence[_Prepared | PictureProblem]
    ) -> list[tuple[str, NDArray[np.float32]] | PictureProblem]:
        pictures = [item.pixels for item in batch if isinstance(item, _Prepared) and item.pixels is not None]
        encoded = iter(_encoded(self.encoder, pictures))
        results: list[tuple[str, NDArray[np.float32]] | PictureProblem] = []
        for item in batch:
            if isinstance(item, PictureProblem):
                results.append(item)
                continue
            vector = next(encoded) if item.vector is None else item.vector
            if isinstance(vector, PictureProblem):
                results.append(vector)
                continue
            self.known[item.sha256] = vector
            results.append((item.sha256, vector))
        return results


def check_apart(embedded: Embedded[LabelledPicture]) -> None:
    """Raises WrongUse when one file has two roles that must not share any, e.g. background and reference: figures
    would be measured on what they were made with.
    """
    seen: dict[str, list[LabelledPicture]] = {}
    for picture, sha256 in zip(embedded.pictures, embedded.sha256, strict=True):
        same = seen.setdefault(sha256, [])
        for other in same:
            if frozenset((picture.role, other.role)) in _KEPT_APART:
                raise WrongUse(
                    f"{picture.name} ({picture.role.value}) and {other.name} ({other.role.value}) are the same file: "
                    "these roles must have no picture in common"
                )
        same.append(picture)


def _encoded(encoder: Encoder, pictures: Sequence[Pixels]) -> Sequence[NDArray[np.float32] | PictureProblem]:
    if not pictures:
        return []
    try:
        return list(encoder.encode(np.stack(pictures)))
    except PictureProblem:
        # One of them has no finite vector; alone, each shows whether it is the one.
        return [_encoded_alone(encoder, pixels) for pixels in pictures]


def _encoded_alone(encoder: Encoder, pixels: Pixels) -> NDArray[np.float32] | PictureProblem:
    try:
        vector: NDArray[np.float32] = encoder.encode(pixels[np.newaxis])[0]
        return vector
    except PictureProblem as problem:
        return problem
