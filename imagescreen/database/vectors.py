"""Vectors as the database holds them: little-endian float32."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import BrokenInstallation


def to_blob(vector: NDArray[np.float32]) -> bytes:
    """(d,) float32 -> its bytes."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def from_blobs(blobs: Sequence[bytes], dimension: int) -> NDArray[np.float32]:
    """n blobs -> (n, d) float32. Raises BrokenInstallation when one has another length."""
    if any(len(blob) != 4 * dimension for blob in blobs):
        raise BrokenInstallation(f"a stored vector does not have {dimension} dimensions")
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), dimension).astype(np.float32)
