"""Vectors kept in a file between evaluations, so that no picture is embedded twice by one model."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import WrongUse

Vector = NDArray[np.float32]
_MAX_LENGTH_ERROR = 1e-3


def read_vectors(path: Path, *, fingerprint: str, dimension: int) -> dict[str, Vector]:
    """Vectors (d,) of unit length by the sha256 of their picture; none when there is no file yet.

    Raises WrongUse for a file of another model, or one that is no such file.
    """
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            of, names, vectors = str(file["fingerprint"]), file["sha256"], file["vectors"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        raise WrongUse(f"{path} holds no kept vectors: name another file, or delete it") from None
    if of != fingerprint:
        raise WrongUse(f"{path} holds vectors of the model {of}, not of {fingerprint}: name another file")
    sound = vectors.dtype == np.float32 and vectors.shape == (len(names), dimension) and names.dtype.kind == "U"
    if not sound or not (np.abs(np.linalg.norm(vectors, axis=1) - 1) <= _MAX_LENGTH_ERROR).all():
        raise WrongUse(f"{path} holds vectors that are not sound: delete it")
    return dict(zip(names.tolist(), vectors, strict=True))


def keep_vectors(path: Path, vectors: Mapping[str, Vector], *, fingerprint: str) -> None:
    """Writes one or more vectors (d,) by the sha256 of their picture; a killed run leaves the old file."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        np.savez(
            file,
            fingerprint=np.array(fingerprint),
            sha256=np.array(list(vectors)),
            vectors=np.stack(list(vectors.values())),
        )
    unfinished.replace(path)
