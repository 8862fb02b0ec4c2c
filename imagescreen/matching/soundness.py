"""Whether vectors may be searched or stored at all."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from imagescreen.errors import ImagescreenError

# float16 embeddings are of unit length within 5e-4; anything further off was not normalised.
UNIT_TOLERANCE = 1e-3
_ROWS_AT_ONCE = 65_536


def check_vectors(
    vectors: NDArray[np.float32], dimension: int, *, name: Callable[[int], str], error: type[ImagescreenError]
) -> None:
    """Check that `vectors` is (n, dimension) float32, finite and of unit length within 1e-3.

    Raises `error`, with the first wrong row as `name` calls it. FAISS itself takes anything: a NaN in a query finds
    nothing, with no complaint.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimension or vectors.dtype != np.float32:
        raise error(
            f"vectors must be (n, {dimension}) float32, not {'x'.join(map(str, vectors.shape))} {vectors.dtype}"
        )
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        chunk = vectors[start : start + _ROWS_AT_ONCE]
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.sqrt(np.einsum("nd,nd->n", chunk, chunk))
        # Written so that a NaN counts as wrong.
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
        if wrong.size:
            row = int(wrong[0])
            fault = (
                f"is of length {lengths[row]:.6g} instead of 1"
                if np.isfinite(chunk[row]).all()
                else "holds a value that is not a finite number"
            )
            raise error(f"the vector of {name(start + row)} {fault}")
